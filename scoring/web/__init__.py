"""The HTTP side: the fast path, aiohttp's routes, keys, the socket."""
