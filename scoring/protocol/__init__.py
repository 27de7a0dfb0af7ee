"""MLflow's scoring protocol: bytes of a request in, rows for a model; answers out. No I/O."""
