"""Where the Kubernetes API server is and how we show who we are: from a pod, or a kubeconfig file.

Tokens of pods are renewed by the kubelet about every hour, so the file is read anew whenever it
has changed, and once more after a 401.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: Where every pod finds its account.
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubernetesConfigError(RuntimeError):
    """It is not known where the API server is, or who we are; the message says what to write."""


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """One API server, and one account there.

    Parameters
    ----------
    server
        ``https://HOST:PORT``.
    namespace
        The namespace of steps that name none.
    authority
        Certificates of the authority to trust, PEM; None for the system's.
    token
        A bearer token that does not change.
    token_file
        The file of one that does; it wins over `token`.
    certificate, key
        A client certificate and its key, PEM.
    verify
        False to trust any certificate; for a cluster on one's own machine.
    """

    server: str
    namespace: str = "default"
    authority: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    verify: bool = True

    def bearer(self) -> str | None:
        """Return the token as it is now; None where a certificate says who we are.

        Raises
        ------
        KubernetesConfigError
            Its file cannot be read, or is empty.
        """
        if self.token_file is None:
            return self.token
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KubernetesConfigError(f"cannot read {self.token_file}: {error}") from error
        if not token:
            raise KubernetesConfigError(f"cannot use the token in {self.token_file}: it is empty")
        return token

    def tls(self) -> ssl.SSLContext | bool:
        """Return what the connection trusts and shows; True for an address without TLS.

        Raises
        ------
        KubernetesConfigError
            A certificate or a key is none.
        """
        if not self.server.startswith("https://"):
            return True
        try:
            context = ssl.create_default_context(cadata=self.authority)
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate and self.key:
                _load_certificate(context, self.certificate, self.key)
        except (ssl.SSLError, ValueError) as error:
            raise KubernetesConfigError(
                f"cannot use the certificates for {self.server}: {error}"
            ) from error
        return context


def find_config(kubeconfig: Path | None = None, context: str | None = None) -> KubernetesConfig:
    """Return the configuration of a file if one is named, of the pod otherwise, else of KUBECONFIG.

    Raises
    ------
    KubernetesConfigError
        None of them is there, or what is there cannot be used.
    """
    if kubeconfig is not None:
        return kubeconfig_file(kubeconfig, context)
    if os.environ.get("KUBERNETES_SERVICE_HOST") and (ACCOUNT / "token").exists():
        return in_cluster()
    named = os.environ.get("KUBECONFIG", "")
    path = Path(named) if named else Path.home() / ".kube" / "config"
    if path.is_file():
        return kubeconfig_file(path, context)
    raise KubernetesConfigError(
        "no Kubernetes API server is known: run in a pod with a service account, set KUBECONFIG, "
        'or write kubeconfig_path = "FILE" in the step'
    )


def in_cluster(
    account: Path = ACCOUNT, environ: Mapping[str, str] | None = None
) -> KubernetesConfig:
    """Return the configuration that Kubernetes gives to every pod.

    Raises
    ------
    KubernetesConfigError
        This is no pod, or its account is not mounted.
    """
    environ = os.environ if environ is None else environ
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubernetesConfigError("KUBERNETES_SERVICE_HOST is not set: this is no pod")
    if ":" in host:
        host = f"[{host}]"
    namespace = _read(account / "namespace").strip()
    return KubernetesConfig(
        f"https://{host}:{port}",
        namespace or "default",
        _read(account / "ca.crt"),
        token_file=account / "token",
    )


def kubeconfig_file(path: Path, context: str | None = None) -> KubernetesConfig:
    """Return what one context of a kubeconfig file says; by default its current one.

    Tokens, token files, client certificates and the authority are read. Plugins that are to be
    run for a token (``exec``, ``auth-provider``), passwords and proxies are not supported.

    Raises
    ------
    KubernetesConfigError
        The file cannot be read or used.
    """
    import yaml  # noqa: PLC0415 - an extra; not needed in a pod

    try:
        loaded = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise KubernetesConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise KubernetesConfigError(f"{path} is no kubeconfig file")
    chosen = context or loaded.get("current-context") or ""
    its = _named(path, loaded, "contexts", "context", chosen)
    cluster = _named(path, loaded, "clusters", "cluster", its.get("cluster"))
    user = _named(path, loaded, "users", "user", its.get("user"))
    if refused := sorted({"exec", "auth-provider", "username"} & user.keys()):
        raise KubernetesConfigError(
            f"{path}: the user of context {chosen!r} has {', '.join(refused)}, which is not "
            "supported: use a token, a tokenFile or a client certificate"
        )
    token_file = user.get("tokenFile")
    return KubernetesConfig(
        str(cluster.get("server", "")).rstrip("/"),
        str(its.get("namespace") or "default"),
        _data(path, cluster, "certificate-authority"),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        certificate=_data(path, user, "client-certificate"),
        key=_data(path, user, "client-key"),
        verify=not cluster.get("insecure-skip-tls-verify", False),
    )


def _named(
    path: Path, loaded: Mapping[str, Any], plural: str, singular: str, name: object
) -> Mapping[str, Any]:
    entries: Iterable[Mapping[str, Any]] = loaded.get(plural) or ()
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(singular) or {}
    raise KubernetesConfigError(f"{path}: there is no {singular} called {name!r}")


def _data(path: Path, entry: Mapping[str, Any], key: str) -> str | None:
    """Return what a key holds in base64 (``…-data``), or what the file that it names holds."""
    data = entry.get(f"{key}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise KubernetesConfigError(f"{path}: {key}-data is not base64 of PEM") from error
    return _read(path.parent / entry[key]) if entry.get(key) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KubernetesConfigError(f"cannot read {path}: {error}") from error


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a client certificate; the library reads one from a file only."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        context.load_cert_chain(file.name)
