"""The rehearsal of a rollback on a healthy day: what would go wrong if one were needed now.

Nothing is changed: the store is read by a connection that cannot write, the registry is asked,
the target is loaded in a process of its own, and each step is rehearsed as it is before it acts.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from collectors.registry.client import RegistryError
from monitor.deciding.parts import actuators_of, registry_of
from monitor.settings.settings import Settings
from monitor.store.queries import Filter, Queries
from monitor.store.remembering import MEMORY, remembered
from monitor.store.store import StoreError, sqlite_path
from rollback.actuator import Actuator, CheckUnavailableError
from rollback.gates import Case, ask_with_registry
from rollback.memory import Memory
from rollback.observation import RegistryRead
from rollback.policy import GatePolicy
from rollback.record import RollbackRecord
from rollback.target import Target, check_target

#: Records of the journal that limit a rollback now; the newest.
HISTORY_MAX: Final = 500
#: Lines of what a model that does not load said at its end.
_SAID_LINES: Final = 3
_SAID_BYTES: Final = 10_000
#: Variables that begin so are Kedge's own, and no business of a model's code.
_OWN: Final = "KEDGE_"
#: Gates that limit automatic action, and say nothing of the path.
_LIMITS: Final = ("mode", "hold", "evidence", "cooldown", "budget")
_OF_THE_TARGET: Final = ("gate quarantine", "gate target")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a drill.

    Parameters
    ----------
    ok
        False: a rollback would not come through here. None: only a breach can tell.
    """

    what: str
    ok: bool | None
    detail: str


async def drill(
    settings: Settings,
    *,
    to_version: str | None = None,
    load_timeout_s: float | None = 300.0,
    now: float | None = None,
) -> AsyncIterator[Finding]:
    """Rehearse a rollback of what serves now; findings in the order of the path.

    Parameters
    ----------
    to_version
        Where to; what the policy would choose by default.
    load_timeout_s
        How long fetching and loading the target may take; None: it is not loaded.
    now
        Seconds since the epoch; the clock's by default.
    """
    now = time.time() if now is None else now
    registry = registry_of(settings)
    if registry is None:
        yield Finding("registry", ok=False, detail="no [model] tracking_uri: nothing can be moved")
        return
    async with registry:
        model = settings.model
        try:
            aliases = (await registry.model(model.name)).aliases
            read = RegistryRead(
                aliases.get(model.alias), tuple(await registry.versions(model.name))
            )
            past = await asyncio.to_thread(past_of, settings)
        except (RegistryError, StoreError) as error:
            what = "store" if isinstance(error, StoreError) else "registry"
            yield Finding(what, ok=False, detail=str(error))
            return
        serving = read.alias_version
        words = "points nowhere" if serving is None else f"points to version {serving}"
        yield Finding("registry", serving is not None, f"{model.name}@{model.alias} {words}")
        if serving is None:
            return
        findings, target = _gates(settings, read, past, now)
        if to_version is not None:
            named, target = _named(read, past, to_version, now)
            findings = [f for f in findings if f.what not in _OF_THE_TARGET] + [named]
        for finding in (*findings, *_of_a_breach(settings.rollback.policy.gates)):
            yield finding
        if target is None:
            return
        if load_timeout_s is not None:
            yield await _loads(settings, target, load_timeout_s)
        for actuator in actuators_of(settings, registry):
            yield await _step(actuator, serving, target)
        yield _mode(settings)


@dataclass(frozen=True, slots=True)
class Past:
    """What the store remembers: marks of versions, and closed rollbacks, oldest first."""

    memory: Memory = field(default_factory=Memory)
    history: tuple[RollbackRecord, ...] = ()


def past_of(settings: Settings) -> Past:
    """Read it from the store; nothing where there is no store yet.

    Raises
    ------
    monitor.store.store.StoreError
        It cannot be read.
    """
    file = sqlite_path(settings.store.url)
    if file is not None and not file.exists():
        return Past()
    queries = Queries(settings.store.url)
    try:
        kept = queries.state(MEMORY)
        rows = queries.rollbacks(Filter(model=settings.model.name, limit=HISTORY_MAX))
    finally:
        queries.close()
    records = [RollbackRecord.from_json(row) for row in rows]
    closed = sorted((r for r in records if not r.open), key=lambda record: record.updated)
    return Past(remembered({MEMORY: kept} if kept else {}), tuple(closed))


