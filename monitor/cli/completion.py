"""``kedge completion``: what a shell needs to complete our commands and options."""

from __future__ import annotations

import click

#: The variable by which click, and its script, ask for completions.
VARIABLE = "_KEDGE_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> None:
    """Print a script that completes commands.

    The shell reads it when it starts; it asks `kedge` for the completions, so that it fits every
    later version, too. Bash needs to be 4.4 or newer.

    \b
    Examples:
      kedge completion bash > ~/.local/share/bash-completion/completions/kedge
      kedge completion zsh > ~/.zfunc/_kedge          with fpath+=~/.zfunc before compinit
      kedge completion fish > ~/.config/fish/completions/kedge.fish
    """  # noqa: D301 - \b is click's mark
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - not to print help

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    # Not `source()`: it looks for the shell, and the script may be made for another machine.
    script = kind(ctx.find_root().command, {}, "kedge", VARIABLE)
    click.echo(kind.source_template % script.source_vars())
