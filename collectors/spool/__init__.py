"""A bounded buffer on disk for lines that come over the network."""
