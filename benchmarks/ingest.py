"""Events a second and core of reading a prediction log, beside the JSON parser alone.

    python -m benchmarks.ingest [--events 200000] [--rounds 5]

All parts run in one process on the same bytes, round by round in turn, so that a busy machine
slows each alike; the figures are medians of CPU time (not wall time), so they are per core.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator

import msgspec

from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat

NUMBERS, CATEGORIES = 20, 3
CHUNK_BYTES = 1 << 20
MODEL = "flight-delay"


def log_bytes(events: int, seed: int = 7) -> bytes:
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
            "ts": 1772618400.0 + i * 0.01,
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


def measured(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each part, a list of one figure a round; rounds alternate over the parts."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            began = time.process_time()
            part()
            seconds[name].append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    log = log_bytes(arguments.events)
    decoder, format_ = typed_decoder(), KedgeFormat(MODEL)
    format_.decode(next(chunks(log, CHUNK_BYTES)))

    def parse(size: int) -> None:
        for chunk in chunks(log, size):
            decoder.decode_lines(chunk)

    def decode() -> None:
        for chunk in chunks(log, CHUNK_BYTES):
            format_.decode(chunk)

    parts: dict[str, Callable[[], object]] = {
        "msgspec typed, 64 KiB at a time": lambda: parse(BLOCK_BYTES),
        "msgspec typed, 1 MiB at a time": lambda: parse(CHUNK_BYTES),
        "format: columns": decode,
    }
    seconds = measured(parts, arguments.rounds)
    print(f"{arguments.events} events, {len(log) / arguments.events:.0f} bytes each")
    base = next(iter(seconds))
    for name, rounds in seconds.items():
        rate = arguments.events / statistics.median(rounds)
        ratio = statistics.median(b / a for a, b in zip(rounds, seconds[base], strict=True))
        print(f"{name:<36} {rate:>10,.0f} events/s/core   {ratio:>6.1%}")


if __name__ == "__main__":
    main()
