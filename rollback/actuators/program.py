"""The step ``command``: runs a program of the user's, without a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar, Final

from rollback.actuator import CheckUnavailableError, Done, Failed, Result

#: What a program says by its exit status; everything else is a refusal for good.
EXIT_DONE: Final = 0
EXIT_TRY_AGAIN: Final = 75
EXIT_CONTESTED: Final = 65
#: Bytes of its output that are kept, from the end.
OUTPUT_MAX: Final = 2_000
#: From the friendly signal to the one that cannot be refused.
GRACE_S: Final = 2.0
#: What of our environment a program gets; no secret of ours is there.
ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """A step of type ``command``."""

    type: ClassVar[str] = "command"

    argv: tuple[str, ...]
    """The program and its arguments, as they are: no shell reads them. ``{model}``,
    ``{from_version}``, ``{to_version}`` and ``{intent}`` are filled in. It must be safe to run
    again: after a crash it is."""

    name: str = ""
    """Names the step in records; by default the program's name."""

    check: tuple[str, ...] = ()
    """A program that rehearses, and changes nothing; by default it is only looked for."""

    timeout_s: float = 60.0
    """After it, the program and all that it has started are ended."""

    env: tuple[str, ...] = ()
    """Environment variables that it gets besides ``PATH``, ``HOME``, the locale, the time zone
    and ``KEDGE_MODEL``, ``KEDGE_FROM_VERSION``, ``KEDGE_TO_VERSION`` and ``KEDGE_INTENT``."""

    def build(self, *, model: str, **_others: object) -> Program:
        """Return the actuator; `model` is the registered model."""
        return Program(self, model)


class Program:
    """Runs one program. Exit status 0 is done, 75 try again, 65 contested."""

    def __init__(self, settings: CommandSettings, model: str) -> None:
        self._settings = settings
        self._model = model

    @property
    def name(self) -> str:
        """Names the program, as in ``command switch-traffic``."""
        argv = self._settings.argv
        return f"{CommandSettings.type} {self._settings.name or PurePath(argv[0]).name}"

    async def check(self, from_version: str, to_version: str) -> tuple[str, ...]:
        """Look for the program; run the rehearsal if there is one."""
        program = self._settings.argv[0]
        if shutil.which(program) is None:
            return (f"there is no program {program}, or it may not be run",)
        if not self._settings.check:
            return ()
        result = await self._run(self._settings.check, from_version, to_version, "")
        if isinstance(result, Done):
            return ()
        if result.kind == "transient":
            raise CheckUnavailableError(result.message)
        return (result.message,)

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        """Run the program to its end."""
        return await self._run(self._settings.argv, from_version, to_version, intent)

    async def undone(self, from_version: str, to_version: str) -> None:
        """Nothing is known of what became of it since."""

    async def _run(
        self, argv: tuple[str, ...], from_version: str, to_version: str, intent: str
    ) -> Result:
        values = {
            "model": self._model,
            "from_version": from_version,
            "to_version": to_version,
            "intent": intent,
        }
        names = (*ENVIRONMENT, *self._settings.env)
        environment = {n: os.environ[n] for n in names if n in os.environ}
        environment |= {f"KEDGE_{key.upper()}": value for key, value in values.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *(_filled(word, values) for word in argv),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return Failed("permanent", f"cannot run {argv[0]}: {error}", changed=False)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                output = await _tail(process)
                status = await process.wait()
        except TimeoutError:
            words = f"{argv[0]} did not end within {self._settings.timeout_s:g} s, and was ended"
            return Failed("transient", words, changed=True)
        finally:
            await _end(process)
        return _judged(status, f"{argv[0]} ended with {status}: {output}")


def _filled(word: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        word = word.replace(f"{{{key}}}", value)
    return word


async def _tail(process: asyncio.subprocess.Process) -> str:
    """Read all that it writes, and keep the end."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    kept = b""
    while chunk := await process.stdout.read(65_536):
        kept = (kept + chunk)[-OUTPUT_MAX:]
    return kept.decode(errors="replace").strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program, and what it has started, if it has not ended."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
                return


def _judged(status: int, words: str) -> Result:
    if status == EXIT_DONE:
        return Done(words)
    if status == EXIT_TRY_AGAIN:
        return Failed("transient", words, changed=True)
    if status == EXIT_CONTESTED:
        return Failed("contested", words, changed=True)
    return Failed("permanent", words, changed=True)
