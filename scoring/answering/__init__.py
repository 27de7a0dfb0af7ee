"""Requests meet the version that serves: in order, in batches, off the loop where it is slow."""
