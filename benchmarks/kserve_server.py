"""KServe's Python server with a scikit-learn model; run by `benchmarks.scoring` in KServe's own
environment: `python kserve_server.py MODEL HTTP_PORT GRPC_PORT`.
"""

# mypy: ignore-errors
# KServe is not installed where types are checked.

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from kserve import Model, ModelServer


class Plain(Model):
    """Takes an array of numbers by place, as KServe's own scikit-learn server does."""

    def __init__(self, folder: Path) -> None:
        super().__init__("model")
        self.estimator = skops.io.load(folder / "model.skops")
        # Trained with column names, which arrays do not have; it would warn at each request.
        del self.estimator.feature_names_in_
        self.ready = True

    def predict(self, payload: dict[str, Any], headers: object = None) -> dict[str, Any]:  # noqa: ARG002 - KServe passes it
        values = np.array(payload["instances"], dtype=np.float64)
        return {"predictions": self.estimator.predict(values).tolist()}


if __name__ == "__main__":
    model, http_port, grpc_port = sys.argv[1:]
    ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1).start(
        [Plain(Path(model))]
    )