def _gates(
    settings: Settings, read: RegistryRead, past: Past, now: float
) -> tuple[list[Finding], str | None]:
    """Ask the gates as a breach that is confirmed right now would be asked, and find a target."""
    # A drill has no breach, and so no cause of one: `_of_a_breach`.
    policy = replace(settings.rollback.policy, mode="act", gates=GatePolicy(world_or_model=False))
    record = RollbackRecord(
        id="drill",
        model=settings.model.name,
        state="CONFIRMED",
        reason="drill",
        created=now,
        updated=now,
        expires=now + policy.intent_ttl_s,
        from_version=read.alias_version,
    )
    results, target = ask_with_registry(
        Case(record, now, past.memory, past.history, policy, now), read
    )
    if results[-1].gate in _LIMITS and not results[-1].passed:
        # What stands beyond the limit is told all the same, as to a person.
        record, memory = replace(record, manual=True), replace(past.memory, hold=None)
        further, target = ask_with_registry(
            Case(record, now, memory, past.history, policy, now), read
        )
        results += tuple(one for one in further if one.gate not in _LIMITS)
    found = [
        Finding(f"gate {one.gate}", one.passed, one.detail)
        for one in results
        if one.gate not in ("evidence", "mode", "world_or_model")
    ]
    return found, None if target is None else target.version


def _of_a_breach(gates: GatePolicy) -> tuple[Finding, ...]:
    """Name the gates that ask for what a breach brings with it: its cause, and its requests."""
    settings = {
        "world_or_model": "on" if gates.world_or_model else "off",
        "better_on_shadow": gates.better_on_shadow,
    }
    return tuple(
        Finding(
            f"gate {gate}",
            ok=None,
            detail="off: it lets every breach pass"
            if how == "off"
            else f"{how}: judged on a breach's evidence, and not part of a drill",
        )
        for gate, how in settings.items()
    )


def _named(
    read: RegistryRead, past: Past, to_version: str, now: float
) -> tuple[Finding, str | None]:
    choice = check_target(read.alias_version or "", to_version, read.versions, past.memory, now=now)
    if isinstance(choice, Target):
        return Finding("gate target", ok=True, detail=choice.why), choice.version
    return Finding(f"gate {choice.gate}", ok=False, detail=choice.detail), None


async def _loads(settings: Settings, version: str, timeout_s: float) -> Finding:
    """Fetch, load and try the target in a process of its own."""
    model = settings.model
    what = f"loads version {version}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OWN)}
    rehearse = (sys.executable, "-m", "scoring.rehearse", f"models:/{model.name}/{version}")
    try:
        told = await ask_program(rehearse, environment | _signed_in(settings), timeout_s=timeout_s)
    except TimeoutError:
        return Finding(what, ok=False, detail=f"not within {timeout_s:.0f} s")
    try:
        said: Mapping[str, Any] = json.loads(told.line)
        return Finding(what, bool(said["ok"]), str(said["detail"]))
    except (ValueError, KeyError, TypeError):
        last = " ".join(told.last_words)
        detail = f"the process that loads it ended with {told.status}: {last}"
        return Finding(what, ok=False, detail=detail)


@dataclass(frozen=True, slots=True)
class Told:
    """What a program said: its first line, the last lines of its errors, its exit status."""

    line: bytes
    last_words: Sequence[str]
    status: int


async def ask_program(
    arguments: Sequence[str], environment: Mapping[str, str], *, timeout_s: float
) -> Told:
    """Run a program to its end; processes that it leaves behind are not waited for.

    Raises
    ------
    TimeoutError
        It took longer; it was ended, with all that it had started.
    """
    # Not to pipes: they would be open for as long as anything that inherited them.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                status = await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        output.seek(0)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _SAID_BYTES))
        lines = errors.read().decode(errors="replace").splitlines()
        return Told(output.readline(), lines[-_SAID_LINES:], status)


def _signed_in(settings: Settings) -> dict[str, str]:
    """Return how MLflow's clients are told where the registry is, and who we are."""
    model = settings.model
    told = {"MLFLOW_TRACKING_URI": model.tracking_uri}
    if model.token is not None:
        told["MLFLOW_TRACKING_TOKEN"] = model.token.reveal()
    if model.username:
        told["MLFLOW_TRACKING_USERNAME"] = model.username
    if model.password is not None:
        told["MLFLOW_TRACKING_PASSWORD"] = model.password.reveal()
    return told


async def _step(actuator: Actuator, from_version: str, to_version: str) -> Finding:
    what = f"step {actuator.name}"
    try:
        problems = await actuator.check(from_version, to_version)
    except (CheckUnavailableError, RegistryError) as error:
        return Finding(what, ok=False, detail=str(error))
    if problems:
        return Finding(what, ok=False, detail="; ".join(problems))
    return Finding(what, ok=True, detail=f"would move version {from_version} to {to_version}")


def _mode(settings: Settings) -> Finding:
    mode = settings.rollback.mode
    does = "a confirmed breach is acted on" if mode == "act" else "nothing is ever changed"
    return Finding("mode", ok=True, detail=f"{mode}: {does}")
