"""What is written down about an answer."""
