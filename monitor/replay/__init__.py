"""Old logs, read again: what would have been measured and said."""
