"""How a model does, in plain words: what is wrong, since when, what Kedge did, whether it helped.

Pure: from the status as the API answers it, incidents and rollbacks as they are stored, and a
moment. The status page shows the sentences, and whatever else tells people about a model may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = Mapping[str, Any]
#: Measurements as the API answers them, by version and segment (empty for all traffic).
Measured: TypeAlias = Mapping[tuple[str, str], Sequence[Json]]
Level: TypeAlias = Literal["good", "watch", "bad", "unknown"]

_NOTHING: Final[Measured] = {}
#: Columns that a sentence names; the others are counted.
NAMED_MAX: Final = 4
#: A rollback that ended is part of the verdict for so long.
STORY_S: Final = 86_400.0
#: Traffic that was silent for longer is said to be.
SILENT_S: Final = 900.0

#: What is wrong with columns, by metric; of any other metric they have drifted.
_OF_COLUMNS: Final = {
    "missing_ratio": ("is missing too often", "are missing too often"),
    "invalid_ratio": ("holds values of a wrong type", "hold values of a wrong type"),
    "new_category_ratio": ("holds values never seen before", "hold values never seen before"),
}
#: What is wrong with a whole window, by the beginning of the metric's name.
_OF_WINDOWS: Final = {
    "latency": "its answers are too slow",
    "error": "too many requests fail",
    "throughput": "there is too much or too little traffic",
    "events": "there is too much or too little traffic",
    "shadow": "it differs from the version in its shadow",
    "resource": "what serves it is short of resources",
}
_OPEN: Final = {
    "CONFIRMED": "asks whether to go back",
    "GATED": "is about to go back",
    "INTENDED": "is about to go back",
    "ACTING": "is going back",
    "VERIFYING": "went back and looks whether it helped",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of time within a sentence, seconds since the epoch."""

    at: float

    def told(self, now: float) -> str:
        """Write it in UTC; with its day unless that is today.

        Examples
        --------
        >>> Moment(1772618400.0).told(1772620000.0), Moment(1772618400.0).told(1782620000.0)
        ('10:00', '4 March, 10:00')
        """
        moment, today = datetime.fromtimestamp(self.at, UTC), datetime.fromtimestamp(now, UTC)
        clock = f"{moment:%H:%M}"
        if moment.date() == today.date():
            return clock
        year = "" if moment.year == today.year else f" {moment.year}"
        return f"{moment.day} {moment:%B}{year}, {clock}"


