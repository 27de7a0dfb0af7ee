"""One request scored: bytes in, an answer and what the log wants to know of it out."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any, Final

import msgspec

from scoring.model import Model
from scoring.predictions import plain_predictions
from scoring.protocol import (
    JSON_TYPE,
    MediaType,
    ScoringError,
    parse_invocation,
    render_predictions,
)
from scoring.rows import LoggedRows
from scoring.table import Table

logger = logging.getLogger("kedge.scoring")

#: Characters of a model's own error that the caller gets to see: enough for "contains NaN".
MODEL_ERROR_MAX: Final = 300


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What is sent for a request.

    Parameters
    ----------
    table
        The rows, once they fitted the signature; None for a request that did not get there.
    predictions
        In plain JSON values; None where there are none.
    params
        Those of the request, as they were given; None without any.
    """

    status: int
    content_type: str
    body: bytes
    table: Table | LoggedRows | None = None
    predictions: Any = None
    params: Any = None


def score(model: Model, media: MediaType, body: bytes) -> Answer:
    """Return the answer to the body of ``POST /invocations``; it raises nothing."""
    table = None
    try:
        invocation = parse_invocation(media, body)
        table = model.plan.table(invocation.data)
        predictions = predict(model, table, invocation.params)
        rendered = render_predictions(predictions, bare_words=model.accidents)
        return Answer(
            HTTPStatus.OK, JSON_TYPE, rendered, table, predictions, invocation.params or None
        )
    except ScoringError as error:
        if model.accidents and error.__cause__ is not None and not error.schema:
            error.stack_trace = traceback.format_exc()
        return refusal(error, table)
    except Exception:
        # A fault of ours. The caller gets no traceback; the log of the server does.
        logger.exception("could not score a request")
        return refusal(internal_error(), table)


def refusal(error: ScoringError, table: Table | LoggedRows | None = None) -> Answer:
    """Return the answer that tells an error."""
    return Answer(error.status, error.content_type, error.body(), table)


def internal_error() -> ScoringError:
    """Return the error for a fault of the server's own."""
    return ScoringError(
        "the server failed to score the request",
        code="INTERNAL_ERROR",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def predict(model: Model, table: Table, params: object) -> Any:  # noqa: ANN401 - JSON values
    """Return a model's predictions as JSON values.

    Raises
    ------
    ScoringError
        The parameters are not the model's, or the model failed.
    """
    checked = model.params(params)
    try:
        return plain_predictions(model.predict(table, checked))
    except Exception as error:
        # MLflow blames the input too (400), for it cannot tell whose fault it was.
        lines = str(error).strip().splitlines() or [""]
        raise ScoringError(
            f"the model failed on this input: {type(error).__name__}: {lines[0][:MODEL_ERROR_MAX]}"
        ) from error
