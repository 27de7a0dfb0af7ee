"""The rollback's states and moves, in words and as a picture.

A test walks the decision at random, with crashes at any write, and holds what it does against the
two tables here, both ways. The picture and the page are made of the tables alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from rollback.record import PHASES

#: Where the record of a rollback comes from.
NOTHING: Final = "(nothing)"

#: Moves of one rollback's record, and when they are made.
OF_RECORD: Final[Mapping[tuple[str, str], str]] = {
    (NOTHING, "CONFIRMED"): "a rule is in breach, an alert is evidence of one, or a person asks",
    (NOTHING, "GATED"): (
        "the same breach was refused before and is not written down again until "
        "a gate says otherwise; now every gate passes"
    ),
    (NOTHING, "REFUSED"): (
        "a gate that needs no registry says no: mode, hold, evidence, cooldown, budget"
    ),
    (NOTHING, "ESCALATED"): "of such a breach, the registry could not be read in time",
    ("CONFIRMED", "GATED"): (
        "every gate passes and the rehearsal found no fault; a dry run ends "
        "here, with the outcome *would have acted*"
    ),
    ("CONFIRMED", "REFUSED"): "a gate says no, or a person holds before anything was done",
    ("CONFIRMED", "ESCALATED"): "the registry could not be read in time",
    ("GATED", "INTENDED"): "mode `act`: what will be done stands in the journal",
    ("GATED", "GATED"): "after a crash between the two writes the gates are asked again",
    ("GATED", "REFUSED"): "after such a crash a gate says no",
    ("GATED", "ESCALATED"): "after such a crash the registry could not be read in time",
    ("INTENDED", "ACTING"): "the first step begins",
    ("INTENDED", "REFUSED"): (
        "after a crash the time for acting was over, the mode had changed, "
        "or a person holds; nothing was done"
    ),
    ("ACTING", "ACTING"): "the next step begins, or the same one again",
    ("ACTING", "VERIFYING"): "every step is done and was read back",
    ("ACTING", "REFUSED"): "nothing was changed, and the time or the mode forbids to go on",
    ("ACTING", "CONTESTED"): "somebody else moved what the step was to move",
    ("ACTING", "ESCALATED"): (
        "a step failed for good, or something may have changed and the time is over"
    ),
    ("VERIFYING", "RESOLVED"): (
        "the alias reads back, the target carries the traffic, the rules say ok"
    ),
    ("VERIFYING", "CONTESTED"): "somebody else moved it since",
    ("VERIFYING", "ESCALATED"): "not verified within `verify_timeout`",
    ("VERIFYING", "REFUSED"): "after a restart two rollbacks are open; the other got further",
}

#: Moves of a model that has no rollback open: where to, from where, and when. Those that a
#: rollback ends in stay until one of these.
OF_MODEL: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "WATCHING": (
        frozenset(
            {"SUSPECT", "BLIND", "HELD", "ESCALATED", "CONTESTED", "GATED", "REFUSED", "RESOLVED"}
        ),
        "the rules say ok; the hold ended; or a person says so (`kedge resume`)",
    ),
    "SUSPECT": (
        frozenset({"WATCHING", "BLIND", "RESOLVED"}),
        "a rule has seen something, not often enough; or an alert hints at it",
    ),
    "BLIND": (
        frozenset({"WATCHING", "SUSPECT", "GATED", "REFUSED", "RESOLVED"}),
        "no rule could decide for half an hour (`blind_after`)",
    ),
    "HELD": (
        frozenset(
            {
                *("WATCHING", "SUSPECT", "BLIND", "ESCALATED", "CONTESTED"),
                *("GATED", "REFUSED", "RESOLVED"),
            }
        ),
        "a person stopped automatic action (`kedge hold`)",
    ),
    "ESCALATED": (
        frozenset({"WATCHING", "HELD", "GATED", "REFUSED", "RESOLVED"}),
        "a rollback ended so, and a person has not looked yet",
    ),
    "CONTESTED": (
        frozenset({"WATCHING", "HELD", "GATED", "REFUSED", "RESOLVED", "ESCALATED"}),
        "the same, where somebody else moved it",
    ),
}

#: Moves that take a crash in the instant between two writes, or two unfinished affairs at once:
#: walks by chance do not always meet them.
SELDOM: Final = frozenset(
    {
        *(("GATED", "GATED"), ("GATED", "ESCALATED"), ("GATED", "REFUSED")),
        *((NOTHING, "ESCALATED"), ("VERIFYING", "REFUSED"), ("ACTING", "REFUSED")),
        *(("ESCALATED", "CONTESTED"), ("RESOLVED", "CONTESTED")),
    }
)

MEANING: Final[Mapping[str, str]] = {
    "WATCHING": "nothing is wrong, as far as is known",
    "SUSPECT": "a rule has seen something, not often enough",
    "CONFIRMED": "a rule is in breach, or a person asked; the gates are being asked",
    "GATED": "every gate passed",
    "INTENDED": "what will be done stands in the journal",
    "ACTING": "a step is being done; its outcome may be unknown",
    "VERIFYING": "all steps are done; does the traffic agree?",
    "RESOLVED": "it does",
    "HELD": "a person stopped automatic action",
    "BLIND": "no rule could decide for too long",
    "REFUSED": "a gate said no",
    "ESCALATED": "it did not work or could not be verified: a person has to look",
    "CONTESTED": "somebody else moved what was being moved; there is no fight",
}


_ABOUT: Final = """\
Every state and every move that the decision (`rollback.decision.step`) makes.
A test walks the decision at random, with crashes at any write, and holds what it does against
this page, both ways.
[The rollback](../rollback.md) explains what is behind it."""
_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 936 330" role="img" '
    'font-family="system-ui, sans-serif" font-size="13">'
)


def machine_page() -> str:
    """Return the page: the picture, then every state and every move in words."""
    states = [f"| `{phase}` | {MEANING[phase]} |" for phase in PHASES]
    record = [
        f"| {_name(before)} | {_name(after)} | {why} |"
        for (before, after), why in OF_RECORD.items()
    ]
    model = [
        f"| {', '.join(_name(p) for p in PHASES if p in befores)} | `{after}` | {why} |"
        for after, (befores, why) in OF_MODEL.items()
    ]
    return "\n".join(
        [
            "# The states of a rollback",
            "",
            _ABOUT,
            "",
            "```{image} rollback-machine.svg",
            ":alt: States of one rollback and the moves between them, as in the table below",
            "```",
            "",
            "A red line ends it with a person to call, a grey one by a refusal.",
            "",
            "## States",
            *("", "| state | means |", "| --- | --- |", *states),
            *("", "## Moves of one rollback", ""),
            *("| from | to | when |", "| --- | --- | --- |", *record),
            *("", "## Moves of a model with no rollback open", ""),
            *("| from | to | when |", "| --- | --- | --- |", *model),
            "",
        ]
    )


def _name(phase: str) -> str:
    return "(nothing)" if phase == NOTHING else f"`{phase}`"


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float = 112
    height: float = 36


_ROW: Final = (NOTHING, "CONFIRMED", "GATED", "INTENDED", "ACTING", "VERIFYING", "RESOLVED")
_BOXES: Final = {
    NOTHING: _Box(14, 92, 24, 24),
    **{name: _Box(70 + 146 * i, 86) for i, name in enumerate(_ROW[1:])},
    "REFUSED": _Box(290, 270),
    "ESCALATED": _Box(525, 270),
    "CONTESTED": _Box(730, 270),
}
_COLOURS: Final = {"REFUSED": "#6b7280", "ESCALATED": "#b91c1c", "CONTESTED": "#b91c1c"}
_PLAIN: Final = "#1d4ed8"


def machine_picture() -> str:
    """Return the picture of one rollback's moves, as SVG; each line is titled with its move."""
    return "\n".join(
        [
            _SVG,
            "<title>States of one rollback</title>",
            "<defs>",
            *(_arrow_head(colour) for colour in sorted({_PLAIN, *_COLOURS.values()})),
            "</defs>",
            '<rect width="936" height="330" rx="8" fill="#ffffff"/>',
            *(_line(before, after) for before, after in OF_RECORD),
            *(_box(name, box) for name, box in _BOXES.items()),
            "</svg>",
            "",
        ]
    )


