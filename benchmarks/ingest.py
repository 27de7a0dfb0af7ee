"""Events a second and core of reading a prediction log, beside the JSON parser alone.

    python -m benchmarks.ingest [--events 200000] [--rounds 5]

All parts run in one process on the same bytes, round by round in turn, so that a busy machine
slows each alike; the figures are medians of CPU time (not wall time), so they are per core.

The parser is measured in two ways. Given the whole log at once it keeps every event alive, and
waits for memory; given a cache-sized block at a time, it is as quick as it gets. The goal of
60 % is against the first: what a program does that reads a log with msgspec. The second says
how far Kedge is from the parser's own limit.

The whole path is measured at two densities of events. A window is closed every minute of event
time, which costs the same whether the minute had 6,000 events or 60,000.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat
from collectors.formats.options import FormatOptions
from collectors.quarantine import Quarantine
from collectors.tail.tail import Tail, TailSettings
from detectors.reference import reference_file
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.rules.rule import RuleSpec
from detectors.windows.window import Windows, WindowSpec
from monitor.counting.engine import Engine
from monitor.counting.streams import Stream
from monitor.judging.judging import Judge
from monitor.loop import spare_collector
from monitor.metrics.catalogue import Metrics
from monitor.references.files import FileReferences
from monitor.store.store import Store, Totals

NUMBERS, CATEGORIES = 20, 3
CHUNK_BYTES = 1 << 20
MODEL = "flight-delay"
TS = 1772618400.0
#: Events a second of event time.
EVENTS_PER_S, DENSE_EVENTS_PER_S = 100, 1_000
WINDOWS_SPEC = WindowSpec("time", length=300.0, slide=60.0, lateness_s=30.0)

RULES = tuple(
    RuleSpec(
        name=metric,
        metric=metric,
        columns=("*",),
        above=0.25,
        needed=3,
        of=4,
        on_missing="unknown",
        min_events=300,
        action="alert",
    )
    for metric in ("psi", "ks")
)

#: Makes what a part needs, and returns what is measured.
Part = Callable[[], Callable[[], object]]


def log_bytes(events: int, events_per_s: int = EVENTS_PER_S, seed: int = 7) -> bytes:
    """A prediction log of 20 numbers and 3 strings an event, about 500 bytes each."""
    rng = random.Random(seed)
    lines = []
    for i in range(events):
        features: dict[str, object] = {
            f"n{j:02d}": round(rng.gauss(0.0, 1.0), 4) for j in range(NUMBERS)
        }
        features |= {f"c{j}": rng.choice(("gold", "silver", "basic")) for j in range(CATEGORIES)}
        event = {
            "id": f"req-{i:08d}",
            "ts": TS + i / events_per_s,
            "model": MODEL,
            "version": "7",
            "latency_ms": round(rng.lognormvariate(2.0, 0.5), 2),
            "status": 200,
            "features": features,
            "prediction": round(rng.random(), 4),
        }
        lines.append(json.dumps(event, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()


def chunks(log: bytes, size: int) -> Iterator[bytes]:
    """Cut a log into pieces of whole lines."""
    start = 0
    while start < len(log):
        end = log.rfind(b"\n", start, start + size) + 1
        yield log[start:end]
        start = end


def typed_decoder() -> msgspec.json.Decoder[msgspec.Struct]:
    """The quickest that msgspec can do with this log: exactly its fields, nothing optional."""
    features = msgspec.defstruct(
        "Features",
        [
            *((f"n{j:02d}", float) for j in range(NUMBERS)),
            *((f"c{j}", str) for j in range(CATEGORIES)),
        ],
        gc=False,
    )
    event = msgspec.defstruct(
        "Event",
        [
            ("id", str),
            ("ts", float),
            ("model", str),
            ("version", str),
            ("latency_ms", float),
            ("status", int),
            ("features", features),
            ("prediction", float),
        ],
        gc=False,
    )
    return msgspec.json.Decoder(event)


def log_end(log: bytes) -> float:
    """Event time at the end of a log: no event is in the future of a clock that stands there."""
    last: float = json.loads(log[log.rfind(b"\n", 0, -1) + 1 :])["ts"]
    return last


def refuse_unless(found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"nothing was measured: expected {expected}, got {found}")


def reference_of(log: bytes) -> Reference:
    """A reference of the whole log."""
    builder = ReferenceBuilder()
    for batch in KedgeFormat(MODEL).decode(log).batches:
        builder.add(batch.columns)
    return builder.build(created=TS, origin="benchmark")


def parse(log: bytes, block_bytes: int) -> Callable[[], object]:
    decoder = typed_decoder()

    def run() -> None:
        for block in chunks(log, block_bytes):
            decoder.decode_lines(block)

    return run


def decode(log: bytes, reference: Reference) -> Callable[[], object]:
    format_ = KedgeFormat(MODEL, reference.schema())

    def run() -> None:
        for chunk in chunks(log, CHUNK_BYTES):
            format_.decode(chunk)

    return run


def count(log: bytes, reference: Reference, *, joint: bool) -> Callable[[], object]:
    format_ = KedgeFormat(MODEL, reference.schema())
    windows = Windows(WINDOWS_SPEC, MODEL, joint=joint)
    now = log_end(log)

    def run() -> None:
        for chunk in chunks(log, CHUNK_BYTES):
            for batch in format_.decode(chunk).batches:
                added = windows.add(batch, reference, now)
                refuse_unless((added.late, added.ahead), (0, 0))
            windows.close()

    return run


def whole_path(
    log_path: Path,
    reference_path: Path,
    folder: Path,
    spec: WindowSpec = WINDOWS_SPEC,
    *,
    joint: bool = True,
) -> Callable[[], object]:
    """From the log's file to windows, PSI and KS of every column, rules and positions in SQLite.

    With `joint` the correlations of the columns, too.
    """
    log = log_path.read_bytes()
    lines, now = log.count(b"\n"), log_end(log)
    name = str(time.monotonic_ns())
    store = Store.open(f"sqlite:///{folder / name}.db")
    references = FileReferences(str(reference_path))
    engine = Engine(
        model=MODEL,
        streams=[
            Stream(
                "log",
                Tail(TailSettings(path=str(log_path))),
                KedgeFormat(MODEL, references.schema(), options=FormatOptions()),
            )
        ],
        windows=Windows(spec, MODEL, joint=joint),
        references=references,
        judge=Judge(rules=RULES, confidence=0.95, psi_bins=10),
        store=store,
        metrics=Metrics(columns_max=500, versions_max=20),
        quarantine=Quarantine(folder / f"{name}.quarantine"),
        commit_interval_s=0.5,
        idle_s=60.0,
        wall=lambda: now,
    )
    engine.restore(store.load())

    def run() -> None:
        while engine.turn().busy:
            pass
        engine.stop()
        store.close()
        # Events that were late or clamped would be cheap, and prove nothing.
        refuse_unless(engine.committed.totals["log"], Totals(events=lines))

    return run


def measured(parts: dict[str, Part], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each part, a figure for every round; rounds alternate over the parts."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            run = part()
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    log = log_bytes(arguments.events)
    reference = reference_of(log)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "log.jsonl").write_bytes(log)
        (folder / "dense.jsonl").write_bytes(log_bytes(arguments.events, DENSE_EVENTS_PER_S))
        (folder / "reference.kedge").write_bytes(reference_file.dump(reference))
        parts: dict[str, Part] = {
            "msgspec typed, the log at once": partial(parse, log, len(log) + 1),
            "msgspec typed, a block at a time": partial(parse, log, BLOCK_BYTES),
            "columns": partial(decode, log, reference),
            "columns, windows": partial(count, log, reference, joint=True),
            "the same without correlations": partial(count, log, reference, joint=False),
            f"the whole path, {EVENTS_PER_S} events/s": partial(
                whole_path, folder / "log.jsonl", folder / "reference.kedge", folder
            ),
            f"the whole path, {DENSE_EVENTS_PER_S:,} events/s": partial(
                whole_path, folder / "dense.jsonl", folder / "reference.kedge", folder
            ),
            "the same, without correlations": partial(
                whole_path, folder / "dense.jsonl", folder / "reference.kedge", folder, joint=False
            ),
        }
        spare_collector()
        seconds = measured(parts, arguments.rounds)
    report(seconds, arguments.events, len(log))


def report(seconds: dict[str, list[float]], events: int, log_bytes_: int) -> None:
    print(f"{events} events of {log_bytes_ / events:.0f} bytes, {NUMBERS + CATEGORIES} features")
    at_once, by_block, *_ = seconds
    print(f"{'':<34} {'events/s/core':>14} {'of at once':>11} {'of by block':>12}")
    for name, rounds in seconds.items():
        rate = events / statistics.median(rounds)
        ratios = [
            statistics.median(b / a for a, b in zip(rounds, seconds[base], strict=True))
            for base in (at_once, by_block)
        ]
        print(f"{name:<34} {rate:>14,.0f} {ratios[0]:>11.0%} {ratios[1]:>12.0%}")


if __name__ == "__main__":
    main()
