"""``kedge.toml``: its tables as dataclasses, how they are read, and what must hold between them."""
