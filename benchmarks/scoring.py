"""Scoring servers side by side: `mlflow models serve`, `kedge serve` and KServe's Python server.

    python -m benchmarks.scoring [--seconds 3] [--rounds 2] [--model linear|mixed]
                                 [--kserve DIR] [--workers 1]

The same model folder, the same libraries, one row a request, 20 columns, whole processes. Kedge
checks every request against the signature and logs every one; MLflow's server logs none. The
servers stand idle beside each other and are loaded in turn, so that a ratio is of one run.

KServe's server lives in an environment of its own in DIR, made with pip if it is not there; without
--kserve it is left out. It does less: arrays without names or types, no signature, no log.
"""

# ruff: noqa: ANN401, PLC0415, RUF001 - answers are any JSON; imports only where a model is made;
# a ratio has a multiplication sign

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import http_load
from monitor.demo.mlflow_server import free_port

COLUMNS = 20
BODIES = 64
CONNECTIONS = (1, 8, 32)
WARM_S = 0.7
START_S = 180.0
LIBRARIES = ("mlflow", "scikit-learn", "numpy", "pandas", "aiohttp", "uvicorn", "msgspec", "uvloop")
KSERVE_PACKAGES = ("kserve==0.21.0", "skops", "scikit-learn")
BIN = Path(sys.executable).parent


@dataclass(slots=True)
class Server:
    """A server that runs.

    Parameters
    ----------
    path
        Where it takes requests.
    requests
        One for each row that is asked for.
    start_s
        From its start to its first answer to a request.
    """

    name: str
    port: int
    path: str
    requests: Sequence[bytes]
    process: subprocess.Popen[bytes]
    start_s: float = 0.0
    start_cpu_s: float = 0.0
    loads: dict[int, list[http_load.Load]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    memory_mib: float = 0.0

    def ask(self, request: bytes) -> Any:
        head, _, body = request.partition(b"\r\n\r\n")
        sent = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}", body, {"Content-Type": "application/json"}
        )
        assert head
        with urllib.request.urlopen(sent, timeout=10) as response:
            return json.load(response)["predictions"]

    def processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def resident_mib(self) -> float:
        return sum(process.memory_info().rss for process in self.processes()) / 2**20


def save_model(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Write a model of 20 columns; return the rows to ask for."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        random.normal(size=(2000, COLUMNS)), columns=[f"feature_{i:02d}" for i in range(COLUMNS)]
    )
    labels = (frame.sum(axis=1) > 0).astype(int)
    model: Any = LogisticRegression()
    if kind == "mixed":
        for name in frame.columns[:3]:
            frame[name] = random.choice(["Oslo", "Rome", "Bern"], len(frame))
        words, numbers = list(frame.columns[:3]), list(frame.columns[3:])
        columns = ColumnTransformer(
            [("words", OneHotEncoder(), words), ("numbers", StandardScaler(), numbers)]
        )
        model = make_pipeline(columns, LogisticRegression())
    model.fit(frame, labels)
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=infer_signature(frame, model.predict(frame)),
        input_example=frame.head(2),
        pip_requirements=["scikit-learn"],
    )
    return [
        dict(zip(frame.columns, row, strict=True))
        for row in frame.head(BODIES).to_numpy(dtype=object).tolist()
    ]


def invocations(rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    bodies = [
        {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}} for row in rows
    ]
    return [http_load.post("/invocations", json.dumps(body).encode()) for body in bodies]


