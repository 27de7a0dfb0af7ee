"""What is measured of a window by samples: processor, memory, and the age of the model."""
