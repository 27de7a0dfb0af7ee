"""Labels that come later meet the predictions that they belong to."""
