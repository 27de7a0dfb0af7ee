"""MLflow's model registry over its REST API: an asynchronous client, without importing mlflow.

MLflow's own client costs 100 MB and seconds to import, and retries a failing call for minutes.
This one has short time-outs of its own, tries a read again at most twice and a write never: what
became of a write whose answer was lost is for the caller to read back. The errors are drawn in
`collectors.registry.answers`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal, Self
from urllib.parse import unquote, urlsplit

import aiohttp

from collectors.registry.answers import (
    REASONS,
    TIMEOUT_S,
    Json,
    ModelVersion,
    Reason,
    RegisteredModel,
    RegistryError,
    RegistryNotFoundError,
    RegistryPermanentError,
    RegistryTransientError,
    bare_uri,
    decode_answer,
    object_at,
    objects_at,
    refusal,
    text_at,
    version_of,
)

__all__ = [
    "REASONS",
    "MlflowRegistry",
    "ModelVersion",
    "Reason",
    "RegisteredModel",
    "RegistryError",
    "RegistryNotFoundError",
    "RegistryPermanentError",
    "RegistryTransientError",
]

READ_ATTEMPTS: Final = 3
RETRY_PAUSE_S: Final = 0.1
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
#: Versions of one model that `versions` looks at, newest first; older ones are left unread.
VERSIONS_MAX: Final = 2_000
PAGE_VERSIONS: Final = 200
_API: Final = "/api/2.0/mlflow"


class MlflowRegistry:
    """The registry behind an MLflow tracking URI.

    Use it as an asynchronous context manager, or `close` it. It sends no ``Origin`` header
    (MLflow answers 403 to one), follows no redirect (the token would go along), and verifies
    certificates with the system's authorities.

    Parameters
    ----------
    tracking_uri
        ``http://`` or ``https://``, with a path where MLflow stands behind one. User and
        password in it are taken out and used as `username` and `password`.
    token
        Sent as ``Authorization: Bearer``; it wins over user and password.
    timeout_s
        For one attempt of one call, connecting and reading included.
    session
        A session to borrow; it is not closed. By default one is made with the first call.
    permit
        Whether a write that takes at most so many seconds may begin: a lease's word.

    Raises
    ------
    ValueError
        The tracking URI is not an HTTP address (a file store has no REST API).
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = TIMEOUT_S,
        session: aiohttp.ClientSession | None = None,
        permit: Callable[[float], bool] | None = None,
    ) -> None:
        self.tracking_uri, user_in_uri, password_in_uri = _split_tracking_uri(tracking_uri)
        username = username if username is not None else user_in_uri
        password = password if password is not None else password_in_uri
        self._headers = _authorization(token, username, password)
        shown = (token, password, self._headers.get("Authorization", "").partition(" ")[2])
        self._secrets = tuple(secret.encode() for secret in shown if secret)
        self._timeout_s = timeout_s
        self._permit = permit
        self._session = session
        self._borrowed = session is not None

    def __repr__(self) -> str:
        return f"MlflowRegistry({self.tracking_uri!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are ours. Calling it twice does no harm."""
        if self._session is not None and not self._borrowed:
            await self._session.close()
            self._session = None

    async def version_by_alias(self, model: str, alias: str) -> str | None:
        """Return the version that the alias points to, or None if the model has no such alias.

        Raises
        ------
        RegistryNotFoundError
            There is no such model, or the alias points to a version that was deleted.
        """
        try:
            answer = await self._read("/registered-models/alias", {"name": model, "alias": alias})
        except RegistryPermanentError as error:
            # MLflow answers 400 to an alias that is not there, and to much else besides.
            if error.reason == "invalid" and f"alias {alias} not found" in str(error):
                return None
            raise
        return version_of(object_at(answer, "model_version")).version

    async def model(self, model: str) -> RegisteredModel:
        """Return the model with all its aliases: the cheapest full view.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        """
        answer = await self._read("/registered-models/get", {"name": model})
        found = object_at(answer, "registered_model")
        aliases = {text_at(a, "alias"): text_at(a, "version") for a in objects_at(found, "aliases")}
        return RegisteredModel(text_at(found, "name"), aliases)

    async def version(self, model: str, version: str) -> ModelVersion | None:
        """Return one version, or None if it does not exist (or its model does not)."""
        try:
            answer = await self._read("/model-versions/get", {"name": model, "version": version})
        except RegistryNotFoundError:
            return None
        return version_of(object_at(answer, "model_version"))

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a model, highest number first, at most `VERSIONS_MAX`.

        Empty when the model does not exist: the registry does not tell the two apart here, nor
        does it name a version's aliases; `model` does both.
        """
        # The filter language has two quotes and no escape.
        quote = '"' if "'" in model else "'"
        query = {
            "filter": f"name={quote}{model}{quote}",
            "max_results": str(PAGE_VERSIONS),
            "order_by": "version_number DESC",
        }
        found: list[ModelVersion] = []
        while len(found) < VERSIONS_MAX:
            answer = await self._read("/model-versions/search", query)
            page = [version_of(v) for v in objects_at(answer, "model_versions")]
            # Some databases compare names without regard to case; a name is exact here.
            found += [v for v in page if v.name == model]
            page_token = answer.get("next_page_token")
            if not page or not isinstance(page_token, str) or not page_token:
                break
            query["page_token"] = page_token
        found.sort(key=lambda v: v.number, reverse=True)
        return tuple(found[:VERSIONS_MAX])

    async def download_uri(self, model: str, version: str) -> str:
        """Return where the version's artifacts are. The registry does not look whether they are.

        Raises
        ------
        RegistryNotFoundError
            There is no such version.
        """
        query = {"name": model, "version": version}
        return text_at(await self._read("/model-versions/get-download-uri", query), "artifact_uri")

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point the alias to the version; the last writer wins, there is no compare-and-set.

        Raises
        ------
        RegistryTransientError
            It may have happened or not: read back. Reason ``race``: two first writes of the
            alias met; read back, then write again.
        """
        body = {"name": model, "alias": alias, "version": version}
        await self._call("POST", "/registered-models/alias", body=body)

    async def set_stage(self, model: str, version: str, stage: str) -> None:
        """Move a version to a stage, and archive what was there, in one transaction.

        Stages are deprecated since MLflow 2.9, and still work in MLflow 3.
        """
        body = {"name": model, "version": version, "stage": stage}
        path = "/model-versions/transition-stage"
        await self._call("POST", path, body={**body, "archive_existing_versions": True})

    async def set_version_tag(self, model: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version, over the one of that key. Repeating it changes nothing."""
        body = {"name": model, "version": version, "key": key, "value": value}
        await self._call("POST", "/model-versions/set-tag", body=body)

    async def _read(self, path: str, query: Mapping[str, str]) -> Json:
        """GET, tried again after bad weather with a pause that grows and differs by caller."""
        for attempt in range(1, READ_ATTEMPTS):
            try:
                return await self._call("GET", path, query=query)
            except RegistryTransientError:
                pause_s = RETRY_PAUSE_S * 2 ** (attempt - 1)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        return await self._call("GET", path, query=query)

    async def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str | bool] | None = None,
    ) -> Json:
        if method == "POST" and self._permit is not None and not self._permit(self._timeout_s):
            raise RegistryTransientError(
                f"{method} {self.tracking_uri}{_API}{path}: not sent, the lease has too little "
                "time left",
                "lease",
            )
        content = await self.exchange(method, f"{_API}{path}", query=query, body=body)
        return decode_answer(content, f"{method} {self.tracking_uri}{_API}{path}")

    async def exchange(
        self,
        method: Literal["GET", "POST", "PUT"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str | bool] | bytes | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        timeout_s: float | None = None,
    ) -> bytes:
        """Send one request to the server, once, and return what it answers.

        Parameters
        ----------
        path
            Behind the tracking URI, quoted.
        body
            Bytes are sent as they are, anything else as JSON.

        Raises
        ------
        RegistryError
            There was no answer in time, it was a refusal, or it was too long.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        url = f"{self.tracking_uri}{path}"
        raw = body if isinstance(body, bytes) else None
        told = body if body is not None and not isinstance(body, bytes) else {}
        what = f"{method} {url} {dict(query or told)}"
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with self._session.request(
                method,
                url,
                params=query,
                data=raw,
                json=body if raw is None else None,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await _content(response, what, answer_bytes_max)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unanswered(what, error, timeout_s) from error
        if response.status == HTTPStatus.OK:
            return content
        for secret in self._secrets:
            # A proxy's error page may repeat the request.
            content = content.replace(secret, b"***")
        location = response.headers.get("Location", "")
        host = urlsplit(self.tracking_uri).netloc
        raise refusal(what, response.status, content, location=location, host=host)

    def _unanswered(self, what: str, error: Exception, timeout_s: float) -> RegistryError:
        """Return the error for a call that got no answer, or only a part of one."""
        if isinstance(error, TimeoutError):
            return RegistryTransientError(f"{what}: no answer within {timeout_s:g} s", "timeout")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return RegistryPermanentError(
                f"{what}: the server's certificate is not trusted ({error.certificate_error}); "
                "add its authority to the system's, or name the one to trust in SSL_CERT_FILE",
                "tls",
            )
        if isinstance(error, aiohttp.InvalidURL):
            return RegistryPermanentError(f"{what}: not an address", "invalid")
        return RegistryTransientError(
            f"{what}: {error or type(error).__name__}; is the MLflow server up, and "
            "tracking_uri its address?",
            "connection",
        )


def _split_tracking_uri(uri: str) -> tuple[str, str | None, str | None]:
    """Return the address without user, password and last slash; then user and password."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"tracking_uri {bare_uri(uri)!r} is not an address of an MLflow server: "
            'write "http://HOST:PORT" (a file store or a database has no REST API)'
        )
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return bare_uri(uri).rstrip("/"), user, password


def _authorization(
    token: str | None, username: str | None, password: str | None
) -> Mapping[str, str]:
    if token:
        return {"Authorization": f"Bearer {token}"}
    if username:
        return {
            "Authorization": aiohttp.encode_basic_auth(username, password or "", encoding="utf-8")
        }
    return {}


async def _content(response: aiohttp.ClientResponse, what: str, bytes_max: int) -> bytes:
    content = bytearray()
    # Chunks come decompressed, so that a small answer that inflates is caught too.
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > bytes_max:
            raise RegistryPermanentError(
                f"{what}: the answer is longer than {bytes_max} bytes", "answer"
            )
    return bytes(content)
