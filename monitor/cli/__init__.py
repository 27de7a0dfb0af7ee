"""The command line, ``kedge``.

Each command is a module here that imports what it needs when it is called, so that
``kedge --help`` costs nothing. This module names the commands and turns errors into one plain
line on standard error and an exit status:

====  ==========================================
0     done
1     failed
2     wrong use, or a faulty configuration
3     breach found, where asked to report it
130   ended by Ctrl-C
====  ==========================================
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from monitor.cli.group import LazyGroup

__all__ = ["main"]

FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

#: Errors of these packages carry a message for whoever typed the command.
_OURS: Final = frozenset(
    {"collectors", "dashboards", "detectors", "monitor", "rollback", "scoring"}
)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted:
        from monitor.version import VERSION  # noqa: PLC0415 - reading metadata takes time

        click.echo(f"kedge {VERSION}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    commands_at={
        "demo": ("monitor.cli.demo", "Show the whole loop on this machine."),
        "init": ("monitor.cli.init", "Write a commented kedge.toml."),
        "check": ("monitor.cli.check", "Validate a configuration."),
        "run": ("monitor.cli.run", "Watch, and roll back: the daemon."),
        "serve": ("monitor.cli.serve", "Serve a model: the scoring server."),
        "reference": ("monitor.cli.reference", "Build or show a reference."),
        "replay": ("monitor.cli.replay", "Show what old logs would have set off."),
        "calibrate": ("monitor.cli.calibrate", "Propose thresholds from healthy logs."),
        "shadow": (
            "monitor.cli.shadow",
            "Compare two versions of a model by their answers to the same requests.",
        ),
        "report": ("monitor.cli.report", "Write a drift report as one HTML file."),
        "status": ("monitor.cli.status", "Show what a daemon sees and does."),
        "rollback": ("monitor.cli.rollback", "Go back to another version, by hand."),
        "hold": ("monitor.cli.hold", "Stop automatic action for a while."),
        "resume": ("monitor.cli.resume", "Let automatic action go on."),
        "bless": ("monitor.cli.bless", "Call a version a fit target."),
        "quarantine": ("monitor.cli.quarantine", "Call a version unfit for a while."),
        "drill": ("monitor.cli.drill", "Rehearse the rollback path without changing anything."),
        "gate": ("monitor.cli.gate", "Say whether a challenger may be promoted."),
        "db": ("monitor.cli.db", "Bring the store's schema up to date."),
        "completion": ("monitor.cli.completion", "Print a script that completes commands."),
        "dashboards": (
            "monitor.cli.dashboards",
            "Write the Grafana dashboards, and rules and routes for Prometheus.",
        ),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 failed, 2 wrong use or configuration, 3 breach found.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Kedge watches a served model, tells drift, and rolls it back.

    \b
    Begin with:
      kedge demo                                  see it work
      kedge init --from logs/predictions.jsonl    write a configuration
      kedge check && kedge run                    watch
    """  # noqa: D301 - \b is click's mark


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``kedge`` with the arguments of the process, and exit with its status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run ``kedge`` and return its exit status."""
    debug = "--debug" in arguments
    try:
        status = cli.main(list(arguments), prog_name="kedge", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USE
    except click.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where every error ends
        if debug:
            traceback.print_exc()
        return _report(_innermost(error))
    return status if isinstance(status, int) else 0


def _report(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        # Whoever read our output has gone (`kedge status | head`): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    lines = getattr(error, "lines", None)
    if lines is not None and type(error).__name__ == "ConfigurationError":
        for line in lines():
            click.echo(line, err=True)
        return WRONG_USE
    click.echo(f"kedge: {_plain(error)}", err=True)
    return WRONG_USE if isinstance(error, click.UsageError) else FAILED


def _plain(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "kedge"
        message = error.format_message().rstrip(".").replace("\n", " ")
        return f"{message}; see `{command} --help`"
    if isinstance(error, click.ClickException):
        return error.format_message()
    text = " ".join(str(error).split())
    if type(error).__module__.partition(".")[0] in _OURS:
        return text
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError):
        return error.strerror or text
    return f"a fault of Kedge's own: {type(error).__name__}: {text}; --debug shows where"


def _innermost(error: Exception) -> Exception:
    """Take a lone error out of the groups that tasks wrap around it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
