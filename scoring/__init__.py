"""The scoring server: MLflow's protocol, hot swap, and the prediction log it writes."""
