"""CloudEvents 1.0 over HTTP, as lines: ``{"ce": {attributes}, "data": …}``.

Attributes have their names of the specification, in lower case and without the prefix of the
header: ``id``, ``source``, ``type``, ``time``, ``inferenceservicename``. In binary mode the
content type is the attribute ``datacontenttype``. Data that is not JSON stands under
``"data_base64"``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import msgspec

from collectors.spool.posted_lines import UnreadableBodyError, one_line

#: Content types of events that carry their attributes in the body.
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"

_PREFIX = "ce-"
#: Attributes without which an event is none; without a type nobody could tell what it holds.
_REQUIRED = ("id", "type")

_event = msgspec.json.Decoder(dict[str, msgspec.Raw])
_events = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_anything = msgspec.json.Decoder(msgspec.Raw)


def cloud_events(headers: Mapping[str, str], content_type: str, body: bytes) -> Sequence[bytes]:
    """Return the lines of a request in binary, structured or batch mode.

    Parameters
    ----------
    headers
        Of the request; names in any case.
    content_type
        Without its parameters, in lower case.

    Raises
    ------
    UnreadableBodyError
        It is no CloudEvent; the text says what is missing.
    """
    try:
        if content_type == STRUCTURED:
            return [_structured(_event.decode(body))]
        if content_type == BATCH:
            return [_structured(event) for event in _events.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBodyError(f"the body is not {content_type}: {error}") from error
    return [_binary(headers, content_type, body)]


def _binary(headers: Mapping[str, str], content_type: str, body: bytes) -> bytes:
    attributes = {
        name.lower().removeprefix(_PREFIX): _text(value)
        for name, value in headers.items()
        if name.lower().startswith(_PREFIX)
    }
    _check(attributes, "header Ce-")
    if content_type:
        attributes.setdefault("datacontenttype", content_type)
    return _line(msgspec.json.encode(attributes), _data(body))


def _structured(event: dict[str, msgspec.Raw]) -> bytes:
    _check(event, "attribute ")
    attributes = {key: value for key, value in event.items() if not key.startswith("data_")}
    data = attributes.pop("data", None)
    if data is not None:
        return _line(msgspec.json.encode(attributes), b'"data":' + bytes(data))
    encoded = bytes(event.get("data_base64", b'""'))
    try:
        content = base64.b64decode(msgspec.json.decode(encoded, type=str), validate=True)
    except ValueError as error:
        raise UnreadableBodyError(f"data_base64 is not base64: {error}") from error
    return _line(msgspec.json.encode(attributes), _data(content))


def _check(attributes: Mapping[str, object], kind: str) -> None:
    for name in _REQUIRED:
        if name not in attributes:
            raise UnreadableBodyError(f"not a CloudEvent: the {kind}{name} is missing")


def _text(value: str) -> str:
    """Decode a header's value; what is no text in it becomes a question mark."""
    return unquote(value).encode(errors="replace").decode()


def _data(content: bytes) -> bytes:
    if not content.strip():
        return b'"data":null'
    try:
        return b'"data":' + bytes(_anything.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b'"data_base64":"' + base64.b64encode(content) + b'"'


def _line(attributes: bytes, data: bytes) -> bytes:
    return one_line(b'{"ce":' + attributes + b"," + data + b"}")