#: Texts and moments in the order of reading.
Sentence: TypeAlias = tuple[str | Moment, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be seen first.

    Parameters
    ----------
    level
        ``good``, ``watch`` (not sure, or being dealt with), ``bad``, or ``unknown``.
    title
        In a word or two.
    sentences
        The whole story, the most important first.
    """

    level: Level
    title: str
    sentences: tuple[Sentence, ...]


def plain(sentence: Sentence, now: float) -> str:
    """Write a sentence as text, its times in UTC.

    Examples
    --------
    >>> plain(("since ", Moment(1772618400.0), "."), 1772620000.0)
    'since 10:00.'
    """
    return "".join(part if isinstance(part, str) else part.told(now) for part in sentence)


def verdict(
    status: Json,
    incidents: Sequence[Json],
    rollbacks: Sequence[Json],
    now: float,
    measured: Measured = _NOTHING,
) -> Verdict:
    """Say how the model does.

    Parameters
    ----------
    status
        Body of ``/api/v1/status``.
    incidents, rollbacks
        Newest first, as the API answers them.
    now
        Seconds since the epoch.
    measured
        What was measured in the last windows: a rule in breach is told with every column that
        breaches now, while an incident names those of the moment when it was confirmed.
    """
    level, title, sentences = _of_rules(status, incidents, measured)
    recent = [one for one in rollbacks if one["outcome"] is None or one["updated"] > now - STORY_S]
    story = _story(recent[0], incidents) if recent else _nothing_done(status)
    if recent and recent[0]["outcome"] is None and not recent[0]["dry_run"]:
        level, title = ("watch", "Going back")
    elif recent and recent[0]["state"] in ("ESCALATED", "CONTESTED"):
        level, title = ("bad", "Needs a person")
    if status.get("ready", "ok") != "ok":
        level, title = "bad", "Kedge is in trouble"
        sentences = [(f"Nothing is counted at present: {status['ready']}.",), *sentences]
    return Verdict(level, title, (*sentences, *story, *_standing(status, now)))


def columns_in_breach(
    status: Json, incidents: Sequence[Json], measured: Measured = _NOTHING
) -> list[tuple[tuple[str, str], str]]:
    """Name the columns that rules find in breach in the live version, the worst first.

    Each with the version and the segment; the segment is empty for all traffic.
    """
    version = status["model"]["live_version"] or ""
    found: dict[tuple[tuple[str, str], str], None] = {}
    for rule in status["rules"]:
        if rule["state"] == "breach":
            place = version, rule.get("segment") or ""
            columns = _columns(rule, version, incidents, measured)
            found.update(dict.fromkeys((place, column) for column in columns))
    return list(found)


def left_for(version: str, incidents: Sequence[Json]) -> list[tuple[str, str]]:
    """Name the segments and columns that rules found in breach in a version that was left."""
    found: dict[tuple[str, str], None] = {}
    for one in incidents:
        if one["rule"] and one["version"] == version and one["kind"] != "cleared":
            segment = one.get("segment") or ""
            found.update(dict.fromkeys((segment, name) for name in columns_of(one["evidence"])))
    return list(found)


def _of_rules(
    status: Json, incidents: Sequence[Json], measured: Measured
) -> tuple[Level, str, list[Sentence]]:
    version, rules = status["model"]["live_version"], status["rules"]
    if version is None:
        return "unknown", "No traffic yet", [("No prediction has been seen so far.",)]
    by_state = {
        state: [rule for rule in rules if rule["state"] == state]
        for state in ("breach", "suspect", "ok")
    }
    name = f"Version {version}"
    if by_state["breach"]:
        sentences = _breaches(name, version, by_state["breach"], incidents, measured)
        drifted = any(rule["column"] for rule in by_state["breach"])
        return "bad", "Drifted" if drifted else "In breach", sentences
    if by_state["suspect"]:
        names = listed([rule["name"] for rule in by_state["suspect"]])
        rule = "rule" if len(by_state["suspect"]) == 1 else "rules"
        said = f"{name} may have a problem: the {rule} {names} saw something, not often enough yet."
        return "watch", "Suspect", [(said,)]
    if len(by_state["ok"]) == len(rules) > 0:
        said = f"{name} is healthy: {_counted(len(rules), 'rule')} found nothing wrong."
        return "good", "Healthy", [(said,)]
    if by_state["ok"]:
        return "unknown", "Healthy as far as known", [(_partly(name, rules),)]
    told = "No rule can tell yet how it does." if rules else "No rule is configured to judge it."
    return "unknown", "Unknown", [(f"{name} answers. {told}",)]


def _partly(name: str, rules: Sequence[Json]) -> str:
    others = [rule["name"] for rule in rules if rule["state"] != "ok"]
    known = len(rules) - len(others)
    return f"{name} looks healthy to {known} of {len(rules)} rules; {listed(others)} cannot tell."


def _breaches(
    name: str,
    version: str,
    breached: Sequence[Json],
    incidents: Sequence[Json],
    measured: Measured,
) -> list[Sentence]:
    sentences: list[Sentence] = []
    of_kind: dict[tuple[str, str], list[Json]] = {}
    for rule in breached:
        kind = "drift" if rule["column"] else rule["name"]
        kind = rule["metric"] if rule["column"] and rule["metric"] in _OF_COLUMNS else kind
        of_kind.setdefault((kind, rule.get("segment") or ""), []).append(rule)
    for (kind, segment), rules in of_kind.items():
        who = f"{name}, in the segment {segment}," if segment else name
        since = min((rule["since"] for rule in rules if rule["since"]), default=None)
        columns = list(
            dict.fromkeys(
                one for rule in rules for one in _columns(rule, version, incidents, measured)
            )
        )
        if kind == "drift":
            text = f"{who} has drifted: {listed(columns)}"
        elif columns:
            does = _OF_COLUMNS.get(kind, (kind, kind))[len(columns) > 1]
            text = f"{who.removesuffix(',')}: {listed(columns)} {does}"
        else:
            text = f"{who} is in breach: {_of_window(rules[0])}"
        when: Sentence = (", since ", Moment(seconds_of(since)), ".") if since else (".",)
        sentences.append((text, *when))
    cause = next((rule["cause"] for rule in breached if rule.get("cause")), None)
    if cause and cause["origin"] != "unknown":
        sentences.append((f"It is likely the {cause['origin']}: {cause['because']}.",))
    return sentences


def _of_window(rule: Json) -> str:
    metric = rule["metric"]
    said = next((text for key, text in _OF_WINDOWS.items() if metric.startswith(key)), None)
    figures = f"{metric} is {figure(rule['value'])}, the limit {figure(rule['threshold'])}"
    return f"{said} ({figures})" if said else f"rule {rule['name']} ({figures})"


def _columns(rule: Json, version: str, incidents: Iterable[Json], measured: Measured) -> list[str]:
    """Name what a rule in breach found: in the last window, and as its latest incident says."""
    place = version, rule.get("segment") or ""
    now = [
        one
        for one in measured.get(place, ())
        if one["column"] and one["metric"] == rule["metric"] and one["verdict"] == "breach"
    ]
    names = [one["column"] for one in sorted(now, key=excess, reverse=True)]
    for one in incidents:
        if (one["rule"], one["version"], one.get("segment") or "") == (rule["name"], *place):
            names += columns_of(one["evidence"])
            break
    return list(dict.fromkeys(names)) or ([rule["column"]] if rule["column"] else [])


def excess(measured: Json) -> float:
    """How much of its limit a measurement uses up."""
    value, threshold = measured["value"], measured["threshold"]
    return abs(value) / abs(threshold) if value is not None and threshold else 0.0


def columns_of(evidence: Json) -> list[str]:
    """Name the columns that evidence of a breach is about, the worst first."""
    many = [one["column"] for one in evidence.get("columns") or ()]
    return many or ([evidence["column"]] if evidence.get("column") else [])


def _nothing_done(status: Json) -> list[Sentence]:
    """Say so where no rule in breach asks for more than to be told."""
    actions = {one.get("action") for one in status["rules"] if one["state"] == "breach"}
    if actions != {"alert"}:
        return []
    return [("Kedge has changed nothing: no rule in breach asks for a rollback.",)]


def _story(record: Json, incidents: Sequence[Json]) -> list[Sentence]:
    """Tell the last rollback."""
    source, target, outcome = record["from"], record["to"], record["outcome"]
    to = f"version {target}" if target else "an earlier version"
    dry = " (a dry run: nothing is changed)" if record["dry_run"] else ""
    timings, ended = record["timings"], Moment(record["updated"])
    if outcome is None:
        does = _OPEN.get(record["state"], "looks into it")
        does = does.replace("back", f"back to {to}") if "back" in does else does
        return [(f"Kedge {does}{dry}, since ", ended, ".")]
    why = _why(source, record, incidents)
    went = Moment(timings.get("verifying", record["updated"]))
    match outcome:
        case "resolved":
            return [*why, (f"Kedge went back to {to} at ", went, "; it helped.")]
        case "would have acted" | "would breach":
            did = f"Kedge would have gone back to {to} at "
            return [(did, ended, "; nothing was changed, for it was a dry run.")]
        case "refused":
            return [("Kedge did not go back at ", ended, f", because {_refusal(record)}.")]
        case "contested":
            said = f"; somebody else moved the model meanwhile: {record['detail']}."
            return [*why, (f"Kedge tried to go back to {to} at ", went, said)]
        case _:
            said = f"; it is not known to have helped, and a person has to look: {_detail(record)}."
            return [*why, (f"Kedge tried to go back to {to} at ", went, said)]


def _why(source: str | None, record: Json, incidents: Sequence[Json]) -> list[Sentence]:
    """Say what was wrong with the version that was left; nothing where a person asked."""
    if record["manual"]:
        return [(f"A person asked: {record['reason']}.",)]
    opened = [
        one
        for one in incidents
        if one["rule"] and one["version"] == source and one["kind"] in ("opened", "confirmed")
    ]
    before = [one for one in opened if seconds_of(one["at"]) <= record["updated"]]
    columns = list(dict.fromkeys(name for one in before for name in columns_of(one["evidence"])))
    if not columns:
        return []
    since = min(seconds_of(one["at"]) for one in before)
    return [(f"Version {source} had drifted: {listed(columns)}, since ", Moment(since), ".")]


def _refusal(record: Json) -> str:
    refused = next((gate for gate in record["gates"] if not gate["passed"]), None)
    if refused is None:
        return _detail(record)
    return f"the gate {refused['gate']} refused: {refused['detail'].rstrip('.')}"


def _detail(record: Json) -> str:
    return str(record["detail"] or record["reason"]).rstrip(".")


def _standing(status: Json, now: float) -> list[Sentence]:
    """Say what holds beside the verdict: silence, a hold, a mode that changes nothing."""
    sentences: list[Sentence] = []
    seen = max((one["last_seen"] for one in status["versions"] if one.get("last_seen")), default="")
    if seen and now - seconds_of(seen) > SILENT_S:
        sentences.append(("No prediction has come since ", Moment(seconds_of(seen)), "."))
    for hold in status["holds"]:
        until: Sentence = ()
        if hold.get("until"):
            until = (" until ", Moment(seconds_of(hold["until"])))
        sentences.append(("Automatic action is on hold", *until, f": {hold.get('reason') or '-'}."))
    mode = status["rollback"]["mode"]
    if mode == "dry-run":
        sentences.append(("Rollback is in dry run: Kedge says what it would do, and does not.",))
    elif mode == "observe":
        sentences.append(("Kedge only observes: it plans no rollback.",))
    return sentences


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefg"))
    ('a', 'a, b and c', 'a, b, c, d and 3 more')
    """
    named = [_column(name) for name in names[:NAMED_MAX]]
    if len(names) > NAMED_MAX:
        return f"{', '.join(named)} and {len(names) - NAMED_MAX} more"
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)


def _column(name: str) -> str:
    return {"prediction": "the prediction", "(correlation)": "how columns go together"}.get(
        name, name
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def figure(value: float | None) -> str:
    """Write a figure with so many digits as a person reads.

    Examples
    --------
    >>> figure(None), figure(0.123456), figure(1234567.0)
    ('unknown', '0.123', '1,234,567')
    """
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"  # noqa: PLR2004 - 4 digits


def seconds_of(moment: str | float) -> float:
    """Read a time as the API writes it."""
    if isinstance(moment, str):
        return datetime.fromisoformat(moment).timestamp()
    return float(moment)
