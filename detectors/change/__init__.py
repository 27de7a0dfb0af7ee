"""Change detectors, which watch single values in the order in which they come."""
