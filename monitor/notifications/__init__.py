"""Telling people: what is said, over which channel, and how often it is tried."""
