"""One column: its profile in the reference, its counts in a window, and how windows of it vary."""
