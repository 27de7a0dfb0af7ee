"""Secrets that stay out of logs, tracebacks and pages, and may change while we run."""

from __future__ import annotations

from pathlib import Path


class SecretUnreadableError(RuntimeError):
    """The file that a secret stands in could not be read; the message names file and reason."""


class Secret:
    """A secret given as a text, or as the file that holds it.

    A file is read when the secret is first asked for, and again whenever it has changed, so
    that whoever rotates it need not restart us. White space at its end is not part of it.

    Parameters
    ----------
    text
        The secret itself; ignored where a file is given.
    file
        The file that holds it.

    Examples
    --------
    >>> Secret("hunter2")
    Secret('***')
    >>> Secret("hunter2").reveal()
    'hunter2'
    """

    __slots__ = ("_seen", "_text", "file")

    def __init__(self, text: str = "", *, file: Path | None = None) -> None:
        self.file = file
        self._text = text
        self._seen: tuple[int, int, int] | None = None

    def reveal(self) -> str:
        """Return the secret as it is now.

        Raises
        ------
        SecretUnreadableError
            Its file is missing, is not to be read by us, is not text, or is empty: an empty
            token would open every door that it should close.
        """
        if self.file is None:
            return self._text
        try:
            stat = self.file.stat()
            # A rotation by rename keeps size and sometimes time; it never keeps the inode too.
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._text = self.file.read_text(encoding="utf-8").rstrip()
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SecretUnreadableError(
                f"cannot read the secret in {self.file}: {reason}"
            ) from error
        if not self._text:
            raise SecretUnreadableError(f"cannot use the secret in {self.file}: it is empty")
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.file, self.file or self._text) == (other.file, other.file or other._text)

    def __hash__(self) -> int:
        return hash((self.file, self.file or self._text))
