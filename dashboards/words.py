"""What numbers and labels of Kedge's metrics mean, in words and colours."""

from __future__ import annotations

from typing import Final

from dashboards.panels import BLUE, GREEN, GREY, ORANGE, RED, YELLOW, Words

#: Numbers of ``kedge_rule_state``.
RULE_STATES: Final[Words] = {
    "0": ("ok", GREEN),
    "1": ("suspect", YELLOW),
    "2": ("breach", RED),
    "3": ("unknown", GREY),
}

#: The same, of a whole model.
VERDICTS: Final[Words] = {
    "0": ("OK", GREEN),
    "1": ("SUSPECT", YELLOW),
    "2": ("BREACH", RED),
    "3": ("UNKNOWN", GREY),
}

#: Values of the label ``state`` of ``kedge_rollback_state``.
PHASES: Final[Words] = {
    "WATCHING": ("watching, nothing to do", GREEN),
    "SUSPECT": ("suspects something", YELLOW),
    "CONFIRMED": ("breach confirmed, asks its gates", ORANGE),
    "GATED": ("every gate passed", ORANGE),
    "INTENDED": ("about to act", ORANGE),
    "ACTING": ("rolling back", ORANGE),
    "VERIFYING": ("rolled back, checks if it helped", ORANGE),
    "RESOLVED": ("rolled back, it helped", GREEN),
    "HELD": ("held by a person", BLUE),
    "BLIND": ("blind: no rule can decide", GREY),
    "REFUSED": ("did not act: a gate refused", RED),
    "ESCALATED": ("needs a person", RED),
    "CONTESTED": ("somebody else acted: needs a person", RED),
}

#: Values of the label ``outcome`` of ``kedge_rollbacks_total``.
OUTCOMES: Final[Words] = {
    "resolved": ("it helped", GREEN),
    "refused": ("nothing done: a gate refused", YELLOW),
    "would have acted": ("rehearsed only", BLUE),
    "would breach": ("only observed", BLUE),
    "escalated": ("did not help, or not known", RED),
    "contested": ("somebody else acted", RED),
}
