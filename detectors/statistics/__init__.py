"""The statistics: a file each, from counts of reference and window to an estimate with bounds."""
