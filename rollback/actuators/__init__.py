"""The steps of a rollback: a file each."""
