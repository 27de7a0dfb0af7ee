"""Where log lines go and what they look like: the same in every process of Kedge.

Callers use :mod:`logging` and loggers named ``kedge.…``. What a line is about besides its text
goes into ``extra``, under names of the Elastic Common Schema, dotted; what is Kedge's own stands
below ``kedge.``. A line is written as one of

* *plain*: time, level, logger and message, coloured on a terminal (:mod:`structlog`);
* *ecs*: a JSON object in the Elastic Common Schema (:mod:`ecs_logging`).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import IO, Any, Final, Literal, TypeAlias

#: How lines look; ``auto``: plain on a terminal, otherwise ecs.
LogFormat: TypeAlias = Literal["auto", "plain", "ecs"]
#: The least grave lines that are written.
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

#: How the processes that a process starts come to write alike.
FORMAT_VARIABLE: Final = "KEDGE_LOG_FORMAT"
LEVEL_VARIABLE: Final = "KEDGE_LOG_LEVEL"

#: Fields that are of no use to a reader of the log, and half of a line.
_LEFT_OUT: Final = ("log.original", "log.origin", "process.thread", "process.name", "taskName")
#: Fields that a plain line shows, and what they are called there: to look them up in the API.
_SHOWN: Final = {"kedge.incident.id": "incident", "kedge.rollback.id": "rollback"}


def configure(
    format_: LogFormat = "auto",
    level: LogLevel = "info",
    *,
    service: str = "kedge",
    stream: IO[str] | None = None,
) -> None:
    """Send the loggers named ``kedge.…`` to standard error; leave everybody else's alone.

    Parameters
    ----------
    service
        Which part of Kedge this process is: ``service.name``.
    stream
        Where to write instead.
    """
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    terminal = stream.isatty()
    chosen = ("plain" if terminal else "ecs") if format_ == "auto" else format_
    handler.setFormatter(
        _ecs(service) if chosen == "ecs" else _plain(colours=_coloured(os.environ, terminal))
    )
    ours = logging.getLogger("kedge")
    ours.handlers[:] = [handler]
    ours.setLevel(level.upper())
    ours.propagate = False
    os.environ[FORMAT_VARIABLE], os.environ[LEVEL_VARIABLE] = chosen, level


def configure_alike(*, service: str) -> None:
    """Write as the process does that started this one, or as two variables of the environment say.

    Values that are none are passed over: a log in another format is better than none.
    """
    asked = os.environ.get(FORMAT_VARIABLE, "auto").lower()
    level = os.environ.get(LEVEL_VARIABLE, "info").lower()
    configure(
        asked if asked in ("plain", "ecs") else "auto",  # type: ignore[arg-type] # one of the three
        level if level in ("debug", "warning", "error") else "info",  # type: ignore[arg-type] # one of the four
        service=service,
    )


def _coloured(environ: Mapping[str, str], terminal: bool) -> bool:  # noqa: FBT001 - private
    """Tell whether to colour: what NO_COLOR forbids nobody can force."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (terminal and environ.get("TERM") != "dumb")


def _ecs(service: str) -> logging.Formatter:
    import ecs_logging  # noqa: PLC0415 - one of the two formats is used

    return ecs_logging.StdlibFormatter(
        exclude_fields=_LEFT_OUT,
        extra={"service.name": service, "event.dataset": f"{service}.log"},
        ensure_ascii=False,
    )


def _plain(*, colours: bool) -> logging.Formatter:
    import structlog  # noqa: PLC0415 - 0.2 s with rich, which it imports; JSON needs neither

    # No rich tracebacks: they show the values of variables, and secrets are among those.
    shown = structlog.dev.ConsoleRenderer(
        colors=colours,
        exception_formatter=structlog.dev.plain_traceback,
        pad_event_to=0,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=_SHOWN),
            _stamp,
            _tame,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shown],
    )


def _stamp(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add when it happened: the record's own time, in UTC to the millisecond."""
    at = event["_record"].created
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    event["timestamp"] = f"{stamp}.{int(at % 1 * 1000):03d}Z"
    return event


def _tame(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Make one line of a message, whatever a name in the data holds, and shorten its fields."""
    text = str(event["event"])
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    event["event"] = text
    for field, name in _SHOWN.items():
        if field in event:
            event[name] = event.pop(field)
    return event
