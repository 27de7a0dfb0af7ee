"""One peer's verdict on windows of many streams: run by `benchmarks.detection`, where the peer is.

    python peer_verdicts.py (pandas|river|evidently|nannyml|whylogs) FOLDER

FOLDER holds a ``.npz`` file a stream: ``rows`` of a window, and for each column its reference
(``reference/NAME``) and its windows one behind the other (``stream/NAME``). Prints, as JSON, for
each detector of the peer and each stream one verdict a window, and the versions used. Defaults
are the peer's own, or what is in common use; the docstring of each says which. It imports
nothing of Kedge.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

#: A frame or an array of a package that is not in our environment.
Foreign: TypeAlias = Any

#: Verdicts by detector, one a window.
Verdicts = dict[str, list[bool]]

ALPHA = 0.05
BINS, FLOOR, PSI_MAX = 10, 1e-4, 0.2
KSWIN_ROWS_MAX = 10_000


def by_scipy(reference: Foreign, stream: Foreign, rows: int) -> Verdicts:
    """KS and chi-square with Bonferroni at 5 %, and PSI over deciles above 0.2, any column."""
    stats = importlib.import_module("scipy.stats")
    numpy = importlib.import_module("numpy")
    tests, indices = [], []
    for window in windows(stream, rows):
        p_values, psi = [], []
        for name in reference:
            before, now = reference[name].dropna(), window[name].dropna()
            if before.dtype == object:
                table = counts_of(before, now)
                expected, actual = table / table.sum(axis=1, keepdims=True)
                p_value = stats.chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0
            else:
                p_value = stats.ks_2samp(before, now).pvalue if len(now) else 1.0
                edges = numpy.unique(numpy.quantile(before, numpy.linspace(0, 1, BINS + 1)[1:-1]))
                expected, actual = (
                    numpy.bincount(numpy.digitize(side, edges), minlength=edges.size + 1)
                    / max(1, len(side))
                    for side in (before, now)
                )
            p_values.append(p_value)
            expected, actual = numpy.maximum(expected, FLOOR), numpy.maximum(actual, FLOOR)
            psi.append(((actual - expected) * numpy.log(actual / expected)).sum())
        tests.append(min(p_values) < ALPHA / len(p_values))
        indices.append(max(psi) > PSI_MAX)
    return {"KS, chi2, Bonferroni 5 %": tests, "PSI > 0.2": indices}


def by_river(reference: Foreign, stream: Foreign, rows: int) -> Verdicts:
    """ADWIN and PageHinkley on each number column, KSWIN on the first; any of them.

    Warmed on the reference. KSWIN takes a millisecond a value, so that it sees the end of the
    reference and one column only, and no stream of huge windows.
    """
    drift = importlib.import_module("river.drift")
    found: Verdicts = {}
    numbers = [name for name in reference if reference[name].dtype != object]
    for detector, warm in (("ADWIN", None), ("PageHinkley", None), ("KSWIN", 300)):
        verdicts = [False] * (len(stream) // rows)
        if warm and rows > KSWIN_ROWS_MAX:
            continue
        for name in numbers[:1] if warm else numbers:
            watching = getattr(drift, detector)(**({"seed": 1} if detector == "KSWIN" else {}))
            before = reference[name].dropna()
            for value in before.iloc[-warm:] if warm else before:
                watching.update(value)
            for row, value in enumerate(stream[name][: len(verdicts) * rows]):
                if value == value:  # noqa: PLR0124 - not NaN
                    watching.update(value)
                    verdicts[row // rows] |= bool(watching.drift_detected)
        found[f"river {detector}"] = verdicts
    return found


def by_evidently(reference: Foreign, stream: Foreign, rows: int) -> Verdicts:
    """DataDriftPreset as it comes: any column drifted, and at least half of them."""
    evidently = importlib.import_module("evidently")
    preset = importlib.import_module("evidently.presets").DataDriftPreset
    numbers = [name for name in reference if reference[name].dtype != object]
    others = [name for name in reference if name not in numbers]
    kinds = evidently.DataDefinition(numerical_columns=numbers, categorical_columns=others)
    before = evidently.Dataset.from_pandas(reference, data_definition=kinds)
    counts = []
    for window in windows(stream, rows):
        now = evidently.Dataset.from_pandas(window, data_definition=kinds)
        report = evidently.Report([preset()]).run(now, before).dict()
        drifted = next(one for one in report["metrics"] if "Drifted" in one["metric_name"])
        counts.append(drifted["value"]["count"])
    return {
        "Evidently, any column": [count > 0 for count in counts],
        "Evidently, half of them": [2 * count >= len(reference.columns) for count in counts],
    }


def by_nannyml(reference: Foreign, stream: Foreign, rows: int) -> Verdicts:
    """Univariate drift as it comes (Jensen-Shannon, mean -/+ 3 sd of reference chunks), any column.

    A reference of too few chunks cannot be fitted: then no window is told anything.
    """
    nannyml = importlib.import_module("nannyml")
    names = list(reference)
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, chunk_size=rows)
    whole = stream.iloc[: len(stream) // rows * rows]
    calculator.fit(reference)
    found = calculator.calculate(whole).filter(period="analysis").to_df()
    alerts = found.loc[:, [column for column in found.columns if column[-1] == "alert"]]
    return {"NannyML": alerts.any(axis=1).tolist()}


def by_whylogs(reference: Foreign, stream: Foreign, rows: int) -> Verdicts:
    """Its drift report as it comes (KS, chi-square): any column in the category ``DRIFT``."""
    whylogs = importlib.import_module("whylogs")
    scores = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")
    before = whylogs.log(reference).profile().view()
    verdicts = []
    for window in windows(stream, rows):
        now = whylogs.log(window).profile().view()
        found = scores.calculate_drift_scores(
            target_view=now, reference_view=before, with_thresholds=True
        )
        verdicts.append(any(one and one["drift_category"] == "DRIFT" for one in found.values()))
    return {"whylogs": verdicts}


def windows(stream: Foreign, rows: int) -> list[Foreign]:
    return [stream.iloc[start : start + rows] for start in range(0, len(stream) - rows + 1, rows)]


def counts_of(before: Foreign, now: Foreign) -> Foreign:
    numpy = importlib.import_module("numpy")
    sides = [side.value_counts() for side in (before, now)]
    names = sorted({*sides[0].index, *sides[1].index})
    return numpy.array([side.reindex(names, fill_value=0).to_numpy() for side in sides])


PEERS: dict[str, Callable[[Foreign, Foreign, int], Verdicts]] = {
    "pandas": by_scipy,
    "river": by_river,
    "evidently": by_evidently,
    "nannyml": by_nannyml,
    "whylogs": by_whylogs,
}


#: Distributions whose versions decide, besides numpy and pandas.
USED = {name: ("scipy",) if name == "pandas" else (name,) for name in PEERS}


def frame(arrays: Foreign, side: str) -> Foreign:
    pandas = importlib.import_module("pandas")
    columns = {}
    for key in arrays.files:
        if key.startswith(f"{side}/"):
            values = arrays[key]
            text = values.dtype.kind == "U"
            # An empty text stands for a missing one: NumPy's texts know no other.
            columns[key.partition("/")[2]] = (
                pandas.Series(values, dtype=object).where(values != "", None) if text else values
            )
    return pandas.DataFrame(columns)


def main() -> None:
    peer, folder = sys.argv[1:]
    warnings.simplefilter("ignore")
    numpy = importlib.import_module("numpy")
    found: dict[str, dict[str, list[bool]]] = {}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        for path in sorted(Path(folder).glob("*.npz")):
            arrays = numpy.load(path)
            reference, stream = frame(arrays, "reference"), frame(arrays, "stream")
            try:
                verdicts = PEERS[peer](reference, stream, int(arrays["rows"]))
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
                print(f"{peer} on {path.stem}: {error}", file=sys.stderr)
                continue
            for detector, alarms in verdicts.items():
                found.setdefault(detector, {})[path.stem] = [bool(alarm) for alarm in alarms]
    used = {
        name: metadata.version(name) for name in dict.fromkeys(("numpy", "pandas", *USED[peer]))
    }
    print(json.dumps({"versions": used, "verdicts": found}))


if __name__ == "__main__":
    main()
