"""Live traffic: a proxy, the end of a mirror, and a listener for CloudEvents, a process each."""
