"""``kedge check``: is a configuration valid, and what would it do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options import config_option, json_option
from monitor.settings.kinds import meters
from monitor.settings.quantities import render_duration

if TYPE_CHECKING:
    from monitor.settings.settings import RuleSettings, Settings


@click.command("check")
@config_option
@json_option
def command(*, config: Path, as_json: bool) -> int:
    """Validate a configuration.

    Prints every fault with the key it stands at (tables are counted from 0) and exits 2. A valid
    one is summed up in a few lines, with warnings of what is most likely not meant. Nothing is
    changed, and no server is asked.

    \b
    Example:
      kedge check -c kedge.toml
    """  # noqa: D301 - \b is click's mark
    from monitor.settings.oddities import oddities  # noqa: PLC0415 - not to print help
    from monitor.settings.settings import load  # noqa: PLC0415 - not to print help

    if as_json:
        return _print_json(config)
    settings = load(config)
    click.echo(f"{config}: valid")
    for line in _summary(settings):
        click.echo(f"  {line}")
    for oddity in oddities(settings):
        click.echo(f"warning: {oddity}", err=True)
    return 0


def _print_json(config: Path) -> int:
    import json  # noqa: PLC0415 - not to print help

    from monitor.settings.oddities import oddities  # noqa: PLC0415 - the same
    from monitor.settings.settings import ConfigurationError, load  # noqa: PLC0415 - the same

    told: dict[str, object] = {"file": str(config), "valid": True, "faults": []}
    try:
        settings = load(config)
    except ConfigurationError as error:
        faults = [{"key": one.key, "message": one.message} for one in error.faults]
        told |= {"valid": False, "faults": faults, "summary": [], "warnings": []}
    else:
        told |= {"summary": list(_summary(settings)), "warnings": list(oddities(settings))}
    click.echo(json.dumps(told, indent=2))
    return 0 if told["valid"] else 2


def _summary(settings: Settings) -> Iterator[str]:
    model, windows = settings.model, settings.windows
    registry = f" of {model.tracking_uri}" if model.tracking_uri else ", without a registry"
    yield f'watches "{model.name}", alias "{model.alias}"{registry}'
    for source in settings.collect:
        if source.type in meters():
            every = render_duration(source.settings.interval_s)
            yield f'samples "{source.name}": {source.settings.describe()}, every {every}'
            continue
        where = getattr(source.settings, "path", "")
        if source.type == "http":
            where = f"POST {settings.http.listen}/api/v1/… by way of {where or 'a spool'}"
        yield f'reads {source.type} "{source.name}": {where} ({source.settings.format})'
    slide = f", every {windows.slide}" if windows.slide else ""
    yield f"windows of {windows.length}{slide}; fewer than {windows.min_events} events are unknown"
    yield f"compares with {_reference(settings)}"
    for rule in settings.rules:
        yield f'rule "{rule.name}": {_rule(rule)}'
    yield f"on a confirmed breach: {_rollback(settings)}"
    from monitor.store.database import place  # noqa: PLC0415 - not to print help

    yield f"keeps results in {place(settings.store.url)}, and shows them on {settings.http.listen}"


def _reference(settings: Settings) -> str:
    reference = settings.reference
    if reference.origin == "first":
        return f"the first {reference.events} events"
    return reference.path or "nothing: drift is unknown"


def _rule(rule: RuleSettings) -> str:
    of = "".join(f" of {one}" for one in (rule.of, ", ".join(rule.columns)) if one)
    if rule.false_alarms is not None:
        limit = f"with false alarms of {rule.false_alarms} at most"
    elif rule.above is not None:
        limit = f"above {rule.above:g}"
    else:
        limit = f"below {rule.below:g}"
    return f"{rule.metric}{of} {limit} in {rule.quorum} windows: {rule.action}"


def _rollback(settings: Settings) -> str:
    if settings.rollback.mode == "observe":
        return "writes it down (mode observe)"
    if not settings.model.tracking_uri:
        return "nothing can be moved, because there is no model.tracking_uri"
    steps = ", ".join(step.type for step in settings.rollback.steps) or "mlflow-alias"
    target = settings.rollback.policy.target
    if settings.rollback.mode == "dry-run":
        return f"rehearses {steps} to the {target} version, and moves nothing (mode dry-run)"
    return f"moves {steps} to the {target} version (mode act)"
