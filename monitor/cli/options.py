"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

#: Where a configuration stands unless one is named.
CONFIGURATION = Path("kedge.toml")

config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=CONFIGURATION,
    show_default=True,
    help="The configuration.",
)
force_option = click.option("--force", is_flag=True, help="Replace a file that is there.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
