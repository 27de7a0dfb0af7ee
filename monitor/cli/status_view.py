"""The daemon's status as lines and tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from monitor.cli.screen import texts
from monitor.judging.incidents import told_cause
from monitor.shadow.shown import most_apart

#: Colours only repeat what the word says.
_STYLES: Final = {"ok": "green", "suspect": "yellow", "breach": "bold red", "unknown": "dim"}


def headlines(status: Mapping[str, Any]) -> Iterator[str]:
    """Say what is watched, what was counted, and what may be done."""
    model, totals = status["model"], status["totals"]["all"]
    live = model["live_version"]
    yield f"model {model['name']}: version {live or 'none seen yet'} serves ({model['alias']})"
    yield (
        f"{totals['events']:,} events, {totals['rejected']:,} rejected, "
        f"{totals['late']:,} late, {totals['shed']:,} shed"
    )
    yield f"rollback: {status['rollback']['state']}, mode {status['rollback']['mode']}"
    for hold in status.get("holds", []):
        until, reason = hold.get("until", "further notice"), hold.get("reason", "no reason given")
        yield f"held until {until}: {reason}{_by(hold)}"
    for one in status["rollback"].get("versions", []):
        if one.get("quarantined_until"):
            yield (
                f"version {one['version']} in quarantine until {one['quarantined_until']}: "
                f"{one.get('reason') or 'no reason given'}{_by(one)}"
            )
        elif one.get("blessed_at"):
            why = f": {one['reason']}" if one.get("reason") else ""
            yield f"version {one['version']} blessed {one['blessed_at']}{why}{_by(one)}"
    if status.get("shadow"):
        yield _shadow(status["shadow"])
    for rule in status["rules"]:
        if rule.get("cause"):
            yield f"{rule['name']}: {told_cause(rule['cause'])}"


def _shadow(shadow: Mapping[str, Any]) -> str:
    version = shadow["version"] or "unknown"
    asked = ", ".join(f"{count:,} {name}" for name, count in shadow["requests"].items() if count)
    text = f"shadow: version {version}, {shadow['state']}; {asked or 'nothing asked yet'}"
    found = shadow["disagreement"]
    if found and found["value"] is not None:
        bounds = f"[{found['low']:.1%}, {found['high']:.1%}]"
        text += f"; differs from {shadow['live']} on {found['value']:.1%} {bounds}"
    text += _labelled(shadow.get("labelled") or {"measurements": {}})
    return f"{text} ({shadow['why']})" if shadow["why"] else text


def _labelled(window: Mapping[str, Any]) -> str:
    """Say how right both are, by the labels that are known."""
    measured = window["measurements"]
    for of, said in (
        ("accuracy", "right on {:.1%} (live {:.1%})"),
        ("error", "off by {:.4g} (live {:.4g})"),
    ):
        own, live = measured.get(of), measured.get(f"live_{of}")
        if own and live and own["value"] is not None and live["value"] is not None:
            return f"; {said.format(own['value'], live['value'])} of {own['n']:,} labels"
    return ""


def _by(said: Mapping[str, Any]) -> str:
    return f" ({said['by']})" if said.get("by") else ""


def tables(status: Mapping[str, Any]) -> Iterator[Table]:
    """Return the tables that have rows: versions, rules, segments of the shadow, rollbacks."""
    filled = (
        _versions(status["versions"], status["rollback"].get("versions", [])),
        _rules(status["rules"]),
        _shadow_segments(status.get("shadow") or {}),
        _rollbacks(status.get("rollbacks", [])),
    )
    yield from (table for table in filled if table.row_count)


def _versions(versions: list[Mapping[str, Any]], marks: list[Mapping[str, Any]]) -> Table:
    history = {one["version"]: one for one in marks}
    table = _table(
        *("version", "events", "last window", "healthy windows", "reference"), right=("events",)
    )
    for one in versions:
        reference = _reference(one.get("reference"))
        table.add_row(
            *texts(one["version"], f"{one['events']:,}", one["last_window_end"]),
            *texts(_history(history.get(one["version"])), reference),
        )
    return table


def _history(history: Mapping[str, Any] | None) -> str:
    """Say how a version did by the rules that roll back."""
    if history is None:
        return "-"
    if history["healthy_windows"]:
        return f"{history['healthy_windows']:,}, last {history['healthy_at']}"
    breached = history.get("breached_at")
    return "0" if breached is None else f"0, in breach {breached}"


def _reference(reference: Mapping[str, Any] | None) -> str:
    if reference is None:
        return "-"
    if reference["state"] != "ready":
        return f"none: {reference['why']}" if reference["why"] else "none"
    making = f"; its own: {reference['making']}" if reference.get("making") else ""
    return (
        f"{reference['rows']:,} rows of {reference['origin']}, "
        f"{reference['created']}, {reference['digest']}{making}"
    )


def _rules(rules: list[Mapping[str, Any]]) -> Table:
    table = _table(
        *("rule", "state", "since", "metric", "value [low, high]", "threshold", "action"),
        right=("threshold",),
    )
    for one in rules:
        column = f" of {one['column']}" if one["column"] else ""
        column += f" in {one['segment']}" if one.get("segment") else ""
        bounds = f"{_figure(one['value'])} [{_figure(one['low'])}, {_figure(one['high'])}]"
        name, since, *rest = texts(
            *(one["name"], one["since"], f"{one['metric']}{column}", bounds),
            *(_figure(one["threshold"]), one["action"]),
        )
        state = Text(str(one["state"]), style=_STYLES.get(one["state"], ""))
        table.add_row(name, state, since, *rest)
    return table


def _shadow_segments(shadow: Mapping[str, Any]) -> Table:
    right = ("differs [low, high]", "rows")
    table = _table("segment in the shadow", *right, "until", right=right)
    for one in most_apart(shadow):
        found = one["disagreement"]
        bounds = f"{found['value']:.1%} [{found['low']:.1%}, {found['high']:.1%}]"
        table.add_row(*texts(one["segment"], bounds, f"{found['n']:,}", one["window_end"]))
    return table


def _rollbacks(rollbacks: list[Mapping[str, Any]]) -> Table:
    table = _table("rollback", "state", "from", "to", "reason")
    for one in rollbacks:
        rehearsed = " (dry run)" if one.get("dry_run") else ""
        state = f"{one.get('state')}{rehearsed}"
        table.add_row(
            *texts(one.get("id"), state, one.get("from"), one.get("to"), one.get("reason"))
        )
    return table


def _table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
