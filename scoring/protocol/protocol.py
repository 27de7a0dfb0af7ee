"""MLflow's scoring protocol: bytes of a request in, bytes of an answer out. Pure.

Parsing stops at the shape of the JSON; what the columns mean is the business of
`scoring.protocol.plan`. The errors that a caller can see::

    ScoringError            has a status and a body; never a traceback
    └── MediaTypeError      415, plain text
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

import msgspec

JSON_TYPE: Final = "application/json"
CSV_TYPE: Final = "text/csv"
PARQUET_TYPE: Final = "application/vnd.apache.parquet"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

MediaType: TypeAlias = Literal["application/json", "text/csv", "application/vnd.apache.parquet"]

#: The two further words with which MLflow classifies each of its error codes.
_CLASSES: Final[Mapping[str, tuple[str, str]]] = {
    "BAD_REQUEST": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "INVALID_PARAMETER_VALUE": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "INTERNAL_ERROR": ("XXM00", "CLIENT_INTERNAL_ERROR"),
}
_ENFORCED: Final = ("KAM01", "SCHEMA_ENFORCEMENT_FAILED")
_FIELDS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
#: With one of these a request is meant for a language model, which takes no table.
_LANGUAGE_FIELDS: Final = frozenset(("messages", "prompt", "input"))


class ScoringError(Exception):
    """A request that gets an error for an answer.

    Parameters
    ----------
    code, status
        MLflow's error code, and the HTTP status.
    schema
        Whether the input failed against the model's signature: MLflow marks that case.
    classes
        The further words of an error that is mlflow's own; None: those that go with the code.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "BAD_REQUEST",
        status: int = HTTPStatus.BAD_REQUEST,
        schema: bool = False,
        classes: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.code = code
        self.classes = classes or (_ENFORCED if schema else _CLASSES[code])
        #: Sent to the caller when it is there, as MLflow does.
        self.stack_trace = ""

    content_type = JSON_TYPE

    @property
    def schema(self) -> bool:
        """Whether the input failed against the model's signature."""
        return self.classes == _ENFORCED

    def body(self) -> bytes:
        """Return the body of the answer: MLflow's four keys."""
        sqlstate, error_class = self.classes
        told = {
            "error_code": self.code,
            "message": str(self),
            "sqlstate": sqlstate,
            "error_class": error_class,
        }
        if self.stack_trace:
            told["stack_trace"] = self.stack_trace
        return json.dumps(told).encode()


class MediaTypeError(ScoringError):
    """A content type that is not served."""

    content_type = TEXT_TYPE

    def __init__(self, message: str) -> None:
        super().__init__(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)

    def body(self) -> bytes:
        """Return the message as plain text, as MLflow does for this status alone."""
        return str(self).encode()


def schema_error(message: str) -> ScoringError:
    """Return the error for an input that does not fit the model's signature."""
    return ScoringError(message, code="INVALID_PARAMETER_VALUE", schema=True)


@dataclass(frozen=True, slots=True)
class Split:
    """``dataframe_split``: rows of cells, names, and labels of the rows; each any JSON value."""

    columns: Any
    rows: Any
    index: Any = None


@dataclass(frozen=True, slots=True)
class Records:
    """``dataframe_records``: one object a row, or what else is in the array."""

    rows: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Arrays:
    """``inputs`` (column by column) or, with `by_row`, ``instances``: any JSON value."""

    value: Any
    by_row: bool


@dataclass(frozen=True, slots=True)
class Csv:
    """A CSV file with a header line."""

    text: str


