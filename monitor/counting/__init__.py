"""The turn of the daemon: lines come in, rows are counted, windows close, and are kept."""
