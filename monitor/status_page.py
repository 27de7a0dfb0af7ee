"""The status page as HTML: from facts to a template of :file:`monitor/pages`. Pure.

Every value from the data is escaped by the template engine; the only markup that is not are the
pictures of :mod:`monitor.charts`, which an XML library writes. There is no style and no script in
the page, so its policy forbids both.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from detectors.side_by_side import SideBySide
from monitor import charts
from monitor.last_windows import LastWindow
from monitor.shadow_segments import most_apart
from monitor.status_facts import Facts
from monitor.timeline import timeline
from monitor.verdict import Moment, columns_in_breach, columns_of, figure, seconds_of, verdict

if TYPE_CHECKING:
    from jinja2 import Environment

Json: TypeAlias = Mapping[str, Any]

PAGES: Final = Path(__file__).with_name("pages")
#: Columns that are drawn: those in breach, the worst first.
PICTURES_MAX: Final = 6
#: Columns in the table of all of them.
COLUMNS_MAX: Final = 100
#: Rows of the table beside the pictures of traffic.
TRAFFIC_ROWS_MAX: Final = 20
_GRAVITY: Final = {"breach": 0, "ok": 1, "unknown": 2}
#: Which of a column's metrics stands for it, where none is in breach.
_FIRST: Final = ("drift", "psi", "ks", "chi2", "js", "wasserstein")


@dataclass(frozen=True, slots=True)
class Picture:
    """One column of a version's last window beside its reference."""

    column: str
    version: str
    window: LastWindow
    svg: str
    said: str
    rows: Sequence[tuple[str, float, float]]
    missing: tuple[float, float]
    measured: Json | None
    chosen: bool = False


def render(facts: Facts, column: str | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    column
        A column of the live version's last window to be drawn whatever the rules say of it.
    """
    from markupsafe import Markup  # noqa: PLC0415 - with the template engine, at the first look

    status = facts.status
    latency, throughput = _traffic(facts)
    context = {
        "facts": facts,
        "status": status,
        "model": status["model"],
        "verdict": verdict(status, facts.incidents, facts.rollbacks, facts.now),
        "pictures": _pictures(facts, column),
        "columns": _columns(facts),
        "columns_max": COLUMNS_MAX,
        "latency": latency,
        "throughput": throughput,
        "recent": facts.windows[:TRAFFIC_ROWS_MAX],
        "shadow": status.get("shadow"),
        "shadow_segments": most_apart(status.get("shadow") or {}),
        "happenings": timeline(facts.incidents),
        "targets": _targets(status),
        "svg": Markup,
    }
    return _environment().get_template("status.html").render(context)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 2 MB

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(PAGES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "figure": figure,
        "seconds": seconds_of,
        "iso": lambda at: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        "told": lambda at, now: Moment(at).told(now),
        "share": lambda share: f"{share:.1%}",
    }
    environment.tests["moment"] = lambda part: isinstance(part, Moment)
    return environment


def _pictures(facts: Facts, chosen: str | None) -> list[Picture]:
    """Draw the columns that rules find in breach, and those of the version that was left."""
    live = facts.status["model"]["live_version"]
    wanted = [(live, name) for name in columns_in_breach(facts.status, facts.incidents)]
    if facts.left != live:
        wanted += [(facts.left, name) for name in _left_for(facts)]
    pictures = []
    if chosen is not None:
        pictures = [_picture(facts, live, chosen, chosen=True)]
        wanted = [one for one in wanted if one != (live, chosen)]
    pictures += [_picture(facts, *one) for one in dict.fromkeys(wanted)]
    return [one for one in pictures if one is not None][:PICTURES_MAX]


def _left_for(facts: Facts) -> list[str]:
    found: dict[str, None] = {}
    for one in facts.incidents:
        if one["rule"] and one["version"] == facts.left and one["kind"] != "cleared":
            found.update(dict.fromkeys(columns_of(one["evidence"])))
    return list(found)


def _picture(
    facts: Facts, version: str | None, name: str, *, chosen: bool = False
) -> Picture | None:
    window = facts.pictured.get(version or "")
    column = None if window is None else window.columns.get(name)
    if version is None or window is None or column is None:
        return None
    before, now = charts.shares_of(column)
    labels = [charts.bin_label(one) for one in column.bins]
    said = f"{name}: {_changes_most(labels, before, now)}"
    return Picture(
        column=name,
        version=version,
        window=window,
        svg=charts.histogram(column, said),
        said=said,
        rows=list(zip(labels, before, now, strict=True)),
        missing=_missing(column),
        measured=next((one for one in _of_columns(facts, version) if one["column"] == name), None),
        chosen=chosen,
    )


def _changes_most(labels: Sequence[str], before: Sequence[float], now: Sequence[float]) -> str:
    """Say where a window differs most from its reference, for who does not see the picture."""
    changes = sorted(zip(labels, before, now, strict=True), key=lambda one: -abs(one[2] - one[1]))
    label, was, is_now = changes[0]
    if round(was, 3) == round(is_now, 3):
        return "the window looks like the reference."
    return f"“{label}” went from {was:.1%} of the rows to {is_now:.1%}."


def _missing(column: SideBySide) -> tuple[float, float]:
    before = column.reference_rows + column.reference_missing
    now = column.current_rows + column.current_missing
    return column.reference_missing / max(1, before), column.current_missing / max(1, now)


def _columns(facts: Facts) -> list[Json]:
    live = facts.status["model"]["live_version"]
    return _of_columns(facts, live) if live else []


def _of_columns(facts: Facts, version: str) -> list[Json]:
    """Return one measurement a column of a version's last window, the gravest first."""
    best: dict[str, Json] = {}
    for one in facts.measured.get(version, ()):
        name = one["column"]
        if name is not None and (name not in best or _rank(one) < _rank(best[name])):
            best[name] = one
    return sorted(best.values(), key=lambda one: (*_rank(one)[:1], -_excess(one), one["column"]))


def _rank(measured: Json) -> tuple[int, int]:
    metric = measured["metric"]
    first = _FIRST.index(metric) if metric in _FIRST else len(_FIRST)
    return _GRAVITY[measured["verdict"]], first


def _excess(measured: Json) -> float:
    """How much of its limit a measurement uses up."""
    value, threshold = measured["value"], measured["threshold"]
    return abs(value) / abs(threshold) if value is not None and threshold else 0.0


def _traffic(facts: Facts) -> tuple[str, str]:
    """Draw latency and throughput of the last windows, of all versions together."""
    # Of several versions' windows that end together, the one with the most traffic.
    by_end = {
        one["window_end"]: one for one in sorted(facts.windows, key=lambda one: one["events"] or 0)
    }
    windows = [by_end[end] for end in sorted(by_end)]

    def over_time(metric: str) -> list[tuple[float, float | None]]:
        return [(seconds_of(one["window_end"]), one.get(metric)) for one in windows]

    last = windows[-1] if windows else {}
    slow = figure(last.get("latency_p99"))
    latency = charts.lines(
        {"p50": over_time("latency_p50"), "p99": over_time("latency_p99")},
        f"Latency over the last {len(windows)} windows; 99 of 100 answers took at most {slow} ms "
        "in the last one.",
        unit=lambda value: f"{value:g} ms",
    )
    rate = figure(last.get("throughput"))
    throughput = charts.lines(
        {"requests": over_time("throughput")},
        f"Requests a second over the last {len(windows)} windows; {rate} in the last one.",
    )
    return latency, throughput


def _targets(status: Json) -> list[str]:
    live = status["model"]["live_version"]
    return [one["version"] for one in status["versions"] if one["version"] not in (live, "unknown")]
