"""Several columns at once: normal scores, their correlations, and samples of whole rows."""
