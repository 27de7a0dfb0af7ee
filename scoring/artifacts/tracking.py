"""Where the MLflow server is and who we are to it, as MLflow's own clients are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from collectors.registry.client import MlflowRegistry


@dataclass(frozen=True, slots=True)
class Tracking:
    """An MLflow tracking server and how to sign in.

    Parameters
    ----------
    uri
        ``http://`` or ``https://`` address, without user, password and last slash.
    """

    uri: str
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, uri: str | None, environment: Mapping[str, str] = os.environ) -> Tracking | None:
        """Return the server at `uri`, else the one in ``MLFLOW_TRACKING_URI``, else None.

        ``MLFLOW_TRACKING_TOKEN``, ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``
        are what MLflow's clients read too; user and password in the address win over the latter.
        """
        address = uri or environment.get("MLFLOW_TRACKING_URI")
        if not address:
            return None
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        user, password = parts.username, parts.password
        return cls(
            urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")),
            environment.get("MLFLOW_TRACKING_TOKEN") or None,
            unquote(user) if user else environment.get("MLFLOW_TRACKING_USERNAME") or None,
            unquote(password) if password else environment.get("MLFLOW_TRACKING_PASSWORD") or None,
        )

    def registry(self) -> MlflowRegistry:
        """Return a client of the server's model registry; the caller closes it.

        Raises
        ------
        ValueError
            The address is not one of an HTTP server.
        """
        return MlflowRegistry(
            self.uri, token=self.token, username=self.username, password=self.password
        )

    def headers(self) -> Mapping[str, str]:
        """Return what signs a request in."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.username:
            signed = aiohttp.encode_basic_auth(self.username, self.password or "", "utf-8")
            return {"Authorization": signed}
        return {}

    def environment(self) -> Mapping[str, str]:
        """Return what tells MLflow's own client in another process the same."""
        stated = {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_TOKEN": self.token,
            "MLFLOW_TRACKING_USERNAME": self.username,
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }
        return {name: value for name, value in stated.items() if value is not None}
