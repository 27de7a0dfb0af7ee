"""Secrets: hidden wherever they could be printed, and read again when their file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.settings.secret import Secret, SecretUnreadableError


def test_a_secret_is_hidden_in_every_text() -> None:
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret} {secret!r} {(secret,)}"
    assert secret.reveal() == "hunter2"


def test_a_secret_is_read_again_when_its_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    secret = Secret(file=file)
    assert secret.reveal() == "first"

    (tmp_path / "next").write_text("other\n")
    (tmp_path / "next").replace(file)

    assert secret.reveal() == "other"


def test_a_missing_file_says_which_and_is_read_once_it_is_there(tmp_path: Path) -> None:
    secret = Secret(file=tmp_path / "token")

    with pytest.raises(SecretUnreadableError, match="token: No such file"):
        secret.reveal()

    (tmp_path / "token").write_text("late")
    assert secret.reveal() == "late"


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    with pytest.raises(SecretUnreadableError, match="it is empty"):
        Secret(file=tmp_path / "token").reveal()
