"""A group of commands whose modules are imported when one is called, not to list them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A click group that knows its commands by module and summary.

    Parameters
    ----------
    commands_at
        Command name to (module, summary). The module holds the command under its own name;
        the summary is the first line of its help.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's own
        commands_at: Mapping[str, tuple[str, str]],
        **kwargs: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table: the order in which one needs them."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the module of a command and return it."""
        if cmd_name not in self.commands_at:
            return None
        module = importlib.import_module(self.commands_at[cmd_name][0])
        command: click.Command = module.command
        return with_debug(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one names the nearest that there is."""
        name = args[0]
        # Who completes a line with a wrong word in it is not told of that.
        if name not in self.commands_at and not (name.startswith("-") or ctx.resilient_parsing):
            close = difflib.get_close_matches(name, self.commands_at, n=1)
            hint = f', did you mean "{close[0]}"?' if close else ""
            ctx.fail(f'there is no command "{name}"{hint}')
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command by the table, importing none of them."""
        names = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in self.commands_at.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands by their summaries, importing none of them."""
        rows = [(name, summary) for name, (_, summary) in self.commands_at.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_debug(command: click.Command) -> click.Command:
    """Give a command, and those below it, the option ``--debug``."""
    if not any(param.name == "debug" for param in command.params):
        option = click.Option(
            ["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error."
        )
        command.params.append(option)
    below: Sequence[click.Command] = ()
    if isinstance(command, click.Group):
        below = list(command.commands.values())
    for one in below:
        with_debug(one)
    return command
