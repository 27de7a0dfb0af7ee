"""What callers notice of a swap: `kedge serve` under load while its alias moves.

    python -m benchmarks.swap [--model linear|forest] [--connections 8] [--swaps 3]

A whole server process, its requests one row each, the prediction log on. The registry is a stand-in
that knows one model with two versions; the model's files are read from this machine. A swap takes
from the move of the alias to the first answer of the other version.
"""

# ruff: noqa: PLC0415, RUF001 - imports only where a model is made; a ratio has a multiplication sign

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks import http_load
from benchmarks.scoring import COLUMNS, invocations, save_model
from monitor.demo.mlflow_server import free_port

ROWS = 2000
TREES = 300
USUAL_S = 5.0
STEP_S = 0.5


def save_forest(folder: Path) -> list[dict[str, Any]]:
    """Write a model that takes seconds to load; return the rows to ask for."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(5)
    names = [f"feature_{i:02d}" for i in range(COLUMNS)]
    frame = pd.DataFrame(random.normal(size=(ROWS, COLUMNS)), columns=names)
    model = RandomForestClassifier(TREES).fit(frame, random.integers(0, 2, ROWS))
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=infer_signature(frame, model.predict(frame)),
        input_example=frame.head(2),
        pip_requirements=["scikit-learn"],
        serialization_format="pickle",
    )
    return [dict(zip(names, row, strict=True)) for row in frame.head(64).to_numpy().tolist()]


class Registry:
    """One model, two versions of the same files, one alias."""

    def __init__(self, folder: Path) -> None:
        self.version = "1"
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer: dict[str, Any] = {"artifact_uri": str(folder)}
                if "/registered-models/alias" in self.path:
                    answer = {"model_version": {"name": "model", "version": registry.version}}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Swap(threading.Thread):
    """Moves the alias, and waits for an answer of the other version."""

    def __init__(self, registry: Registry, url: str) -> None:
        super().__init__()
        self.registry, self.url = registry, url
        self.took_s = 0.0

    def run(self) -> None:
        began = time.perf_counter()
        wanted = self.registry.version = "2" if self.registry.version == "1" else "1"
        while True:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=10) as response:
                if response.headers["X-Kedge-Version"] == wanted:
                    break
            time.sleep(0.02)
        self.took_s = time.perf_counter() - began


def quantile(latencies_ms: Sequence[float], share: float) -> float:
    """Return a quantile."""
    return sorted(latencies_ms)[round(share * (len(latencies_ms) - 1))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("linear", "forest"), default="linear")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--swaps", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        rows = save_model(model, "linear") if arguments.model == "linear" else save_forest(model)
        registry, port = Registry(model), free_port()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "monitor.cli", "serve", "models:/model@champion"),
                *("--tracking-uri", registry.uri, "--port", str(port), "--poll", "200ms"),
                *("--log", str(folder / "predictions.jsonl")),
            ],
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "it did not start"
            measure(registry, port, invocations(rows), arguments.connections, arguments.swaps)
        finally:
            process.terminate()
            process.wait()


def measure(
    registry: Registry, port: int, requests: Sequence[bytes], connections: int, swaps: int
) -> None:
    """Load the server; a lost connection ends the run with an error."""
    address, url = ("127.0.0.1", port), f"http://127.0.0.1:{port}"
    failures = 0

    def loaded(seconds: float) -> Sequence[float]:
        nonlocal failures
        done = http_load.run(address, requests, connections=connections, seconds=seconds)
        failures += done.failures
        return done.latencies_ms

    loaded(1.0)
    usual = list(loaded(USUAL_S))
    during: list[float] = []
    took_s: list[float] = []
    for _ in range(swaps):
        swap = Swap(registry, url)
        swap.start()
        while swap.is_alive():
            during += loaded(STEP_S)
        took_s.append(swap.took_s)
        usual += loaded(USUAL_S)
    print(f"{swaps} swaps under {connections} connections, {failures} failed requests of ", end="")
    print(f"{len(usual) + len(during):,}; a swap took " + ", ".join(f"{s:.1f} s" for s in took_s))
    print("\n| | requests | p50 ms | p99 ms | slowest ms |\n| --- | --- | --- | --- | --- |")
    for what, seen in (("usual", usual), ("during a swap", during)):
        p50, p99, most = (quantile(seen, share) for share in (0.5, 0.99, 1))
        print(f"| {what} | {len(seen):,} | {p50:.2f} | {p99:.2f} | {most:.0f} |")
    print(f"\np99 during a swap: {quantile(during, 0.99) / quantile(usual, 0.99):.1f} × the usual")


if __name__ == "__main__":
    main()
