"""The page about the rollback's states says what the decision does: no move more, and none less."""

from __future__ import annotations

import re

import pytest

from docs.machine import MEANING, OF_MODEL, OF_RECORD, SELDOM, machine_page, machine_picture
from rollback.record import PHASES
from tests.docs.walks import Moves, moves

DRAWN_OF_MODEL = {(before, after) for after, (befores, _) in OF_MODEL.items() for before in befores}


@pytest.fixture(scope="module")
def walked() -> Moves:
    return moves(range(1000))


def test_every_move_of_a_rollback_that_is_made_is_on_the_page(walked: Moves) -> None:
    assert sorted(walked.of_record - OF_RECORD.keys()) == []


def test_every_move_of_a_rollback_on_the_page_is_made(walked: Moves) -> None:
    assert sorted(OF_RECORD.keys() - walked.of_record - SELDOM) == []


def test_every_move_of_a_model_that_is_made_is_on_the_page(walked: Moves) -> None:
    assert sorted(walked.of_model - DRAWN_OF_MODEL) == []


def test_every_move_of_a_model_on_the_page_is_made(walked: Moves) -> None:
    assert sorted(DRAWN_OF_MODEL - walked.of_model - SELDOM) == []


def test_the_page_has_every_state() -> None:
    page = machine_page()

    assert list(MEANING) == list(PHASES)
    assert [phase for phase in PHASES if f"| `{phase}` | {MEANING[phase]} |" not in page] == []


def test_the_picture_draws_every_move_and_no_other() -> None:
    drawn = re.findall(r"<title>(\S+) → (\S+)</title>", machine_picture())

    assert sorted(drawn) == sorted(OF_RECORD)
