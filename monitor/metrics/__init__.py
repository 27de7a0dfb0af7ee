"""What Prometheus is told: the catalogue, and metrics that take a batch at once."""