def _arrow_head(colour: str) -> str:
    return (
        f'<marker id="{colour[1:]}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    )


def _box(name: str, box: _Box) -> str:
    if name == NOTHING:
        return f'<circle cx="{box.x + 12}" cy="{box.y + 12}" r="8" fill="#111827"/>'
    colour = _COLOURS.get(name, "#15803d" if name == "RESOLVED" else "#111827")
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="#f9fafb" stroke="{colour}" stroke-width="1.5"/>'
        f'<text x="{box.x + box.width / 2}" y="{box.y + 23}" text-anchor="middle" '
        f'fill="{colour}">{name}</text>'
    )


def _line(before: str, after: str) -> str:
    colour = _COLOURS.get(after, _PLAIN)
    return (
        f'<path d="{_course(before, after)}" fill="none" stroke="{colour}" stroke-width="1.3" '
        f'marker-end="url(#{colour[1:]})"><title>{escape(f"{before} → {after}")}</title></path>'
    )


def _course(before: str, after: str) -> str:
    """Return the way of a line: along the row, over it, or down from it."""
    a, b = _BOXES[before], _BOXES[after]
    if before == after:
        x = a.x + a.width / 2
        return f"M{x - 16} {a.y}C{x - 16} {a.y - 34} {x + 16} {a.y - 34} {x + 16} {a.y}"
    if after in _ROW:
        if _ROW.index(after) == _ROW.index(before) + 1:
            return f"M{a.x + a.width} {a.y + a.height / 2}L{b.x} {b.y + b.height / 2}"
        x = b.x + b.width / 4
        return f"M{a.x + 12} {a.y}C{a.x + 12} 20 {x} 20 {x} {b.y}"
    arriving = list(_arriving(after))
    x = b.x + b.width * (arriving.index(before) + 1) / (len(arriving) + 1)
    leaving = [one for one in ("REFUSED", "ESCALATED", "CONTESTED") if (before, one) in OF_RECORD]
    start = a.x + a.width * (leaving.index(after) + 1) / (len(leaving) + 1)
    return f"M{start:.0f} {a.y + a.height}C{start:.0f} 190 {x:.0f} 200 {x:.0f} {b.y}"


def _arriving(after: str) -> Iterator[str]:
    return (one for one in _ROW if (one, after) in OF_RECORD)
