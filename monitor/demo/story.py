"""`kedge demo`: the whole loop on one machine, with the real commands as real processes.

Start reading here: `run` sets the stage (registry, models, references, scoring server, daemon)
and hands over to `monitor.demo.play`. Nothing is faked or bypassed: what serves is `kedge serve`,
what watches is `kedge run`, and what they share is MLflow's registry and a log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from monitor.demo import configuration, rows
from monitor.demo.mlflow_server import free_port, mlflow_server
from monitor.demo.models import ALIAS, MODEL_NAME
from monitor.demo.play import RATE, Stage, play
from monitor.demo.processes import Child, ChildError, DemoError, child, log_tail
from monitor.demo.timeline import Timeline
from monitor.demo.traffic import Traffic

DATA_DIR: Final = Path(".kedge-demo")
#: The command, as arguments to this very Python.
KEDGE: Final = ("-m", "monitor.cli")
#: For one step of the preparation, or one program to become ready, on two busy cores.
STEP_TIMEOUT_S: Final = 120.0


def run(data_dir: Path | None, port: int, once: bool) -> int:  # noqa: FBT001 - the command line's
    """Play the demo; return the exit status.

    Parameters
    ----------
    data_dir
        Where each run makes a folder of its own; ``.kedge-demo`` here by default.
    port
        The daemon's port on 127.0.0.1; 0 takes one that is free.
    once
        End when the story has ended, instead of with Ctrl-C.

    Returns
    -------
    int
        0 when the rollback was verified and no request failed, else 1.
    """
    timeline = Timeline()
    verified = False
    with _ends_as_interrupt():
        try:
            _require_packages()
            port = _usable(port)
            folder = _fresh_folder(data_dir or DATA_DIR)
            timeline.title(f"Kedge demo: everything of this run is in {folder}")
            with ExitStack() as programs:
                stage = _set_up(folder, port, timeline, programs)
                verified = asyncio.run(play(stage, timeline, _traffic(stage), stay=not once))
        except DemoError as error:
            timeline.say("failed", str(error))
        except KeyboardInterrupt:
            timeline.say("failed", "interrupted before the rollback was verified")
    return 0 if verified else 1


def _set_up(folder: Path, port: int, timeline: Timeline, programs: ExitStack) -> Stage:
    """Start everything that the story needs; `programs` ends it, the last one first."""
    with child("preparation", ["-m", "monitor.demo.preparation"], folder, pipes=True) as trainer:
        tracking_uri = programs.enter_context(mlflow_server(folder / "mlflow"))
        timeline.say("setup", f"registry: a real MLflow server at {tracking_uri}")
        trained = _heard(trainer, "trained")
        _tell(trainer, tracking_uri)
        timeline.say("setup", _describe(trained))
        _build_references(folder, sorted(trained))
        timeline.say("setup", "references: rows held out from training, a profile for each version")
        numbers = _heard(trainer, "registered")
        trainer.wait(STEP_TIMEOUT_S)
    if any(ours != registered for ours, registered in numbers.items()):
        raise DemoError(f"the registry numbers the versions otherwise than expected: {numbers}")
    timeline.say("setup", f"registered: {MODEL_NAME}, versions {', '.join(numbers)}")
    return _start(folder, port, tracking_uri, timeline, programs)


def _start(
    folder: Path, port: int, tracking_uri: str, timeline: Timeline, programs: ExitStack
) -> Stage:
    """Start the scoring server and the daemon, and wait until both are ready."""
    config = folder / configuration.CONFIGURATION
    config.write_text(configuration.render(tracking_uri, port))
    scoring_port = free_port()
    serve = [
        *("serve", f"models:/{MODEL_NAME}@{ALIAS}", "--port", str(scoring_port)),
        *("--log", configuration.PREDICTION_LOG),
    ]
    environment = {"MLFLOW_TRACKING_URI": tracking_uri}
    server = programs.enter_context(
        child("kedge serve", [*KEDGE, *serve], folder, environment=environment)
    )
    daemon = programs.enter_context(
        child("kedge run", [*KEDGE, "run", "-c", configuration.CONFIGURATION], folder)
    )
    stage = Stage(
        folder=folder,
        tracking_uri=tracking_uri,
        scoring_url=f"http://127.0.0.1:{scoring_port}",
        daemon_url=f"http://127.0.0.1:{port}",
        children=(server, daemon),
    )
    server.wait_until_answers(f"{stage.scoring_url}/ping", STEP_TIMEOUT_S)
    timeline.say("setup", f"kedge {' '.join(serve[:2])}: ready at {stage.scoring_url}")
    daemon.wait_until_answers(f"{stage.daemon_url}/readyz", STEP_TIMEOUT_S)
    timeline.say("setup", f"kedge run -c {config.name}: ready at {stage.daemon_url}")
    return stage


def _traffic(stage: Stage) -> Traffic:
    drifted = rows.load(rows.DRIFTED)
    return Traffic(
        f"{stage.scoring_url}/invocations",
        rows.requests(rows.load(rows.QUIET)),
        rows.requests(rows.in_cents(drifted)),
        rate=RATE,
    )


def _build_references(folder: Path, versions: list[str]) -> None:
    """Run `kedge reference build` for every version, side by side."""
    (folder / configuration.REFERENCES).mkdir()
    with ExitStack() as running:
        builders = [
            running.enter_context(
                child(f"kedge reference build {version}", _build_command(version), folder)
            )
            for version in versions
        ]
        for builder in builders:
            builder.wait(STEP_TIMEOUT_S)


def _build_command(version: str) -> list[str]:
    rows_file = f"{configuration.REFERENCE_ROWS}/{version}.parquet"
    reference = f"{configuration.REFERENCES}/{version}.kedge"
    return [*KEDGE, "reference", "build", "--from", rows_file, "--out", reference]


def _heard(trainer: Child, step: str) -> dict[str, Any]:
    """Return what the preparation says of its versions once a step is done."""
    pipe = trainer.process.stdout
    if pipe is None:
        raise ChildError(f"{trainer.name} has no standard output to read")
    if not select.select([pipe], [], [], STEP_TIMEOUT_S)[0]:
        raise ChildError(f"{trainer.name}: no word after {STEP_TIMEOUT_S:g} s of having {step}")
    line = pipe.readline()
    if not line:
        raise ChildError(f"{trainer.name} ended before it had {step}; {log_tail(trainer.log)}")
    said = json.loads(line)
    if said["step"] != step:
        raise ChildError(f"{trainer.name} said {said}; expected the step {step}")
    versions: dict[str, Any] = said["versions"]
    return versions


def _tell(trainer: Child, tracking_uri: str) -> None:
    pipe = trainer.process.stdin
    if pipe is None:
        raise ChildError(f"{trainer.name} has no standard input to write to")
    # Should it have ended, its missing answer tells, with the end of its log.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(f"{tracking_uri}\n".encode())
        pipe.flush()


def _describe(trained: dict[str, Any]) -> str:
    lines = [
        f"version {number} reads {len(version['columns'])} columns, wrong in "
        f"{version['errors']['reference']:.1%} of held-out rows "
        f"({version['errors']['drifted']:.1%} under the data's own drift)"
        for number, version in sorted(trained.items())
    ]
    return "\n".join(["models: trained twice on 6,250 real rows, errors by the labels", *lines])


def _require_packages() -> None:
    missing = [name for name in ("mlflow", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(
            f"the demo needs {' and '.join(missing)}: install Kedge with its extra, kedge[demo]"
        )


def _usable(port: int) -> int:
    """Return the port if nobody listens there; a free one for 0."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        # As servers do: a connection that was just closed is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise DemoError(
                f"cannot listen on 127.0.0.1:{port} ({error}); give another port with --port"
            ) from error
    return port


def _fresh_folder(data_dir: Path) -> Path:
    """Make a folder for this run, named by the time; runs before it stay as they are."""
    name = datetime.now(UTC).strftime("run-%Y%m%dT%H%M%SZ")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = data_dir.absolute() / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise DemoError(f"cannot make {folder}: {error}") from error
        return folder
    raise DemoError(f"cannot make a folder for this run in {data_dir}: there are too many")


@contextlib.contextmanager
def _ends_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does: with everything it started.

    The programs are in groups of their own, so nobody else would end them.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    # A shell starts background jobs with SIGINT ignored; then nothing would interrupt us.
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: interrupt}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup asks
        wanted[signal.SIGHUP] = interrupt
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
