"""Log files that others write and rotate: every whole line once."""
