"""Two models' answers to the same requests, compared."""