def instances(rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    path = "/v1/models/model:predict"
    bodies = [{"instances": [list(row.values())]} for row in rows]
    return [http_load.post(path, json.dumps(body).encode()) for body in bodies]


def commands(
    model: Path, folder: Path, workers: int, kserve: Path | None
) -> Iterator[tuple[str, str, list[str], int]]:
    """Return name, path, command and port of each server."""
    port = free_port()
    yield (
        "mlflow models serve",
        "/invocations",
        [
            *(str(BIN / "mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local"),
            *("-h", "127.0.0.1", "-p", str(port)),
        ],
        port,
    )
    port = free_port()
    yield (
        "kedge serve",
        "/invocations",
        [
            *(sys.executable, "-m", "monitor.cli", "serve", str(model), "--port", str(port)),
            *("--log", str(folder / "predictions.jsonl"), "--workers", str(workers)),
        ],
        port,
    )
    if kserve is None:
        return
    python = kserve / "bin" / "python"
    if not python.exists():
        venv.create(kserve, with_pip=True)
        version = importlib.metadata.version("scikit-learn")
        packages = [*KSERVE_PACKAGES[:-1], f"{KSERVE_PACKAGES[-1]}=={version}"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    port = free_port()
    script = str(Path(__file__).with_name("kserve_server.py"))
    yield (
        "KServe's Python server",
        "/v1/models/model:predict",
        [str(python), script, str(model), str(port), str(free_port())],
        port,
    )


@contextlib.contextmanager
def started(
    how: tuple[str, str, list[str], int], requests: Sequence[bytes], folder: Path
) -> Iterator[Server]:
    """Run a server until the block ends, and wait for its first answer."""
    name, path, command, port = how
    output = folder / f"{name.partition(' ')[0]}.out"
    began = time.perf_counter()
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            start_new_session=True,
            # mlflow starts uvicorn through a shell.
            env=os.environ
            | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DO_NOT_TRACK": "true"},
        )
    server = Server(name, port, path, requests, process)
    try:
        while True:
            if process.poll() is not None or time.perf_counter() - began > START_S:
                raise SystemExit(f"{name} did not start: {output.read_text()[-2000:]}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                server.ask(requests[0])
                break
            time.sleep(0.02)
        server.start_s = time.perf_counter() - began
        server.start_cpu_s = server.cpu_s()
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def load(server: Server, connections: int, seconds: float) -> None:
    address = ("127.0.0.1", server.port)
    http_load.run(address, server.requests, connections=connections, seconds=WARM_S)
    before = server.cpu_s()
    done = http_load.run(address, server.requests, connections=connections, seconds=seconds)
    if done.failures:
        raise SystemExit(f"{server.name}: {done.failures} answers were not 200")
    server.loads.setdefault(connections, []).append(done)
    used_ms = (server.cpu_s() - before) * 1000
    server.cpu_ms.setdefault(connections, []).append(used_ms / len(done.latencies_ms))


def report(servers: Sequence[Server]) -> None:
    print("\n| server | connections | req/s | p50 ms | p99 ms | CPU ms a request | caller's CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for server in servers:
        for connections, loads in server.loads.items():
            rate = statistics.median(done.rate for done in loads)
            p50, p99 = (
                statistics.median(done.quantile_ms(share) for done in loads)
                for share in (0.5, 0.99)
            )
            own = statistics.median(done.own_cpu_s / done.seconds for done in loads)
            cpu = statistics.median(server.cpu_ms[connections])
            print(
                f"| {server.name} | {connections} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | "
                f"{cpu:.3f} | {own:.0%} of a core |"
            )
    print("\n| server | memory MiB | of mlflow's | ready s | CPU s | of mlflow's |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = servers[0]
    for server in servers:
        print(
            f"| {server.name} | {server.memory_mib:.0f} | "
            f"{server.memory_mib / first.memory_mib:.2f} | {server.start_s:.1f} | "
            f"{server.start_cpu_s:.1f} | {server.start_s / first.start_s:.2f} |"
        )
    print("\n| against mlflow | " + " | ".join(f"{n} connections" for n in CONNECTIONS) + " |")
    print("| --- | --- | --- | --- |")
    for server in servers[1:]:
        rates, costs = [], []
        for n in CONNECTIONS:
            pairs = zip(server.loads[n], first.loads[n], strict=True)
            rates.append(statistics.median(ours.rate / theirs.rate for ours, theirs in pairs))
            spent = zip(first.cpu_ms[n], server.cpu_ms[n], strict=True)
            costs.append(statistics.median(theirs / ours for theirs, ours in spent))
        for what, ratios in (("requests a second", rates), ("requests a CPU second", costs)):
            print(f"| {server.name}: {what} | " + " | ".join(f"{r:.0f} ×" for r in ratios) + " |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", choices=("linear", "mixed"), default="linear")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kserve", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            print(library, importlib.metadata.version(library), end="  ")
    print(f"\nmodel: {arguments.model}, {COLUMNS} columns, one row a request")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        rows = save_model(folder / "model", arguments.model)
        kserve = arguments.kserve if arguments.model == "linear" else None
        servers = []
        for how in commands(folder / "model", folder, arguments.workers, kserve):
            requests = invocations(rows) if how[1] == "/invocations" else instances(rows)
            servers.append(stack.enter_context(started(how, requests, folder)))
        answers = [[server.ask(request) for request in server.requests] for server in servers]
        assert all(answer == answers[0] for answer in answers), "the answers differ"
        print(f"all servers give the same {len(rows)} answers")
        for _ in range(arguments.rounds):
            for connections in CONNECTIONS:
                for server in servers:
                    load(server, connections, arguments.seconds)
        for server in servers:
            server.memory_mib = server.resident_mib()
        report(servers)


if __name__ == "__main__":
    main()
