"""What a Kubernetes API server answers: objects where it worked, errors where it did not. No I/O.

Whether a failure is worth another try is decided here, where the answer is read::

    KubernetesError                 a call failed; `code` is the HTTP status, 0 without an answer
    ├── KubernetesTransientError    bad weather: the same call may succeed later; what became of a
    │                               write is unknown until it is read back
    └── KubernetesPermanentError    the same call fails until somebody changes something
        ├── KubernetesNotFoundError the object, or the kind of object, does not exist
        ├── KubernetesForbiddenError  our account may not do that
        └── KubernetesConflictError the object is not what the write expected: read it again
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

#: Bytes of a foreign message that go into an error.
MESSAGE_MAX: Final = 400

#: A JSON object. Any, because its shape is the reader's to know.
KubernetesObject: TypeAlias = dict[str, Any]

#: What the same call may get past later.
_TRANSIENT: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        # A list that took too long to be read to its end: it is begun anew.
        HTTPStatus.GONE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class KubernetesError(RuntimeError):
    """A call to the API server failed. The message says which, and what to do.

    Parameters
    ----------
    reason
        The server's own word for it, ``Conflict`` or ``Forbidden``; empty without one.
    code
        The HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, *, reason: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


class KubernetesTransientError(KubernetesError):
    """Bad weather; the outcome of a write is unknown until it is read back.

    Parameters
    ----------
    retry_after_s
        How long the server asks to be left alone; None if it did not say.
    """

    def __init__(
        self, message: str, *, reason: str = "", code: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, code=code)
        self.retry_after_s = retry_after_s


class KubernetesPermanentError(KubernetesError):
    """The server refused; asking again changes nothing."""


class KubernetesNotFoundError(KubernetesPermanentError):
    """The object, or the kind of object, does not exist."""


class KubernetesForbiddenError(KubernetesPermanentError):
    """Our account may not do that."""


class KubernetesConflictError(KubernetesPermanentError):
    """The object is not what the write expected, or what it says is refused: read it again.

    A failed ``test`` of a JSON patch is answered 422, and so is an object that is not valid; the
    server does not tell the two apart. Whoever has sent a guarded patch reads the object again:
    if it has not changed, the patch itself was refused.
    """


def decode(what: str, content: bytes) -> KubernetesObject:
    """Return the object in an answer that succeeded.

    Raises
    ------
    KubernetesTransientError
        It is no JSON object: a proxy spoke, or the answer was cut off.
    """
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise KubernetesTransientError(f"{what}: the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise KubernetesTransientError(f"{what}: the answer is not a JSON object")
    return answer


def refusal(what: str, status: int, content: bytes, headers: Mapping[str, str]) -> KubernetesError:
    """Return the error that an answer other than success stands for.

    Parameters
    ----------
    what
        The call, as the message is to name it.
    """
    reason, message = _status(content)
    text = f"{what}: {status} {reason}: {message}"
    if status in _TRANSIENT:
        after = retry_after_s(headers)
        return KubernetesTransientError(text, reason=reason, code=status, retry_after_s=after)
    if status == HTTPStatus.NOT_FOUND:
        return KubernetesNotFoundError(text, reason=reason, code=status)
    if status == HTTPStatus.UNAUTHORIZED:
        hint = "the token or the certificate is not accepted; is it this cluster's, and fresh?"
        return KubernetesForbiddenError(f"{text}; {hint}", reason=reason, code=status)
    if status == HTTPStatus.FORBIDDEN:
        hint = "see docs/kubernetes.md for the roles that the steps need"
        return KubernetesForbiddenError(f"{text}; {hint}", reason=reason, code=status)
    if status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
        return KubernetesConflictError(text, reason=reason, code=status)
    return KubernetesPermanentError(text, reason=reason, code=status)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; the API server never sends a date."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _status(content: bytes) -> tuple[str, str]:
    """Return reason and message of a Status object, or of whatever a proxy has sent."""
    try:
        status = json.loads(content)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        causes = (status.get("details") or {}).get("causes") or ()
        told = [str(status.get("message", "")), *(str(c.get("message", "")) for c in causes)]
        return str(status.get("reason", "")), "; ".join(filter(None, told))[:MESSAGE_MAX]
    return "", content[:MESSAGE_MAX].decode(errors="replace").strip() or "no message"
