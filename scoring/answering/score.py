"""One request scored: bytes in, an answer and what the log wants to know of it out."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any

import msgspec

from scoring.flavours.model import Model
from scoring.flavours.model_error import told
from scoring.protocol.predictions import plain_predictions
from scoring.protocol.protocol import (
    JSON_TYPE,
    Language,
    MediaType,
    ScoringError,
    parse_invocation,
    render_predictions,
)
from scoring.protocol.rows import LoggedRows
from scoring.protocol.table import Table

logger = logging.getLogger("kedge.scoring")


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
        invocation = parse_invocation(media, body, inputs_only=model.inputs_only)
        data, params = invocation.data, invocation.params
        talks = isinstance(data, Language)
        if isinstance(data, Language):
            names = model.param_names
            data, params = data.without(names), data.only(names)
        table = model.plan.table(data)
        predictions = predict(model, table, params)
        rendered = render_predictions(predictions, bare_words=model.accidents, wrapped=not talks)
        return Answer(HTTPStatus.OK, JSON_TYPE, rendered, table, predictions, params or None)
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
        predictions = model.predict(table, checked)
    except ScoringError:
        raise
    except Exception as error:
        # MLflow blames the input too (400), for it cannot tell whose fault it was.
        raise ScoringError(
            f"the model failed on this input: {type(error).__name__}: {told(error)}"
        ) from error
    try:
        return plain_predictions(predictions)
    except Exception as error:
        # Nobody's input is at fault, so that this is no 400.
        raise ScoringError(
            f"the model's answer has no form in JSON: {told(error)}",
            code="INTERNAL_ERROR",
            status=HTTPStatus.INTERNAL_SERVER_ERROR,
        ) from error