@dataclass(frozen=True, slots=True)
class Parquet:
    """A Parquet file."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Language:
    """A request for a language model: the whole body, which the model gets as it came."""

    value: Mapping[str, Any]

    def without(self, params: Collection[str]) -> Language:
        """Return the request without the keys that the signature states as parameters."""
        return Language({k: v for k, v in self.value.items() if k not in params})

    def only(self, params: Collection[str]) -> dict[str, Any]:
        """Return those keys alone."""
        return {k: v for k, v in self.value.items() if k in params}


RequestData: TypeAlias = Split | Records | Arrays | Csv | Parquet | Language


@dataclass(frozen=True, slots=True)
class Invocation:
    """A request to score: its rows, and its parameters (None when it has none)."""

    data: RequestData
    params: object = None


@lru_cache(maxsize=64)
def media_type(content_type: str | None) -> MediaType:
    """Return what a Content-Type header announces.

    Names are compared with regard to case, and ``charset=utf-8`` is the only parameter, as in
    MLflow.

    Raises
    ------
    MediaTypeError
        Anything else, and a header that is missing.
    """
    name, *parameters = (part.strip() for part in (content_type or "").split(";"))
    pairs = dict(parameter.partition("=")[::2] for parameter in parameters)
    charset = pairs.pop("charset", "utf-8")
    if charset.lower() != "utf-8":
        raise MediaTypeError(f"charset {charset!r} is not supported: send UTF-8")
    if pairs:
        raise MediaTypeError(
            f"content type parameters {', '.join(pairs)} are not known: send {name} alone"
        )
    if name == JSON_TYPE:
        return JSON_TYPE
    if name == CSV_TYPE:
        return CSV_TYPE
    if name == PARQUET_TYPE:
        return PARQUET_TYPE
    raise MediaTypeError(
        f"content type {content_type!r} is not supported: "
        f"send {JSON_TYPE}, {CSV_TYPE} or {PARQUET_TYPE}"
    )


def parse_invocation(media: MediaType, body: bytes, *, inputs_only: bool = False) -> Invocation:
    """Read the body of ``POST /invocations``.

    ``NaN`` and ``Infinity`` are read as Python's JSON reads them, because MLflow's clients
    send them.

    Parameters
    ----------
    inputs_only
        Whether of all shapes of JSON only ``inputs`` is read, and the others are passed over.

    Raises
    ------
    ScoringError
        The body is not of a shape that the protocol knows.
    """
    if media == CSV_TYPE:
        try:
            return Invocation(Csv(body.decode()))
        except UnicodeDecodeError as error:
            raise ScoringError(f"the CSV is not UTF-8: {error}") from error
    if media == PARQUET_TYPE:
        return Invocation(Parquet(body))
    value = decode_json(body)
    if not isinstance(value, dict):
        raise ScoringError(
            f"the body must be a JSON object with exactly one of {', '.join(_FIELDS)}; "
            f"got {_json_name(value)}"
        )
    if _LANGUAGE_FIELDS & value.keys():
        return Invocation(Language(value))
    if inputs_only:
        if "inputs" not in value:
            raise ScoringError("the model takes inputs alone", code="INVALID_PARAMETER_VALUE")
        return Invocation(Arrays(value["inputs"], by_row=False), value.get("params"))
    fields = [field for field in _FIELDS if field in value]
    if len(fields) != 1:
        raise ScoringError(
            f"the body must have exactly one of {', '.join(_FIELDS)}; "
            f"got {', '.join(fields) or 'none of them'}"
        )
    return Invocation(_PARSERS[fields[0]](value[fields[0]]), value.get("params"))


def decode_json(body: bytes) -> object:
    """Return any JSON, and the bare words that Python's own writer puts where JSON has none.

    Raises
    ------
    ScoringError
        It is not valid, or nested too deeply.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise ScoringError("the JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        # Python's reader takes what the strict one refuses: NaN, Infinity, UTF-16.
        return json.loads(body)
    except RecursionError:
        raise ScoringError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ScoringError(f"the body is not valid JSON: {error}") from error


def _parse_split(value: object) -> Split:
    if not isinstance(value, dict):
        raise ScoringError(f"dataframe_split must be an object; got {_json_name(value)}")
    if "data" not in value or value.keys() - {"data", "columns", "index"}:
        raise ScoringError(
            "dataframe_split must have data and may have columns and index; "
            f"got {', '.join(value) or 'no keys'}"
        )
    return Split(value.get("columns"), value["data"], value.get("index"))


def _parse_records(value: object) -> Records:
    if not isinstance(value, list):
        raise ScoringError(
            f"dataframe_records must be an array of objects; got {_json_name(value)}"
        )
    return Records(value)


_PARSERS: Final[Mapping[str, Callable[[object], Split | Records | Arrays]]] = {
    "dataframe_split": _parse_split,
    "dataframe_records": _parse_records,
    "instances": lambda value: Arrays(value, by_row=True),
    "inputs": lambda value: Arrays(value, by_row=False),
}


def _json_name(value: object) -> str:
    """Return what JSON calls a value."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def render_predictions(
    predictions: object, *, bare_words: bool = False, wrapped: bool = True
) -> bytes:
    """Return the body of an answer: ``{"predictions": …}`` with the separators of MLflow.

    NaN and the infinities become ``null``: the bare words that MLflow sends are not JSON.

    Parameters
    ----------
    predictions
        What `plain_predictions` returned.
    bare_words
        Send NaN and the infinities as MLflow does.
    wrapped
        False for a language model's answer, which is the body.
    """
    answer = {"predictions": predictions} if wrapped else predictions
    if bare_words:
        return json.dumps(answer).encode()
    try:
        return _encode(answer).encode()
    except ValueError:
        return _encode(_finite(answer)).encode()


_encode: Final = json.JSONEncoder(allow_nan=False).encode


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON values of any shape
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
