"""One peer over two tables, whole: run by `benchmarks.statistics` in the peer's environment.

    python peer_statistics.py (pandas|evidently|nannyml|whylogs) TABLES.npz

Reads both tables into pandas frames, measures drift of every column, and ends; the caller counts
the CPU of the whole process. Prints CPU seconds of the comparison alone, and how many statistics
it was for. It imports nothing of Kedge: its packages are not there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

#: PSI as most write it by hand: ten bins at the quantiles of the reference, empty ones floored.
BINS, FLOOR = 10, 1e-4

#: A frame or an array of a package that is not in our environment.
Foreign: TypeAlias = Any

#: Compares two frames, of which the columns of numbers are named, and counts its statistics.
Compare = Callable[[Foreign, Foreign, list[str]], int]


def tables(path: str) -> tuple[Foreign, Foreign, list[str]]:
    numpy = importlib.import_module("numpy")
    pandas = importlib.import_module("pandas")
    with numpy.load(path) as file:
        arrays = dict(file)
    frames = []
    for side in ("reference", "window"):
        numbers, codes = arrays[f"{side}_numbers"], arrays[f"{side}_codes"]
        columns = {f"number_{i}": column for i, column in enumerate(numbers)}
        names = [numpy.array([f"v{code}" for code in range(max(column) + 1)]) for column in codes]
        for i, column in enumerate(codes):
            columns[f"category_{i}"] = names[i].astype(object)[column]
        frames.append(pandas.DataFrame(columns))
    return frames[0], frames[1], [name for name in frames[0] if name.startswith("number")]


def by_hand(reference: Foreign, window: Foreign, numbers: list[str]) -> int:
    """KS by scipy and PSI by numpy, column by column."""
    numpy = importlib.import_module("numpy")
    stats = importlib.import_module("scipy.stats")

    def index(expected: Foreign, actual: Foreign) -> float:
        expected, actual = numpy.maximum(expected, FLOOR), numpy.maximum(actual, FLOOR)
        return float(((actual - expected) * numpy.log(actual / expected)).sum())

    count = 0
    for name in reference:
        if name in numbers:
            stats.ks_2samp(reference[name], window[name])
            edges = numpy.quantile(reference[name], numpy.linspace(0, 1, BINS + 1)[1:-1])
            shares = [
                numpy.bincount(numpy.digitize(side[name], edges), minlength=BINS) / len(side)
                for side in (reference, window)
            ]
        else:
            before, after = (
                side[name].value_counts(normalize=True) for side in (reference, window)
            )
            every = before.index.union(after.index)
            shares = [side.reindex(every, fill_value=0) for side in (before, after)]
        index(*shares)
        count += 1 + (name in numbers)
    return count


def by_evidently(reference: Foreign, window: Foreign, numbers: list[str]) -> int:
    evidently = importlib.import_module("evidently")
    drift = importlib.import_module("evidently.metrics").ValueDrift
    others = [name for name in reference if name not in numbers]
    kinds = evidently.DataDefinition(numerical_columns=numbers, categorical_columns=others)
    before, now = (
        evidently.Dataset.from_pandas(side, data_definition=kinds) for side in (reference, window)
    )
    asked = [drift(column=name, method=method) for name in numbers for method in ("ks", "psi")]
    asked += [drift(column=name, method="psi") for name in others]
    return len(evidently.Report(asked).run(now, before).dict()["metrics"])


def by_nannyml(reference: Foreign, window: Foreign, numbers: list[str]) -> int:
    """KS, and Jensen-Shannon in the place of PSI, which it has not."""
    nannyml = importlib.import_module("nannyml")
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(reference),
        continuous_methods=["kolmogorov_smirnov", "jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        chunk_size=len(window),
    )
    calculator.fit(reference)
    calculator.calculate(window)
    return len(reference.columns) + len(numbers)


def by_whylogs(reference: Foreign, window: Foreign, _numbers: list[str]) -> int:
    """A profile of each side, and their drift scores: KS or chi-square, one a column."""
    whylogs = importlib.import_module("whylogs")
    scores = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")
    before, now = (whylogs.log(side).profile().view() for side in (reference, window))
    return len(scores.calculate_drift_scores(target_view=now, reference_view=before))


PEERS: dict[str, Compare] = {
    "pandas": by_hand,
    "evidently": by_evidently,
    "nannyml": by_nannyml,
    "whylogs": by_whylogs,
}


def main() -> None:
    peer, path = sys.argv[1:]
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        sides = tables(path)
        began = time.process_time()
        statistics = PEERS[peer](*sides)
        seconds = time.process_time() - began
    print(json.dumps({"computing": seconds, "statistics": statistics}))


if __name__ == "__main__":
    main()
