"""A scoring server that only Kedge asks."""
