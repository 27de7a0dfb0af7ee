"""The first ``kedge.toml``: what ``kedge init`` writes, with or without a log to look at."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import msgspec
import numpy as np

from collectors.batch import ColumnKind, PredictionBatch
from collectors.format import Holding
from collectors.formats.auto import FALLBACK, AutoFormat
from collectors.formats.options import FormatOptions
from collectors.kinds import FORMATS
from monitor.settings.quantities import render_duration

#: Lines of a log that are looked at.
LINES_MAX: Final = 10_000
#: Columns that are listed by name.
_LISTED_MAX: Final = 100
#: A proposed window holds at least this many events at the log's own rate: three times what a
#: rule asks for, so that quiet hours are judged too.
_WINDOW_EVENTS_MIN: Final = 1_000
#: Divergence that the rule which may roll back passes over: a shift by 0.14 standard deviations.
#: Of the scenarios of `benchmarks.rollback_gates` it misses hardly more than what alerts does.
ACTING_TOLERANCE: Final = 0.02
#: Of comments, characters.
_WIDTH: Final = 94
_WINDOW_LENGTHS_S: Final = (60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)


class LogError(ValueError):
    """A log that no configuration can be made of; the message says which and why."""


@dataclass(slots=True)
class Seen:
    """What the head of a log holds.

    Parameters
    ----------
    model
        The model that most events name; empty if none does.
    log_format
        Name of the log's format, also where it had to be told by the lines.
    columns
        Kind by column name.
    lines, events
        Lines looked at, and how many of them are usable events.
    rejected
        The other lines, by reason.
    latency_p99_ms
        NaN where no event has a latency.
    span_s
        Time from the first to the last event.
    timezone
        What was taken for the zone of times that have none; empty where none was missing.
    """

    model: str = ""
    log_format: str = ""
    versions: list[str] = field(default_factory=list)
    columns: dict[str, ColumnKind] = field(default_factory=dict)
    lines: int = 0
    events: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    latency_p99_ms: float = math.nan
    span_s: float = 0.0
    timezone: str = ""


def look_at(path: Path, log_format: str) -> Seen:
    """Read the head of a log.

    Raises
    ------
    LogError
        It cannot be read, or holds no event of that format.
    """
    try:
        with path.open("rb") as file:
            lines = [line for _, line in zip(range(LINES_MAX), file, strict=False)]
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from error
    seen = _seen(lines, log_format)
    if not seen.events and seen.rejected["bad_time"]:
        zoned = _seen(lines, log_format, timezone="UTC")
        seen = zoned if zoned.events else seen
    if not seen.events:
        reasons = ", ".join(f"{count} {reason}" for reason, count in seen.rejected.most_common())
        raise LogError(
            f'found no "{seen.log_format}" event in the first {seen.lines} lines of {path}'
            f"{f' ({reasons})' if reasons else ''}; name another --format, or write events as "
            '{"ts": 1772618400.1, "features": {"age": 41}, "prediction": 0.8}'
        )
    return seen


def _seen(lines: Sequence[bytes], log_format: str, *, timezone: str = "") -> Seen:
    model = _model(lines)
    decoder = FORMATS[log_format](model, options=FormatOptions(timezone=timezone))
    decoded = [decoder.decode(b"".join(lines))]
    if isinstance(decoder, Holding):
        decoded.append(decoder.expire(math.inf, math.inf))  # nothing more will come
    if isinstance(decoder, AutoFormat):
        log_format = decoder.name or FALLBACK
    seen = Seen(
        model=model,
        log_format=log_format,
        lines=len(lines),
        columns=dict(decoder.schema.columns),
        timezone=timezone,
    )
    seen.rejected.update(one.reason for part in decoded for one in part.rejections)
    live = [batch for part in decoded for batch in part.batches if batch.role == "live"]
    _measure(seen, live)
    return seen


def render(seen: Seen | None, *, log: str, log_format: str) -> str:
    """Write a configuration as TOML with comments.

    Parameters
    ----------
    seen
        What a log holds; None to write one with placeholders.
    log
        Path of the log, as it is to stand in the file.
    """
    return "\n".join(
        [
            *_head(seen, log, log_format),
            *_windows(seen),
            *_rules(seen or Seen(columns={"prediction": "number"}), _budget(seen)),
            *_tail(),
        ]
    )


def _model(lines: Sequence[bytes]) -> str:
    names: Counter[str] = Counter()
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in lines:
        try:
            name = decode(line).get("model")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(name, str) and name:
            names[name] += 1
    return names.most_common(1)[0][0] if names else ""


def _measure(seen: Seen, batches: list[PredictionBatch]) -> None:
    if not batches:
        return
    times = np.concatenate([batch.ts for batch in batches])
    latency = np.concatenate([batch.latency_ms for batch in batches])
    seen.events = int(times.size)
    seen.versions = sorted({batch.version for batch in batches})
    seen.span_s = float(times.max() - times.min())
    if not np.isnan(latency).all():
        seen.latency_p99_ms = float(np.nanquantile(latency, 0.99))


def _head(seen: Seen | None, log: str, log_format: str) -> Iterator[str]:
    yield "# Kedge's configuration. `kedge check` validates it, `kedge run` watches with it."
    yield "# Every key with its default and unit stands in config.example.toml."
    yield ""
    yield "[model]"
    if seen is None or not seen.model:
        yield 'name = "my-model"                      # the registered model: change this'
    else:
        yield f"name = {_toml(seen.model)}"
    yield '# alias = "champion"                  # the version that serves now'
    yield '# tracking_uri = "http://127.0.0.1:5001"   # MLflow; without it nothing can move'
    yield ""
    yield "[[collect]]"
    yield 'type = "tail"'
    yield f"path = {_toml(log)}"
    yield f"format = {_toml(log_format)}"
    if seen is not None and seen.timezone:
        yield f"timezone = {_toml(seen.timezone)}   # the log's times have no zone: say theirs"
    if seen is not None:
        yield ""
        yield from _found(seen)
    yield ""
    yield "[reference]"
    yield 'from = "first"                         # the first events are what is normal …'
    yield "events = 20000"
    yield '# path = "reference.kedge"            # … or a file, made by `kedge reference build`'


def _found(seen: Seen) -> Iterator[str]:
    versions = ", ".join(_plain(version) for version in seen.versions[:10])
    yield f"# Its first {seen.lines:,} lines hold {seen.events:,} events of version {versions}."
    for reason, count in seen.rejected.most_common():
        yield f"# {count:,} lines cannot be used: {reason}."
    yield "#"
    width = max((len(_plain(name)) for name in seen.columns), default=0)
    yield f"#   {'column':<{width}}  kind"
    for name, kind in list(seen.columns.items())[:_LISTED_MAX]:
        yield f"#   {_plain(name):<{width}}  {kind}"
    if len(seen.columns) > _LISTED_MAX:
        yield f"#   … and {len(seen.columns) - _LISTED_MAX:,} more"


def _windows(seen: Seen | None) -> Iterator[str]:
    yield ""
    yield "[windows]"
    length = window_length(seen) if seen is not None else render_duration(300.0)
    why = ""
    if seen is not None and seen.span_s:
        why = f"   # the log has {seen.events / seen.span_s:.3g} events a second"
    yield f"length = {_toml(length)}{why}"
    yield "min_events = 300                       # with fewer, a window is unknown"


def window_length(seen: Seen) -> str:
    """Propose a window that holds a thousand events at the log's own rate.

    Examples
    --------
    >>> window_length(Seen(events=10_000, span_s=1_000.0))
    '5m'
    >>> window_length(Seen(events=2, span_s=86_400.0))
    '1000 events'
    """
    for length_s in _WINDOW_LENGTHS_S:
        if seen.span_s and seen.events / seen.span_s * length_s >= _WINDOW_EVENTS_MIN:
            return render_duration(length_s)
    return f"{_WINDOW_EVENTS_MIN} events"


def _budget(seen: Seen | None) -> str:
    """Say how often the rule of drift may be wrong, in the terms of the windows proposed."""
    by_events = seen is not None and window_length(seen).endswith("events")
    return "1 per 1000 windows" if by_events else "1 per 30d"


def _rules(seen: Seen, budget: str) -> Iterator[str]:
    predictions = [
        name
        for name, kind in seen.columns.items()
        if (name == "prediction" or name.startswith("prediction.")) and kind != "vector"
    ]
    if predictions:
        columns: dict[str, object] = {"column": "prediction"}
        if predictions != ["prediction"]:
            columns = {"columns": predictions}
        yield from _rule(
            "What the model answers has changed, surely, and by more than one would keep a version "
            "for: 0.02 is a shift by a seventh of its spread. Not a threshold of PSI, because one "
            "that is seldom wrong (0.25) misses many a version that got worse. Before anything "
            "moves it is asked whether the version is the reason.",
            {"name": "prediction-drift", "metric": "drift", **columns, "false_alarms": budget},
            {"tolerance": ACTING_TOLERANCE, "for": "2 of 3", "action": "rollback"},
        )
    yield from _rule(
        "Anything that the model receives or answers has changed, surely and by however little.",
        {"name": "any-drift", "metric": "drift", "columns": ["*"], "false_alarms": budget},
        {"action": "alert"},
    )
    vectors = [name for name, kind in seen.columns.items() if kind == "vector"]
    if vectors:
        yield from _rule(
            "Arrays, such as embeddings, have changed in any way. 0.01 is a small change.",
            {"name": "vector-drift", "metric": "mmd", "columns": vectors, "above": 0.01},
            {"for": "3 of 4", "action": "alert"},
        )
    yield from _rule(
        "Values are missing.",
        {"name": "missing-values", "metric": "missing_ratio", "columns": ["*"], "above": 0.2},
        {"for": "3 of 4", "action": "alert"},
    )
    yield from _rule(
        "Requests fail.",
        {"name": "errors", "metric": "error_ratio", "above": 0.05},
        {"for": "2 of 3", "action": "rollback"},
    )
    if math.isfinite(seen.latency_p99_ms) and seen.latency_p99_ms > 0:
        yield from _rule(
            f"Answers are slow: twice the log's own {seen.latency_p99_ms:.3g} ms.",
            {"name": "slow", "metric": "latency_p99", "above": _rounded(2 * seen.latency_p99_ms)},
            {"for": "3 of 4", "action": "alert"},
        )


def _rule(why: str, *parts: Mapping[str, object]) -> Iterator[str]:
    yield ""
    yield from (f"# {part}" for part in wrap(why, _WIDTH))
    yield "[[rules]]"
    for part in parts:
        for key, value in part.items():
            yield f"{key} = {_toml(value)}"


def _tail() -> Iterator[str]:
    yield ""
    yield "[store]"
    yield 'url = "sqlite:///kedge.db"'
    yield ""
    yield "[http]"
    yield 'listen = "127.0.0.1:9464"'
    yield ""
    yield "[rollback]"
    yield 'mode = "dry-run"                       # observe | dry-run | act: a fresh one never acts'
    yield ""
    yield "[[rollback.steps]]"
    yield 'type = "mlflow-alias"'
    yield ""


def _rounded(value: float) -> float:
    """Round up to two digits.

    Examples
    --------
    >>> _rounded(123.4), _rounded(0.0512)
    (130.0, 0.052)
    """
    digits = 1 - math.floor(math.log10(value))
    scale = 10.0**digits
    return round(math.ceil(value * scale) / scale, max(digits, 0))


def _toml(value: object) -> str:
    """Write a text, a number or a list of texts as TOML: as JSON, but for two characters."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.replace("${", "$${")  # or it would be a variable of the environment


def _plain(name: str) -> str:
    """Write a name from the data into a comment: on one line, whatever it holds."""
    return name if name.isprintable() else json.dumps(name)
