"""A model folder as MLflow writes it, loaded: by its own library, or by mlflow."""
