"""A report as words, tables and pictures, ready for the page: from facts alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.judging.incidents import told_cause
from monitor.reports.facts import (
    INVALID,
    MISSING,
    NEW,
    POINTS_OF_COLUMN,
    Facts,
    VersionFacts,
)
from monitor.reports.figures import Figure, beside, cell, lines_of, whole_of
from monitor.reports.series import Point, Series
from monitor.reports.standing import NAMES, ORDER, Standing, standing
from monitor.reports.words import headline, moment, rollback, summary

#: Columns with a section of their own, the gravest; all have a row in the table of columns.
SECTIONS_MAX: Final = 150
#: Versions whose pictures a column shows: those in which it drifted, and the latest.
PICTURED_MAX: Final = 2
#: Metrics of whole windows that are drawn.
WHOLE_MAX: Final = 30


@dataclass(frozen=True, slots=True)
class Row:
    """A column in the table of columns, and in the list of those that drifted."""

    name: str
    anchor: str
    version: str
    state: str
    label: str
    mark: str
    about: str
    metric: str
    worst: Point | None
    since: str
    breaches: int
    windows: int


@dataclass(frozen=True, slots=True)
class Column:
    """The section of a column."""

    name: str
    anchor: str
    rows: Sequence[Row]
    figures: Sequence[Figure]
    head: Sequence[str]
    metrics: Sequence[Sequence[object]]
    new: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page."""

    facts: Facts
    grave: str
    headline: str
    sentences: Sequence[str]
    drifted: Sequence[Row]
    rows: Sequence[Row]
    columns: Sequence[Column]
    whole: Sequence[Figure]
    fired: Sequence[Mapping[str, Any]]
    rollbacks: Sequence[Mapping[str, Any]]
    versions: Sequence[Sequence[object]]
    notes: Sequence[str]


def report(facts: Facts) -> Report:
    """Make a report of facts."""
    latest = list(facts.versions)[::-1]
    by_column: dict[str, list[Standing]] = {}
    for one in latest:
        for name in one.columns():
            by_column.setdefault(name, []).append(standing(one, name))
    order = sorted(by_column, key=lambda name: (*min(map(_gravity, by_column[name])), name))
    anchors = {name: f"column-{index}" for index, name in enumerate(order[:SECTIONS_MAX], 1)}
    standings = [one for name in order for one in sorted(by_column[name], key=_gravity)]
    rows = [_row(one, anchors) for one in standings]
    grave, words = headline(facts, standings)
    versions = {one.version: one for one in facts.versions}
    return Report(
        facts=facts,
        grave=grave,
        headline=words,
        sentences=summary(facts, standings),
        drifted=[row for row in rows if row.state == "drifted"],
        rows=rows,
        columns=[
            _column(sorted(by_column[name], key=_gravity), versions, anchors[name])
            for name in order[:SECTIONS_MAX]
        ],
        whole=list(whole_of(latest))[:WHOLE_MAX],
        fired=list(_fired(facts.incidents)),
        rollbacks=[_rollback(one) for one in facts.rollbacks],
        versions=[
            (one.version, f"{one.windows:,}", moment(one.begins), moment(one.ends))
            for one in facts.versions
        ],
        notes=[*facts.notes, *_left_out(order)],
    )


def _gravity(one: Standing) -> tuple[int, float]:
    return ORDER[one.state], -one.severity


def _left_out(order: Sequence[str]) -> Iterator[str]:
    if len(order) > SECTIONS_MAX:
        yield (
            f"Only the {SECTIONS_MAX} gravest of {len(order):,} columns have a section; "
            "the table of columns has all."
        )


def _row(one: Standing, anchors: Mapping[str, str]) -> Row:
    label, mark = NAMES[one.state]
    series = one.series.get(one.drawn)
    return Row(
        *(one.column, anchors.get(one.column, ""), one.version, one.state, label, mark, one.about),
        one.drawn,
        series.worst if series else None,
        moment(one.since) if one.since is not None else "",
        max((one.series[metric].breaches for metric in one.breached), default=0),
        series.windows if series else 0,
    )


def _column(
    standings: Sequence[Standing], versions: Mapping[str, VersionFacts], anchor: str
) -> Column:
    name = standings[0].column
    figures = [
        beside(one, versions[one.version])
        for one in standings[:PICTURED_MAX]
        if name in versions[one.version].last or name in versions[one.version].worst
    ]
    drawn = standings[0].drawn
    if drawn:
        title = f"{drawn} over time"
        figures.append(
            lines_of(
                title, {one.version: one.series.get(drawn) for one in standings}, POINTS_OF_COLUMN
            )
        )
    for metric, title in (
        (MISSING, "Missing values"),
        (NEW, "New values"),
        (INVALID, "Values of a wrong type"),
    ):
        series = {one.version: one.series.get(metric) for one in standings}
        if metric != drawn and any(_seen(one) for one in series.values()):
            figures.append(
                lines_of(f"{title} over time", series, POINTS_OF_COLUMN // 2, percent=True)
            )
    new: dict[str, int] = {}
    for one in standings:
        of = versions[one.version]
        for kept in (of.newest, of.worst, of.last):
            for one_new in kept[name].column.bins if name in kept else ():
                if one_new.new and one_new.value is not None:
                    value = str(one_new.value)
                    new[value] = max(one_new.current, new.get(value, 0))
    return Column(
        name,
        anchor,
        [_row(one, {name: anchor}) for one in standings],
        figures,
        ("metric", "version", "last", "low", "high", "worst", "threshold", "in breach"),
        [row for one in standings for row in _metrics(one)],
        sorted(new.items(), key=lambda pair: (-pair[1], pair[0])),
    )


def _seen(series: Series | None) -> bool:
    worst = series.worst if series else None
    return worst is not None and bool(worst.value)


def _metrics(one: Standing) -> Iterator[Sequence[object]]:
    for metric, series in one.series.items():
        last, worst = series.last, series.worst
        if last is None or worst is None:
            continue
        yield (
            *(metric, one.version, cell(last.value), cell(last.low), cell(last.high)),
            *(cell(worst.value), cell(last.threshold)),
            f"{series.breaches:,} of {series.windows:,}",
        )


def _fired(incidents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in incidents:
        evidence = one["evidence"]
        named = [each["column"] for each in evidence.get("columns") or ()]
        cause = evidence.get("cause")
        yield {
            "at": moment(one["at"]),
            "kind": one["kind"],
            "rule": one["rule"] or ("rollback" if one.get("rollback") else ""),
            "version": one["version"] or "",
            "segment": one.get("segment") or "",
            "columns": ", ".join(named) or evidence.get("column") or "",
            "metric": evidence.get("metric") or "",
            "value": cell(evidence.get("value")),
            "low": cell(evidence.get("low")),
            "high": cell(evidence.get("high")),
            "threshold": cell(evidence.get("threshold")),
            "why": evidence.get("why") or (told_cause(cause) if cause else ""),
        }


def _rollback(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "id": record["id"],
        "at": moment(record["created"]),
        "ended": moment(record["updated"]) if record["outcome"] else "",
        "told": rollback(record),
        "state": record["state"],
        "outcome": record["outcome"] or "not over",
        "gates": [
            f"{gate['gate']}: {'passed' if gate['passed'] else 'refused'}; {gate['detail']}"
            for gate in record["gates"]
        ],
        "steps": [f"{step['step']}: {step['state']}. {step['detail']}" for step in record["steps"]],
    }
