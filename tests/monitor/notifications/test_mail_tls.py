"""Mails go over encrypted connections to who can prove to be the server, or not at all."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monitor.settings.notify import EmailNotice
from monitor.settings.secret import Secret
from tests.monitor.mail_receiver import MailReceiver, mail_receiver
from tests.monitor.notifications.test_notifying import notice, notifying, outcomes, until

PASSWORD: Final = "s3cret-canary"
Security: TypeAlias = Literal["starttls", "tls"]

both = pytest.mark.parametrize("security", ["starttls", "tls"])


def certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    """Write a certificate for a host that nobody but itself has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def shown(path: Path) -> ssl.SSLContext:
    """What a server needs to show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def encrypted(
    security: Security, pem: Path, password: str
) -> contextlib.AbstractAsyncContextManager[MailReceiver]:
    """Serve mail with a certificate."""
    if security == "tls":
        return mail_receiver(tls=shown(pem), password=password)
    return mail_receiver(starttls=shown(pem), password=password)


def channel(server: MailReceiver, security: Security, password: str = PASSWORD) -> EmailNotice:
    to = ("a@example.com",)
    secret = Secret(password)
    return EmailNotice("127.0.0.1", "k@example.com", to, server.port, security, "kedge", secret)


@both
async def test_a_mail_and_its_password_are_encrypted(
    security: Security, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))

    async with (
        encrypted(security, pem, PASSWORD) as server,
        notifying(channel(server, security)) as (notifier, metrics),
    ):
        notifier.tell(notice())
        await until(lambda: outcomes(metrics, "email").get("sent"))

    assert server.in_clear == (["EHLO", "STARTTLS"] if security == "starttls" else [])
    assert server.logins == [("kedge", PASSWORD)]
    assert server.to == ["a@example.com"]
    assert "because 0" in server.mails[0].get_content()


@both
@pytest.mark.parametrize("wrong", ["signed by nobody we trust", "of another host"])
async def test_a_certificate_that_is_not_the_servers_is_refused_and_nothing_is_told(
    security: Security,
    wrong: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pem = certificate(tmp_path, "127.0.0.1" if "signed" in wrong else "127.0.0.2")
    if "host" in wrong:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))

    with caplog.at_level(logging.DEBUG):
        async with (
            encrypted(security, pem, PASSWORD) as server,
            notifying(channel(server, security)) as (notifier, metrics),
        ):
            notifier.tell(notice())
            await until(lambda: outcomes(metrics, "email").get("failed"))
            counted = outcomes(metrics, "email")

    assert counted == {"failed": 1}
    assert (server.logins, server.mails) == ([], [])
    why = "self-signed certificate" if "signed" in wrong else "IP address mismatch"
    told = "email was not told of resolved: the mail server's certificate is not accepted: "
    assert f"{told}{why}" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_server_that_does_not_encrypt_hears_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        mail_receiver(password=PASSWORD) as server,
        notifying(channel(server, "starttls")) as (notifier, metrics),
    ):
        notifier.tell(notice())
        await until(lambda: outcomes(metrics, "email").get("failed"))
        counted = outcomes(metrics, "email")

    assert counted == {"failed": 1}
    assert (server.logins, server.mails) == ([], [])
    assert "STARTTLS extension not supported by server" in caplog.text


@both
async def test_a_password_that_is_refused_is_in_no_log(
    security: Security,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))

    with caplog.at_level(logging.DEBUG):
        async with (
            encrypted(security, pem, "another") as server,
            notifying(channel(server, security)) as (notifier, metrics),
        ):
            notifier.tell(notice())
            await until(lambda: outcomes(metrics, "email").get("failed"))

    assert server.logins == [("kedge", PASSWORD)]
    assert "the mail server answered 535" in caplog.text
    assert PASSWORD not in caplog.text
    assert base64.b64encode(PASSWORD.encode()).decode() not in caplog.text
