"""What is legal in a configuration, and still most likely not meant."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references
from monitor.settings.faults import nearest
from monitor.settings.kinds import (
    change_metrics,
    comparing_metrics,
    meters,
    sampled_metrics,
)
from monitor.settings.quantities import EventSpan

if TYPE_CHECKING:
    from monitor.settings.settings import RuleSettings, Settings


def oddities(settings: Settings) -> Iterator[str]:
    """Say what a configuration will not do although it looks like it; a line each.

    Looks at the files that it names, and changes nothing.
    """
    if not settings.rules:
        yield "no [[rules]]: windows are measured, and nothing is ever called a breach"
    yield from _window_oddities(settings)
    yield from _sampling_oddities(settings)
    yield from _rollback_oddities(settings)
    yield from _reference_oddities(settings)
    yield from _file_oddities(settings)


def _window_oddities(settings: Settings) -> Iterator[str]:
    length = settings.windows.length
    if not isinstance(length, EventSpan):
        return
    if length.events < settings.windows.min_events and not settings.rules:
        yield f"windows of {length} never have windows.min_events = {settings.windows.min_events}"
    for rule in settings.rules:
        if rule.metric in sampled_metrics() or rule.metric in change_metrics():
            continue
        needed = settings.windows.min_events if rule.min_events is None else rule.min_events
        if length.events < needed:
            yield (
                f'rule "{rule.name}" is always unknown: '
                f"windows of {length} never have min_events = {needed}"
            )


def _sampling_oddities(settings: Settings) -> Iterator[str]:
    sampled = any(source.type in meters() for source in settings.collect)
    if all(source.type in meters() for source in settings.collect):
        yield "no [[collect]] table reads predictions, so there will be no windows"
    for rule in settings.rules:
        always = f'rule "{rule.name}" is always unknown:'
        if rule.metric == "model_age":
            if not settings.model.tracking_uri:
                yield f"{always} the registry tells how old a model is; set model.tracking_uri"
        elif rule.metric in sampled_metrics() and not sampled:
            yield f'{always} {rule.metric} needs a [[collect]] table of type = "resources"'


def _rollback_oddities(settings: Settings) -> Iterator[str]:
    acting = [rule for rule in settings.rules if rule.action == "rollback"]
    mode = settings.rollback.mode
    for rule in acting:
        if mode == "observe":
            yield f'rule "{rule.name}" asks for a rollback, but [rollback] mode = "observe"'
        elif not settings.model.tracking_uri:
            yield f'rule "{rule.name}" asks for a rollback, but there is no model.tracking_uri'
    if mode == "act" and not acting:
        yield '[rollback] mode = "act", but no rule has action = "rollback"'


def _reference_oddities(settings: Settings) -> Iterator[str]:
    comparing = [rule for rule in settings.rules if rule.metric in comparing_metrics()]
    reference = settings.reference
    if reference.origin:
        return
    if not reference.path:
        for rule in comparing:
            yield f'rule "{rule.name}" is always unknown: [reference] names nothing to compare with'
        return
    if "{version}" in reference.path:
        if not _anything_at(reference.path.replace("{version}", "*")):
            yield f"no file matches reference.path {reference.path} yet"
        return
    yield from _file_of_reference(Path(reference.path), settings.rules)


def _file_of_reference(path: Path, rules: tuple[RuleSettings, ...]) -> Iterator[str]:
    from detectors.reference.reference_file import load  # noqa: PLC0415 - it brings in numpy

    try:
        columns = load(path.read_bytes()).columns
    except FileNotFoundError:
        yield f"the reference {path} does not exist yet; `kedge reference build` makes it"
    except (OSError, ReferenceError) as error:
        yield f"the reference {path} cannot be used: {error}"
    else:
        for rule in rules:
            for pattern in rule.columns:
                if not any(fnmatchcase(name, pattern) for name in columns):
                    hint = nearest(pattern, columns)
                    yield f'rule "{rule.name}": the reference has no column "{pattern}"{hint}'


def _file_oddities(settings: Settings) -> Iterator[str]:
    for source in settings.collect:
        path = getattr(source.settings, "path", "")
        if source.type == "http":
            if settings.http.token is None:
                yield f'source "{source.name}": without [http] token_file nothing can be sent to it'
        elif path and not _anything_at(path):
            yield f'source "{source.name}": no file matches {path} yet'
    secrets = {
        "model.token_file": settings.model.token,
        "model.password_file": settings.model.password,
        "http.token_file": settings.http.token,
    }
    for key, secret in secrets.items():
        if secret is not None and secret.file is not None and not secret.file.is_file():
            yield f"{key}: {secret.file} does not exist"
    kind, _, file = settings.store.url.partition("?")[0].partition(":///")
    folder = Path(file).parent
    if kind == "sqlite" and not folder.is_dir():
        yield f"store.url: the folder {folder} does not exist"


def _anything_at(pattern: str) -> bool:
    # An absolute pattern, which `Path.glob` does not take.
    return next(glob.iglob(pattern, recursive=True), None) is not None  # noqa: PTH207
