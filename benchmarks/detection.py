"""False alarms and drifts found, of Kedge's drift rule and of others on the same windows.

    python -m benchmarks.detection [--seeds 10] [--rows 500 2000] [--cases FILE]
                                   [--peers DIR] [--peer-seeds 2]

Streams are those of `benchmarks.streams`: quiet ones that fool tools which take rows for
independent or many looks for one, and drifts in three sizes; what a size means is said there. A
quiet stream counts every window that alarms; a drifting one is found if the first window of
drifted rows alarms ("at once"), or one by the end. The dummy that always alarms is printed too: a
detector is worth the difference to it. So is the best that any test could find at once, at one
false alarm in 100 windows (`benchmarks.best_possible`): what is missed beyond that is unavoidable.

Kedge runs with a budget of one false alarm in 100 windows, in 1,000, and in 8,640 (30 days of
windows of five minutes). With ``--peers`` the detectors of other packages judge the same windows,
in environments of their own that are made in DIR with pip or found there, each with its own
defaults (`benchmarks/peer_verdicts.py` says which); they are not given the huge windows, of which
one takes some of them a minute. ``--cases`` adds recorded streams: a JSON
list whose entries name a Parquet file beside it, rows of reference and stream, and where drift is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from benchmarks import peers
from benchmarks.best_possible import best_possible
from benchmarks.recorded import recorded
from benchmarks.streams import DRIFTS, QUIET, SIZES, Size, Stream, drifting, quiet
from collectors.batch import CategoryColumn, Column, PredictionBatch, Schema
from detectors.kinds import measure
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.rules.drift_memory import DriftMemory
from detectors.rules.drift_rule import DriftRule, DriftWindow
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.judgement import RuleSpec
from detectors.statistics.correlation import correlations_of
from detectors.windows.pane import Pane

#: Verdicts of one detector on one stream: whether each window alarms.
Alarms: TypeAlias = list[bool]

BUDGETS = {
    "Kedge, 1 in 100": 100.0,
    "Kedge, 1 in 1,000": 1_000.0,
    "Kedge, 1 in 8,640": 8_640.0,
}
ALWAYS = "always (dummy)"
QUIET_WINDOWS, DRIFT_WINDOWS = 25, 12
SHOWN: Sequence[Size] = ("small", "medium", "large")
#: These come over several windows: their first holds a tenth of what they will be.
COMING = ("gradual", "incremental")
SUDDEN = "all that come at once"
CONFIDENCE, PSI_BINS = 0.99, 10
#: Rows that a log brings at a time.
_BATCH_ROWS = 1_000

PEERS_AT_ONCE = 3
PEERS = ("pandas", "river", "evidently", "nannyml", "whylogs")


@dataclass(frozen=True, slots=True)
class Case:
    """A stream and what it is called."""

    name: str
    stream: Stream


def of_kedge(stream: Stream) -> dict[str, Alarms]:
    """Verdicts of the drift rule under each budget."""
    reference = reference_of(stream.reference)
    windows = [measured(stream, start, reference) for start in starts(stream)]
    return {name: judged(windows, reference, budget) for name, budget in BUDGETS.items()}


def judged(windows: Sequence[DriftWindow], reference: Reference, budget: float) -> Alarms:
    promise = DriftSpec.of_budget(1, budget)
    spec = RuleSpec("drift", "drift", ("*",), above=promise.tolerance, drift=promise)
    rule = DriftRule(spec, confidence=CONFIDENCE, psi_bins=PSI_BINS)
    memory: DriftMemory | None = None
    alarms = []
    for window in windows:
        found = rule.judge(window, reference, memory)
        memory = found.memory
        alarms.append(found.judgement.verdict == "breach")
    return alarms


def measured(stream: Stream, start: int, reference: Reference) -> DriftWindow:
    pane = Pane(reference, Schema({}))
    rows = slice(start, start + stream.window)
    pane.add(batch_of({name: column.take(rows) for name, column in stream.rows.items()}))
    found = measure(pane, reference, seconds=None, confidence=CONFIDENCE, psi_bins=PSI_BINS)
    together = correlations_of(pane.joint, reference)
    return DriftWindow(pane.columns, pane.events, float(start), found, correlations=together)


def reference_of(columns: Mapping[str, Column]) -> Reference:
    builder = ReferenceBuilder()
    rows = rows_of(columns)
    for start in range(0, rows, _BATCH_ROWS):
        part = slice(start, min(rows, start + _BATCH_ROWS))
        builder.add({name: column.take(part) for name, column in columns.items()})
    return builder.build(created=0.0, origin="benchmark")


def batch_of(columns: Mapping[str, Column]) -> PredictionBatch:
    rows = rows_of(columns)
    return PredictionBatch(
        model="m",
        version="1",
        role="live",
        latency_kind="model",
        ts=np.zeros(rows),
        latency_ms=np.full(rows, np.nan),
        status=np.full(rows, 200, np.int64),
        weight=np.ones(rows),
        columns=columns,
    )


def rows_of(columns: Mapping[str, Column]) -> int:
    return len(next(iter(columns.values())).values)


def starts(stream: Stream) -> range:
    return range(0, rows_of(stream.rows) - stream.window + 1, stream.window)


def quiet_cases(seeds: int, window: int) -> Iterator[Callable[[], Case]]:
    for family in QUIET:
        for seed in range(seeds):
            yield _Quiet(family, seed, window)


def drifting_cases(seeds: int, window: int, *, huge: bool = True) -> Iterator[Callable[[], Case]]:
    for family, sizes in SIZES.items():
        if family.startswith("tiny") and not huge:
            continue
        for size in sizes:
            for seed in range(seeds):
                yield _Drifting(family, size, seed, window)


@dataclass(frozen=True, slots=True)
class _Quiet:
    """Made where it is judged: a stream is large, and its recipe is small."""

    family: str
    seed: int
    window: int

    def __call__(self) -> Case:
        stream = quiet(self.family, self.seed, window=self.window, windows=QUIET_WINDOWS)
        return Case(f"{self.family}|quiet|{self.seed}", stream)


@dataclass(frozen=True, slots=True)
class _Drifting:
    family: str
    size: Size
    seed: int
    window: int

    def __call__(self) -> Case:
        stream = drifting(
            self.family, self.size, self.seed, window=self.window, windows=DRIFT_WINDOWS
        )
        return Case(f"{self.family}|{self.size}|{self.seed}", stream)


def _told(make: Callable[[], Case]) -> tuple[str, int | None, dict[str, Alarms]]:
    case = make()
    stream = case.stream
    begins = None if stream.begins is None else stream.begins // stream.window
    return case.name, begins, of_kedge(stream)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Alarms by detector and stream, and the first drifted window of each stream."""

    alarms: dict[str, dict[str, Alarms]]
    begins: dict[str, int | None]

    @classmethod
    def of_kedge(cls, cases: Sequence[Callable[[], Case]]) -> Verdicts:
        verdicts = cls({}, {})
        began = time.monotonic()
        with ProcessPoolExecutor() as pool:
            for number, (name, begins, found) in enumerate(pool.map(_told, cases), 1):
                verdicts.begins[name] = begins
                for detector, alarms in found.items():
                    verdicts.alarms.setdefault(detector, {})[name] = alarms
                progress(number, len(cases), began)
        verdicts.alarms[ALWAYS] = {
            name: [True] * len(alarms)
            for name, alarms in next(iter(verdicts.alarms.values())).items()
        }
        return verdicts

    def of_peer(self, peer: str, cases: Sequence[Callable[[], Case]], environments: Path) -> None:
        """Let a peer judge the streams, in its own environment; without it, say why."""
        try:
            self._of_peer(peer, cases, environments)
        except (peers.PeerMissing, OSError, subprocess.SubprocessError) as error:
            print(f"{peer}: left out: {error}", flush=True)

    def _of_peer(self, peer: str, cases: Sequence[Callable[[], Case]], environments: Path) -> None:
        python = peers.environment(peer, environments, peers.PINNED[peer])
        script = Path(__file__).with_name("peer_verdicts.py")
        with tempfile.TemporaryDirectory() as folder:
            for number, make in enumerate(cases):
                case = make()
                np.savez(Path(folder) / f"{number}.npz", **arrays(case.stream))  # type: ignore[arg-type]  # a keyword of its own in the stubs
            ran = subprocess.run(
                [str(python), str(script), peer, folder],
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode:
                raise peers.PeerMissing(f"it does not run: {peers.last_line(ran.stderr)}")
        told = json.loads(ran.stdout)
        used = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
        print(f"{peer}: {used}", flush=True)
        for detector, streams in told["verdicts"].items():
            named = {cases[int(number)]().name: alarms for number, alarms in streams.items()}
            self.alarms.setdefault(detector, {}).update(named)


def arrays(stream: Stream) -> dict[str, np.typing.NDArray[np.generic]]:
    packed: dict[str, np.typing.NDArray[np.generic]] = {"rows": np.array(stream.window)}
    for side, columns in (("reference", stream.reference), ("stream", stream.rows)):
        for name, column in columns.items():
            if isinstance(column, CategoryColumn):
                packed[f"{side}/{name}"] = np.array([value or "" for value in column.values])
            else:
                packed[f"{side}/{name}"] = column.values
    return packed


def show_quiet(verdicts: Verdicts) -> None:
    """False alarms in 100 windows, by family and detector."""
    print("\nFalse alarms in 100 windows in which nothing changed\n")
    families = list(QUIET)
    head(["", *families])
    for detector, streams in verdicts.alarms.items():
        cells = []
        for family in families:
            found = [alarms for name, alarms in streams.items() if of(name, family, "quiet")]
            windows = sum(map(len, found))
            cells.append(f"{100 * sum(map(sum, found)) / windows:.1f}" if windows else "-")
        line([detector, *cells])


def show_best(window: int) -> None:
    """Share of drifts that the best of all tests finds in the first drifted window."""
    print("\n**Best possible, 1 in 100, at once**\n")
    head(["", *SHOWN])
    found = {
        family: [100 * best_possible(family, size, window) for size in SHOWN] for family in DRIFTS
    }
    for family, shares in found.items():
        line([family, *(f"{share:.0f}" for share in shares)])
    for name, left_out in (("all", ()), (SUDDEN, COMING)):
        of_them = [shares for family, shares in found.items() if family not in left_out]
        line([name, *(f"{np.mean(shares):.0f}" for shares in zip(*of_them, strict=True))])


def show_drifts(verdicts: Verdicts) -> None:
    """Share of drifts that the first drifted window shows, and by the end; median delay."""
    print("\nDrifts found at once / by the end, %; median delay in windows of those found\n")
    for detector, streams in verdicts.alarms.items():
        print(f"**{detector}**\n")
        head(["", *SHOWN])
        for family in DRIFTS:
            cells = [_cell(verdicts, streams, (family,), size) for size in SHOWN]
            line([family, *cells])
        cells = [_cell(verdicts, streams, tuple(DRIFTS), size) for size in SHOWN]
        line(["all", *cells])
        sudden = tuple(family for family in DRIFTS if family not in COMING)
        line([SUDDEN, *(_cell(verdicts, streams, sudden, size) for size in SHOWN)])
        print()


def _cell(
    verdicts: Verdicts, streams: Mapping[str, Alarms], families: Sequence[str], size: str
) -> str:
    delays: list[int | None] = []
    for name, alarms in streams.items():
        begins = verdicts.begins[name]
        if begins is not None and any(of(name, family, size) for family in families):
            delays.append(next((i for i, alarm in enumerate(alarms[begins:]) if alarm), None))
    if not delays:
        return "-"
    found = [delay for delay in delays if delay is not None]
    at_once = sum(delay == 0 for delay in found)
    median = f"{statistics.median(found):g}" if found else "-"
    share = f"{100 * at_once / len(delays):.0f} / {100 * len(found) / len(delays):.0f}"
    return f"{share}; {median}"


def of(name: str, family: str, size: str) -> bool:
    its_family, its_size, _ = name.split("|")
    return (its_family, its_size) == (family, size)


def show_recorded(path: Path) -> None:
    """Alarms of Kedge on recorded streams, in and outside the spans that are known to drift."""
    print("\nRecorded streams: windows that alarm, of those with drift and of those without\n")
    head(["", "window", *BUDGETS])
    for one in recorded(path):
        if one.stream is None:
            line([one.name, "", one.reason])
            continue
        found = of_kedge(one.stream)
        cells = []
        for alarms in found.values():
            drift = [alarm for alarm, truth in zip(alarms, one.truth, strict=True) if truth]
            calm = [alarm for alarm, truth in zip(alarms, one.truth, strict=True) if truth is False]
            cells.append(f"{sum(drift)} of {len(drift)}, {sum(calm)} of {len(calm)}")
        line([one.name, str(one.stream.window), *cells])


def head(cells: Sequence[str]) -> None:
    line(cells)
    line(["---"] * len(cells))


def line(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def progress(done: int, all_of_them: int, began: float) -> None:
    if sys.stderr.isatty():
        left = (time.monotonic() - began) / done * (all_of_them - done)
        print(f"\r{done} of {all_of_them} streams, {left:.0f} s left ", end="", file=sys.stderr)


def compared(arguments: argparse.Namespace, window: int) -> None:
    seeds, fewer = arguments.seeds, arguments.peer_seeds
    cases = [*quiet_cases(max(4, seeds), window), *drifting_cases(seeds, window)]
    verdicts = Verdicts.of_kedge(cases)
    if arguments.peers is not None:
        peer_cases = [*quiet_cases(fewer, window), *drifting_cases(fewer, window, huge=False)]
        with ThreadPoolExecutor(PEERS_AT_ONCE) as pool:
            list(pool.map(lambda peer: verdicts.of_peer(peer, peer_cases, arguments.peers), PEERS))
    show_quiet(verdicts)
    show_best(window)
    show_drifts(verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="+", default=[500], help="of a window")
    parser.add_argument("--peers", type=Path, metavar="DIR")
    parser.add_argument("--peer-seeds", type=int, default=2)
    parser.add_argument("--cases", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    for window in arguments.rows:
        print(f"\n## Windows of {window:,} rows\n")
        compared(arguments, window)
    if arguments.cases is not None:
        show_recorded(arguments.cases)


if __name__ == "__main__":
    main()
