"""What MLflow's registry answers: values where it worked, errors where it did not. No I/O.

Whether a failure is worth another try is decided here, where the answer is read::

    RegistryError                 a registry call failed; `reason` is one of REASONS
    ├── RegistryTransientError    bad weather: the same call may succeed later
    └── RegistryPermanentError    the same call fails until somebody changes something
        └── RegistryNotFoundError the model or the version does not exist
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit, urlunsplit

#: Why a call failed: a closed set, because it becomes a metric's label.
Reason: TypeAlias = Literal[
    "timeout",  # no answer in time; a write may or may not have happened
    "connection",  # refused, reset, or the name did not resolve
    "server",  # 5xx
    "rate",  # 429 or 408
    "race",  # 400 "UNIQUE constraint failed": two first writes of one alias met
    "auth",  # 401, or 403 for lack of permission
    "host",  # 403 from MLflow's guard of the Host header
    "missing",  # 404
    "invalid",  # 400 and other refusals
    "redirect",  # the address answers with another address
    "tls",  # the certificate does not convince
    "answer",  # too long, or not what MLflow sends
    "lease",  # not sent: the right to change things has too little time left
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

#: For one attempt of one call.
TIMEOUT_S: Final = 5.0
#: Bytes of a foreign message that go into an error.
MESSAGE_MAX: Final = 400
#: How a registry on SQLite and one on Postgres word two first writes of one alias that met.
_RACE_SIGNS: Final = ("UNIQUE constraint", "duplicate key")
#: How MLflow 3.5 and later refuse a Host header, and an Origin header, that they do not know.
_GUARD_SIGNS: Final = ("Invalid Host header", "Cross-origin request blocked")

Json: TypeAlias = Mapping[str, object]


class RegistryError(RuntimeError):
    """A call to the registry failed. The message says which, and what to do."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class RegistryTransientError(RegistryError):
    """Bad weather; the outcome of a write is unknown until it is read back."""


class RegistryPermanentError(RegistryError):
    """The registry refused; asking again changes nothing."""


class RegistryNotFoundError(RegistryPermanentError):
    """The model or the version does not exist."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model and where its aliases point (alias to version).

    MLflow 2 leaves the alias of a deleted version behind, so a version named here may be gone.
    """

    name: str
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model.

    Parameters
    ----------
    version
        A whole number as a string, as everywhere in MLflow. Order it by `number`.
    status
        ``READY``, ``PENDING_REGISTRATION`` or ``FAILED_REGISTRATION``.
    created
        Seconds since the epoch; 0 if the registry did not say.
    stage
        ``Production``, ``Staging``, ``Archived`` or ``None``: what came before aliases.
    """

    name: str
    version: str
    status: str
    source: str = ""
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created: float = 0.0
    stage: str = ""

    @property
    def number(self) -> int:
        """The version as a number: 10 comes after 9."""
        return int(self.version)

    @property
    def ready(self) -> bool:
        """Whether the registry calls it usable."""
        return self.status == "READY"


def refusal(what: str, status: int, content: bytes, *, location: str, host: str) -> RegistryError:
    """Return the error that an answer other than 200 stands for.

    Parameters
    ----------
    what
        The call, as the message is to name it.
    location
        Where a redirect points to, or empty.
    host
        The host that was asked, for the hint when MLflow refuses it.
    """
    message = _message(content)
    said = f"{what}: {status} {message}".rstrip()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RegistryTransientError(said, "server")
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS):
        return RegistryTransientError(said, "rate")
    if status == HTTPStatus.BAD_REQUEST and any(sign in message for sign in _RACE_SIGNS):
        return RegistryTransientError(said, "race")
    if status == HTTPStatus.NOT_FOUND:
        return RegistryNotFoundError(said, "missing")
    reason, hint = _permanent(status, message, location=bare_uri(location), host=host)
    return RegistryPermanentError(f"{said}{hint}", reason)


def _permanent(status: int, message: str, *, location: str, host: str) -> tuple[Reason, str]:
    """Return why the registry refuses, and what the operator can do."""
    if status == HTTPStatus.FORBIDDEN and any(sign in message for sign in _GUARD_SIGNS):
        return "host", (
            f": MLflow refuses requests for the host name {host!r}; start it with "
            f"--allowed-hosts {host} (its /health answers all the same)"
        )
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "auth", (
            ": give a token, or user and password, that may read the model, and update it "
            "where Kedge is to act"
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "redirect", (
            f": redirected to {location!r}; put the address that answers in tracking_uri"
        )
    return "invalid", ""


def _message(content: bytes) -> str:
    """Return what an error's body says: MLflow's error_code and message, or its first words."""
    try:
        answer = json.loads(content)
        return f"{answer['error_code']}: {answer['message']}"
    except (ValueError, KeyError, TypeError):
        return content[:MESSAGE_MAX].decode("utf-8", "replace").strip()


def decode_answer(content: bytes, what: str) -> Json:
    """Read the JSON object of an answer 200."""
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise RegistryPermanentError(
            f"{what}: the answer is not JSON; does tracking_uri name an MLflow server?", "answer"
        ) from error
    if not isinstance(answer, dict):
        raise RegistryPermanentError(f"{what}: the answer is not an object", "answer")
    return answer


def version_of(answer: Json) -> ModelVersion:
    """Read one model version as the registry sends it."""
    number = text_at(answer, "version")
    if not (number.isascii() and number.isdigit()):
        raise RegistryPermanentError(f"the registry sent a version {number!r}", "answer")
    created_ms = answer.get("creation_timestamp", 0)
    aliases = answer.get("aliases", ())
    return ModelVersion(
        name=text_at(answer, "name"),
        version=number,
        status=text_at(answer, "status", ""),
        source=text_at(answer, "source", ""),
        run_id=text_at(answer, "run_id", ""),
        tags={text_at(t, "key"): text_at(t, "value", "") for t in objects_at(answer, "tags")},
        aliases=tuple(str(a) for a in aliases) if isinstance(aliases, list) else (),
        created=float(created_ms) / 1000 if isinstance(created_ms, int | float) else 0.0,
        stage=text_at(answer, "current_stage", ""),
    )


def text_at(answer: Json, key: str, default: str | None = None) -> str:
    """Return the text under a key; the default, or an error without one, when it is absent."""
    value = answer.get(key, default)
    if value is None:
        raise RegistryPermanentError(f"the registry's answer has no {key!r}", "answer")
    return str(value)


def object_at(answer: Json, key: str) -> Json:
    """Return the object under a key that must be there."""
    value = answer.get(key)
    if not isinstance(value, dict):
        raise RegistryPermanentError(f"the registry's answer has no {key!r}", "answer")
    return value


def objects_at(answer: Json, key: str) -> list[Json]:
    """Return the objects under a key; MLflow leaves the key out when there are none."""
    value = answer.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RegistryPermanentError(f"the registry's answer has a strange {key!r}", "answer")
    return value


def bare_uri(uri: str) -> str:
    """Return the URI without user, password, query and fragment."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
