"""Numbers: sums, tails, quantiles, intervals, and how arrays are packed."""
