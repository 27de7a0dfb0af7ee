"""One peer over a prediction log, in batches: run by `benchmarks.peers` in the peer's environment.

    python peer_batches.py (pandas|evidently|whylogs) LOG REFERENCE_EVENTS BATCH_EVENTS

Prints CPU seconds of everything after the imports and the reference, and how many events and
statistics they were for. It imports nothing of Kedge: its packages are not there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

#: PSI as most write it by hand: ten bins at the quantiles of the reference, empty ones floored.
BINS, FLOOR = 10, 1e-4

#: A frame or an array of a package that is not in our environment.
Foreign: TypeAlias = Any

#: Takes a batch as a frame, and returns how many statistics were made of it.
Compare = Callable[[Foreign], int]


def frames(path: str, events: int) -> Iterator[Foreign]:
    """The log's events as frames of so many rows: features and prediction."""
    pandas = importlib.import_module("pandas")
    rows = []
    with open(path, "rb") as log:  # noqa: PTH123 - plain, in somebody else's environment
        for line in log:
            event = json.loads(line)
            rows.append({**event["features"], "prediction": event["prediction"]})
            if len(rows) == events:
                yield pandas.DataFrame(rows)
                rows = []


def by_hand(reference: Foreign) -> Compare:
    """KS by scipy and PSI by numpy, column by column."""
    numpy = importlib.import_module("numpy")
    stats = importlib.import_module("scipy.stats")
    shares = importlib.import_module("pandas").Series.value_counts
    numbers = list(reference.select_dtypes("number"))
    others = [name for name in reference if name not in numbers]
    edges = {
        name: numpy.quantile(reference[name], numpy.linspace(0, 1, BINS + 1)[1:-1])
        for name in numbers
    }

    def index(expected: Foreign, actual: Foreign) -> float:
        expected, actual = numpy.maximum(expected, FLOOR), numpy.maximum(actual, FLOOR)
        return float(((actual - expected) * numpy.log(actual / expected)).sum())

    def binned(frame: Foreign, name: str) -> Foreign:
        cells = numpy.digitize(frame[name], edges[name])
        return numpy.bincount(cells, minlength=BINS) / len(frame)

    kept = {name: binned(reference, name) for name in numbers}
    named = {name: shares(reference[name], normalize=True) for name in others}

    def compare(batch: Foreign) -> int:
        for name in numbers:
            stats.ks_2samp(reference[name], batch[name])
            index(kept[name], binned(batch, name))
        for name in others:
            found = shares(batch[name], normalize=True).reindex(named[name].index, fill_value=0)
            index(named[name], found)
        return 2 * len(numbers) + len(others)

    return compare


def by_evidently(reference: Foreign) -> Compare:
    """Its drift of a value, by KS and by PSI, and nothing that it would only draw."""
    evidently = importlib.import_module("evidently")
    drift = importlib.import_module("evidently.metrics").ValueDrift
    numbers = list(reference.select_dtypes("number"))
    others = [name for name in reference if name not in numbers]
    kinds = evidently.DataDefinition(numerical_columns=numbers, categorical_columns=others)
    before = evidently.Dataset.from_pandas(reference, data_definition=kinds)
    asked = [drift(column=name, method=method) for name in numbers for method in ("ks", "psi")]
    asked += [drift(column=name, method="psi") for name in others]

    def compare(batch: Foreign) -> int:
        now = evidently.Dataset.from_pandas(batch, data_definition=kinds)
        report = evidently.Report(asked).run(now, before)
        return len(report.dict()["metrics"])

    return compare


def by_whylogs(reference: Foreign) -> Compare:
    """A profile of each batch, and the drift scores of its columns (KS, chi-square)."""
    whylogs = importlib.import_module("whylogs")
    scores = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")
    before = whylogs.log(reference).profile().view()

    def compare(batch: Foreign) -> int:
        view = whylogs.log(batch).profile().view()
        return len(scores.calculate_drift_scores(target_view=view, reference_view=before))

    return compare


PEERS: dict[str, Callable[[Foreign], Compare]] = {
    "pandas": by_hand,
    "evidently": by_evidently,
    "whylogs": by_whylogs,
}


def main() -> None:
    peer, log, reference_events, batch_events = sys.argv[1:]
    warnings.simplefilter("ignore")
    reference = next(frames(log, int(reference_events)))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        compare = PEERS[peer](reference)
        compare(reference)  # what is imported or compiled late is not what is measured
        events = statistics = 0
        began = time.process_time()
        for batch in frames(log, int(batch_events)):
            events += len(batch)
            statistics += compare(batch)
        seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "events": events, "statistics": statistics}))


if __name__ == "__main__":
    main()
