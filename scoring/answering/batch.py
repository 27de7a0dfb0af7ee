"""Requests scored together: one call of the model for the rows of all of them.

scikit-learn's own checks cost a fifth of a millisecond a call however many rows it gets, so a
call for all that waits is nearly free. A request must not notice: if the call fails, or answers
with something else than a value a row, each request is scored by itself.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

import numpy as np

from scoring.answering.score import Answer, internal_error, predict, refusal
from scoring.flavours.model import Model
from scoring.protocol.predictions import plain_predictions
from scoring.protocol.protocol import JSON_TYPE, ScoringError, render_predictions
from scoring.protocol.rows import LoggedRows, RowReader

logger = logging.getLogger("kedge.scoring")

#: Rows of the trial batch, and how close it must come to single rows. Adding up in another order
#: moves the last bits of a sum; what depends on the other rows moves far more.
TRIAL_ROWS: Final = 8
TRIAL_TOLERANCE: Final = 1e-9
#: The same for what a 32-bit float can hold, as neural networks answer: sixteen of its last bits.
TRIAL_TOLERANCE_32: Final = 2e-6
_TRIAL_SEED: Final = 20


def score_rows(model: Model, reader: RowReader, requests: Sequence[LoggedRows]) -> list[Answer]:
    """Return the answers to requests, in their order; it raises nothing."""
    together = requests[0].cells if len(requests) == 1 else _joined(requests)
    try:
        predictions = predict(model, reader.table(together), None)
        if len(requests) == 1:
            return [_answer(model, predictions, requests[0])]
        if isinstance(predictions, list) and len(predictions) == len(together):
            return _dealt(model, predictions, requests)
    except ScoringError as error:
        if len(requests) == 1:
            if model.accidents:
                error.stack_trace = traceback.format_exc()
            return [refusal(error, requests[0])]
    except Exception:
        # A fault of ours. The caller gets no traceback; the log of the server does.
        logger.exception("could not score a request")
        if len(requests) == 1:
            return [refusal(internal_error(), requests[0])]
    return [score_rows(model, reader, [request])[0] for request in requests]


def _joined(requests: Sequence[LoggedRows]) -> list[Any]:
    return list(chain.from_iterable(request.cells for request in requests))


def _dealt(model: Model, predictions: list[Any], requests: Sequence[LoggedRows]) -> list[Answer]:
    answers, begins = [], 0
    for request in requests:
        ends = begins + len(request.cells)
        answers.append(_answer(model, predictions[begins:ends], request))
        begins = ends
    return answers


def _answer(model: Model, predictions: object, request: LoggedRows) -> Answer:
    body = render_predictions(predictions, bare_words=model.accidents)
    return Answer(HTTPStatus.OK, JSON_TYPE, body, request, predictions)


def rows_are_independent(model: Model, reader: RowReader) -> bool:
    """Tell from a trial whether a batch answers to each row what the row alone would get.

    A model that scales by the rows it sees, or answers with one value for all of them, does not.
    The trial is of made-up rows, or of the model's example where the columns are not all numbers.
    """
    rows = _trial_rows(model, reader)
    if rows is None:
        # Nothing to try with: the word of the flavour stands.
        return model.by_row
    try:
        together = plain_predictions(model.predict(reader.table(rows), model.params(None)))
        alone = [
            plain_predictions(model.predict(reader.table([row]), model.params(None)))
            for row in rows
        ]
    except Exception:  # noqa: BLE001 - a model's own code may raise anything: then not in batches
        return False
    if not isinstance(together, list) or len(together) != len(rows):
        return False
    singles: list[Any] = []
    for one in alone:
        if not isinstance(one, list) or len(one) != 1:
            return False
        singles += one
    return _alike(together, singles)


def _trial_rows(model: Model, reader: RowReader) -> list[Any] | None:
    if reader.doubles:
        random = np.random.default_rng(_TRIAL_SEED)
        made_up: list[Any] = random.normal(size=(TRIAL_ROWS, reader.width)).tolist()
        return made_up
    example = reader.read(model.example) if model.example is not None else None
    # A single row, repeated, would tell nothing of a model that compares rows.
    return list(example.cells)[:TRIAL_ROWS] if example is not None and example.rows > 1 else None


def _alike(left: Any, right: Any) -> bool:  # noqa: ANN401 - JSON values
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_alike, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_alike(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, float):
        single = _is_single(left) and _is_single(right)
        tolerance = TRIAL_TOLERANCE_32 if single else TRIAL_TOLERANCE
        return bool(np.isclose(left, right, rtol=tolerance, atol=tolerance, equal_nan=True))
    return json.dumps(left) == json.dumps(right)


def _is_single(value: float) -> bool:
    with np.errstate(over="ignore"):
        return float(np.float32(value)) == value
