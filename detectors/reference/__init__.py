"""What a model's columns looked like when all was well; by the season, too, and as a file."""
