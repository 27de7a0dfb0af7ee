"""The status page as HTML: from facts to a template of :file:`monitor/page/templates`. Pure.

Every value from the data is escaped by the template engine; the only markup that is not are the
pictures of :mod:`monitor.pictures.charts`, which an XML library writes. There is no style and no
script in the page, so its policy forbids both.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from monitor.page.facts import Facts, Place
from monitor.page.timeline import timeline
from monitor.page.verdict import (
    Moment,
    columns_in_breach,
    excess,
    figure,
    left_for,
    listed,
    seconds_of,
    verdict,
)
from monitor.pictures import charts
from monitor.pictures.last_windows import LastWindow
from monitor.pictures.picture_words import missing_of, said_of
from monitor.shadow.shown import all_measured, most_apart

if TYPE_CHECKING:
    from jinja2 import Environment

Json: TypeAlias = Mapping[str, Any]

PAGES: Final = Path(__file__).with_name("templates")
#: Of pictures of columns: units of their own coordinates, of which a card has about as many.
WIDTH, HEIGHT = 340, 180
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
    window: LastWindow
    events: int
    svg: str
    said: str
    rows: Sequence[charts.Share]
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
    pictures, undrawn = _pictures(facts, column)
    context = {
        "facts": facts,
        "status": status,
        "model": status["model"],
        "verdict": verdict(status, facts.incidents, facts.rollbacks, facts.now, facts.measured),
        "pictures": pictures,
        "undrawn": listed(undrawn) if undrawn else "",
        "columns": _columns(facts),
        "columns_max": COLUMNS_MAX,
        "pictures_max": PICTURES_MAX,
        "latency": latency,
        "throughput": throughput,
        "recent": facts.windows[:TRAFFIC_ROWS_MAX],
        "shadow": status.get("shadow"),
        "shadow_measured": all_measured(status.get("shadow") or {}),
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


def _pictures(facts: Facts, chosen: str | None) -> tuple[list[Picture], list[str]]:
    """Draw the columns that rules find in breach, and those of the version that was left.

    Also names those that are not drawn: one too many, or without a picture.
    """
    live = facts.status["model"]["live_version"]
    wanted = columns_in_breach(facts.status, facts.incidents, facts.measured)
    if facts.left and facts.left != live:
        left = left_for(facts.left, facts.incidents)
        wanted += [((facts.left, segment), column) for segment, column in left]
    pictures: list[Picture | None] = []
    if chosen is not None:
        pictures = [_picture(facts, (live or "", ""), chosen, chosen=True)]
        wanted = [one for one in wanted if one != ((live, ""), chosen)]
    undrawn: dict[str, None] = {}
    for place, name in dict.fromkeys(wanted):
        picture = _picture(facts, place, name) if len(pictures) < PICTURES_MAX else None
        if picture is None:
            undrawn[name] = None
        else:
            pictures.append(picture)
    drawn = {one.column for one in pictures if one is not None}
    return [one for one in pictures if one is not None], [
        one for one in undrawn if one not in drawn
    ]


def _picture(facts: Facts, place: Place, name: str, *, chosen: bool = False) -> Picture | None:
    window = facts.pictured.get(place)
    column = None if window is None else window.columns.get(name)
    if window is None or column is None:
        return None
    said = said_of(column)
    return Picture(
        column=name,
        window=window,
        events=column.current_rows + column.current_missing,
        svg=charts.bars(column, f"{name}: {said}", width=WIDTH, height=HEIGHT),
        said=said,
        rows=charts.shares_of(column),
        missing=missing_of(column),
        measured=next((one for one in _of_columns(facts, place) if one["column"] == name), None),
        chosen=chosen,
    )


def _columns(facts: Facts) -> list[Json]:
    live = facts.status["model"]["live_version"]
    return _of_columns(facts, (live, "")) if live else []


def _of_columns(facts: Facts, place: Place) -> list[Json]:
    """Return one measurement a column of a version's last window, the gravest first."""
    best: dict[str, Json] = {}
    for one in facts.measured.get(place, ()):
        name = one["column"]
        if name is not None and (name not in best or _rank(one) < _rank(best[name])):
            best[name] = one
    return sorted(best.values(), key=lambda one: (*_rank(one)[:1], -excess(one), one["column"]))


def _rank(measured: Json) -> tuple[int, int]:
    metric = measured["metric"]
    first = _FIRST.index(metric) if metric in _FIRST else len(_FIRST)
    return _GRAVITY[measured["verdict"]], first


def _traffic(facts: Facts) -> tuple[str, str]:
    """Draw latency and throughput of the last windows, of all versions together."""
    # Of several versions' windows that end together, the one with the most traffic.
    by_end = {
        one["window_end"]: one for one in sorted(facts.windows, key=lambda one: one["events"] or 0)
    }
    windows = [by_end[end] for end in sorted(by_end)]

    def line(name: str, metric: str) -> charts.Line:
        return charts.Line(
            name, [charts.Bare(seconds_of(one["window_end"]), one.get(metric)) for one in windows]
        )

    last = windows[-1] if windows else {}
    slow = figure(last.get("latency_p99"))
    latency = charts.over_time(
        [line("v0", "latency_p99"), line("v1", "latency_p50")],
        f"Latency over the last {len(windows)} windows; 99 of 100 answers took at most {slow} ms "
        "in the last one.",
        figure=lambda value: f"{value:g} ms",
        height=HEIGHT,
    )
    rate = figure(last.get("throughput"))
    throughput = charts.over_time(
        [line("v0", "throughput")],
        f"Requests a second over the last {len(windows)} windows; {rate} in the last one.",
        height=HEIGHT,
    )
    return latency, throughput


def _targets(status: Json) -> list[str]:
    live = status["model"]["live_version"]
    return [one["version"] for one in status["versions"] if one["version"] not in (live, "unknown")]
