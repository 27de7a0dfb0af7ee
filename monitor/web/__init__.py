"""The daemon's HTTP side: routes, limits, and their description."""
