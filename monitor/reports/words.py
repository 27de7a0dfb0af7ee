"""The summary of a report: sentences, from its facts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from monitor.judging.incidents import told_cause
from monitor.reports.facts import Facts, VersionFacts
from monitor.reports.standing import Standing

#: Columns that a sentence names; the list below the summary names every one.
NAMED_MAX: Final = 8
#: Rollbacks that the summary tells, the latest; the table has all.
_TOLD_MAX: Final = 5
_NUMBERS: Final = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)


def headline(facts: Facts, standings: Sequence[Standing]) -> tuple[str, str]:
    """Return how grave it is (``bad``, ``good`` or ``unknown``), and that in a few words."""
    drifted = {one.column for one in standings if one.state == "drifted"}
    if drifted:
        return "bad", f"{counted(len(drifted), 'column').capitalize()} drifted"
    if _confirmed(facts):
        return "bad", f"{counted(len(_confirmed(facts)), 'breach', 'breaches').capitalize()}"
    if any(one.state == "stable" for one in standings):
        return "good", "No column drifted, as far as can be told"
    return "unknown", "Nothing can be told"


def summary(facts: Facts, standings: Sequence[Standing]) -> list[str]:
    """Return what a reader has to know, a sentence each."""
    if not facts.versions:
        return [f"No window of {facts.model} closed in this time, so there is nothing to tell."]
    begins = min(one.begins for one in facts.versions)
    ends = max(one.ends for one in facts.versions)
    served = listed([one.version for one in facts.versions])
    versions = f"version {served}" if len(facts.versions) == 1 else f"versions {served}"
    windows = f"{facts.windows:,} {'window' if facts.windows == 1 else 'windows'}"
    time = f"from {moment(begins)} to {moment(ends)}"
    sentences = [f"In {windows} {time}, {versions} of {facts.model} answered."]
    grave = {one.version for one in standings if one.state == "drifted"}
    for one in sorted(facts.versions, key=lambda one: one.version not in grave):
        sentences += _of_version(one, [s for s in standings if s.version == one.version])
    sentences += _of_rules(facts)
    sentences += _of_rollbacks(facts)
    return sentences


def _of_version(facts: VersionFacts, standings: Sequence[Standing]) -> Iterator[str]:
    drifted = [one for one in standings if one.state == "drifted"]
    name = f"Version {facts.version}"
    if not standings:
        yield f"{name}: no columns were measured."
        return
    if drifted:
        named = listed([_named(one) for one in drifted])
        since = min(one.since for one in drifted if one.since is not None)
        many = counted(len(drifted), "column")
        ended = f"first seen in the window that ended at {moment(since)}"
        yield f"{name}: {many} drifted, proven: {named}; {ended}."
    others = {
        state: [one for one in standings if one.state == state]
        for state in ("stable", "undecided", "unjudged")
    }
    said = []
    if others["stable"]:
        said.append(f"{counted(len(others['stable']), 'column')} did not drift")
    if others["undecided"]:
        said.append(f"of {counted(len(others['undecided']), 'column')} it cannot be told")
    if others["unjudged"]:
        said.append(f"no rule looks at {counted(len(others['unjudged']), 'column')}")
    if said:
        yield f"{name}: {'; '.join(said)}." if not drifted else f"Of the others, {'; '.join(said)}."


def _named(one: Standing) -> str:
    """Name a column, and what about it drifted where that is not its distribution alone."""
    return one.column if one.about == "distribution" else f"{one.column} ({one.about})"


def _confirmed(facts: Facts) -> list[Mapping[str, Any]]:
    return [one for one in facts.incidents if one["kind"] == "confirmed" and one["rule"]]


def _of_rules(facts: Facts) -> Iterator[str]:
    confirmed = _confirmed(facts)
    if not confirmed:
        yield "No rule fired."
        return
    first, names = confirmed[0], list(dict.fromkeys(one["rule"] for one in confirmed))
    rules = f"Rule {names[0]}" if len(names) == 1 else f"The rules {listed(names)}"
    times = "once" if len(confirmed) == 1 else f"{counted(len(confirmed), 'time')} in all"
    segment = f" in the segment {first['segment']}" if first.get("segment") else ""
    where = f"version {first['version']}{segment}"
    yield f"{rules} fired {times}, first at {moment(first['at'])} on {where}."
    causes = [one["evidence"].get("cause") for one in confirmed]
    cause = next((one for one in causes[::-1] if one and one["origin"] != "unknown"), None)
    if cause:
        text = told_cause(cause)
        yield f"{text[0].upper()}{text[1:]}."


def _of_rollbacks(facts: Facts) -> Iterator[str]:
    if facts.replayed:
        yield "These are old logs: nothing was done about them, and nothing was rolled back."
        return
    if not facts.rollbacks:
        yield "Nothing was rolled back."
        return
    told = facts.rollbacks[-_TOLD_MAX:]
    if len(told) < len(facts.rollbacks):
        yield f"There were {len(facts.rollbacks):,} rollbacks; of the last {len(told)}:"
    for record in told:
        yield rollback(record)


def rollback(record: Mapping[str, Any]) -> str:
    """Tell a rollback, and whether it helped."""
    source = f"from version {record['from']} " if record["from"] else ""
    to = f"to version {record['to']}" if record["to"] else "to an earlier version"
    return f"At {moment(record['created'])} {_went(record, f'{source}{to}')}."


def _went(record: Mapping[str, Any], way: str) -> str:
    detail = str(record["detail"] or record["reason"]).rstrip(".")
    match record["outcome"]:
        case "resolved":
            said = f"Kedge went back {way}; it helped: the traffic that followed was well"
        case "would have acted":
            said = f"Kedge would have gone back {way}; it was a dry run, and nothing was changed"
        case "would breach":
            said = "a rule that rolls back was in breach; by its mode Kedge only observes"
        case "refused":
            gate = next((one for one in record["gates"] if not one["passed"]), None)
            why = f"{gate['gate']}: {gate['detail']}".rstrip(".") if gate else detail
            said = f"Kedge did not go back {way}: {why}"
        case "contested":
            said = f"Kedge began to go back {way}; somebody else moved the model: {detail}"
        case None:
            said = f"a rollback {way} began; it is not over ({record['state']})"
        case outcome:
            said = f"a rollback {way} ended without proof that it helped ({outcome}): {detail}"
    return said


def moment(at: float) -> str:
    """Write a time for a sentence.

    Examples
    --------
    >>> moment(1772618400.0), moment(1772618420.0)
    ('2026-03-04 10:00 UTC', '2026-03-04 10:00:20 UTC')
    """
    when = datetime.fromtimestamp(at, UTC)
    return when.strftime("%Y-%m-%d %H:%M:%S UTC" if when.second else "%Y-%m-%d %H:%M UTC")


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed(list("abcdefghij"))
    ('a', 'a and b', 'a, b, c, d, e, f, g, h and 2 more')
    """
    named = list(names[:NAMED_MAX])
    if len(names) > NAMED_MAX:
        return f"{', '.join(named)} and {len(names) - NAMED_MAX:,} more"
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Count things in words.

    Examples
    --------
    >>> counted(1, "column"), counted(2, "breach", "breaches"), counted(1300, "window")
    ('one column', 'two breaches', '1,300 windows')
    """
    word = _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"
    return f"{word} {noun if number == 1 else plural or noun + 's'}"
