"""``kedge run``: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.cli.options import config_option


@click.command("run")
@config_option
def command(*, config: Path) -> int:
    """Watch, and roll back: the daemon.

    Reads the prediction logs that FILE names, measures every window, judges the rules, and shows
    it on http://127.0.0.1:9464. SIGTERM or Ctrl-C commit and stop it; SIGHUP reads the rules
    again. It moves nothing unless FILE says [rollback] mode = "act".

    \b
    Example:
      kedge run -c kedge.toml
    """  # noqa: D301 - \b is click's mark
    import signal  # noqa: PLC0415 - not to print help

    # Until there are rules to read again it says nothing; by itself it would end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    settings = load(config)
    from monitor.loop import run  # noqa: PLC0415 - a faulty configuration needs none of it

    return run(settings)
