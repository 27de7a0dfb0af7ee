"""What a replay found, as a table for people or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from monitor.cli.screen import fitting, screen, texts
from monitor.store.queries import described, rfc3339

if TYPE_CHECKING:
    from monitor.replay.replay import Replayed


class Findings:
    """What is said in the end of all windows; the windows themselves are not kept.

    Attributes
    ----------
    fired
        Confirmed breaches in the order of their windows, each with the time at which it cleared.
    """

    def __init__(self) -> None:
        self.fired: list[dict[str, Any]] = []
        self._open: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._windows = 0
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._begins, self._ends = float("inf"), -float("inf")
        self._versions: dict[str, None] = {}

    def read(self, windows: Iterable[Replayed]) -> None:
        """Take in windows."""
        for one in windows:
            self.take(one)

    def take(self, one: Replayed) -> None:
        """Take in a window."""
        window = one.window
        self._windows += 1
        self._versions[window["version"]] = None
        self._begins = min(self._begins, window["begins"])
        self._ends = max(self._ends, window["ends"])
        self._verdicts.update(one.verdicts.items())
        for incident in one.incidents:
            self._hear(incident)

    def _hear(self, incident: Mapping[str, Any]) -> None:
        key = (incident["rule"], incident["version"], incident["segment"])
        if incident["kind"] == "confirmed":
            self._open[key] = _fired(incident)
            self.fired.append(self._open[key])
        elif incident["kind"] == "cleared" and key in self._open:
            self._open.pop(key)["cleared"] = rfc3339(incident["at"])

    def show(self, rules: Sequence[str]) -> None:
        """Print what would have fired, and what each rule said of all windows."""
        console = screen()
        console.print(self._headline(), highlight=False, markup=False)
        if not self._windows:
            return
        if self.fired:
            console.print(fitting(_fired_table(self.fired), console))
        else:
            console.print("nothing would have fired", highlight=False)
        if rules:
            console.print(fitting(self._rules_table(rules), console))

    def _headline(self) -> str:
        if not self._windows:
            return "no window closed: the logs hold too few events"
        versions = list(self._versions)
        of = f"version {versions[0]}" if len(versions) == 1 else f"{len(versions)} versions"
        return (
            f"{self._windows:,} windows of {of}, "
            f"from {_minute(self._begins)} to {_minute(self._ends)}"
        )

    def _rules_table(self, rules: Sequence[str]) -> Table:
        table = _table("rule", "ok", "breach", "unknown", "fired", right=4)
        fired = Counter(one["rule"] for one in self.fired)
        for rule in rules:
            counts = [f"{self._verdicts[rule, v]:,}" for v in ("ok", "breach", "unknown")]
            table.add_row(*texts(rule, *counts, f"{fired[rule]:,}"))
        return table


def printed_json(windows: Iterable[Replayed], findings: Findings) -> None:
    """Print windows as they close, and then what fired: as one object, never held whole."""
    out = sys.stdout
    out.write('{"windows":[')
    before = ""
    for one in windows:
        findings.take(one)
        out.write(before + json.dumps(_window(one)))
        before = ",\n"
    out.write('],\n"fired":' + json.dumps(findings.fired) + "}\n")


def _window(one: Replayed) -> dict[str, Any]:
    return {
        "start": rfc3339(one.window["begins"]),
        "end": rfc3339(one.window["ends"]),
        **({"segment": one.window["segment"]} if one.window["segment"] else {}),
        "events": one.window["events"],
        "measurements": list(_measurements(one)),
        "rules": [{"rule": rule, "verdict": verdict} for rule, verdict in one.verdicts.items()],
    }


def _measurements(one: Replayed) -> Iterator[dict[str, Any]]:
    for row in one.measurements:
        measurement = described(row, "raw")
        del measurement["ends"]
        yield measurement


def _fired(incident: Mapping[str, Any]) -> dict[str, Any]:
    evidence = incident["evidence"]
    times = {"window_begins": "window_start", "window_ends": "window_end"}
    return {
        "at": rfc3339(incident["at"]),
        "cleared": None,
        "rule": incident["rule"],
        "model": incident["model"],
        "version": incident["version"],
        "segment": incident["segment"] or None,
        **{key: value for key, value in evidence.items() if key not in times},
        **{name: rfc3339(evidence[key]) for key, name in times.items() if key in evidence},
    }


def _fired_table(fired: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "fired", "cleared", "rule", "version", "column", "value [low, high]", "threshold"
    )
    for one in fired:
        bounds = (
            f"{_figure(one.get('value'))} [{_figure(one.get('low'))}, {_figure(one.get('high'))}]"
        )
        cleared = one["cleared"] and one["cleared"][:19].replace("T", " ")
        table.add_row(
            *texts(one["at"][:19].replace("T", " "), cleared or "-", one["rule"], _of(one)),
            *texts(one.get("column"), bounds, _figure(one.get("threshold"))),
        )
    return table


def _of(fired: Mapping[str, Any]) -> str:
    return f"{fired['version']}, {fired['segment']}" if fired["segment"] else str(fired["version"])


def _table(*headings: str, right: int = 0) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        is_figure = place >= len(headings) - right
        table.add_column(heading, justify="right" if is_figure else "left", overflow="fold")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
