"""MLflow's model registry over its REST API."""
