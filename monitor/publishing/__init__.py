"""Which event, window and rule sets which metric, and when."""
