"""Rules on changes in a configuration: what they must say, and what the detectors are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from detectors.change.change_kinds import (
    CHANGE_KINDS,
    COLUMN_SUBJECTS,
    ChangeSpec,
    Parameters,
    Subject,
    default_direction,
    metric_name,
    parameter_names,
)
from monitor.settings.faults import Fault, alternatives, nearest

if TYPE_CHECKING:
    from monitor.settings.rules import RuleSettings

#: Keys of a rule that only change detectors have.
_OWN: Final = ("of", "direction", "parameters", "values_per_second")

_SUBJECTS: Final[tuple[Subject, ...]] = ("values", "missing", "latency", "errors", "loss")


def change_spec(rule: RuleSettings) -> ChangeSpec | None:
    """Return what a rule watches for; None for a rule on anything else than changes.

    Raises
    ------
    ValueError
        Its parameters are out of bounds: ``NAME: expected …``.
    """
    if rule.metric not in CHANGE_KINDS:
        return None
    subject = _subject(rule)
    if subject is None:
        raise ValueError("of: is required without a column")
    return ChangeSpec(
        rule.metric,
        subject,
        rule.columns,
        rule.direction or default_direction(subject),
        _parameters(rule),
        rule.values_per_second or 0,
    )


def _subject(rule: RuleSettings) -> Subject | None:
    return rule.of or ("values" if rule.columns else None)


def _parameters(rule: RuleSettings) -> Parameters:
    kind = CHANGE_KINDS[rule.metric]
    defaults = kind()
    given: dict[str, float] = {}
    for name, value in rule.parameters.items():
        if isinstance(getattr(defaults, name), int):
            if not value.is_integer():
                raise ValueError(f"{name}: expected a whole number, got {value:g}")
            given[name] = int(value)
        else:
            given[name] = value
    return kind(**given)


def change_faults(rules: Mapping[int, RuleSettings], *, labels_join: bool) -> Iterator[Fault]:
    """Find what is wrong with rules on changes, and with their keys in other rules.

    Parameters
    ----------
    rules
        By their place in the file.
    labels_join
        Whether labels are joined; without it there is no loss.
    """
    specs: dict[str, tuple[str, ChangeSpec]] = {}
    for i, rule in rules.items():
        at = f"rules[{i}]"
        if rule.metric not in CHANGE_KINDS:
            for key in _OWN:
                if getattr(rule, key):
                    yield Fault(
                        f"{at}.{key}", f'"{rule.metric}" finds no changes, and has no {key}'
                    )
            continue
        faults = [*_subject_faults(rule, at), *_parameter_faults(rule, at)]
        if _subject(rule) == "loss" and not labels_join:
            faults.append(Fault(f"{at}.of", '"loss" needs [labels] join = true'))
        if find_spec("river") is None:
            faults.append(
                Fault(f"{at}.metric", f'"{rule.metric}" needs river: pip install "kedge[river]"')
            )
        yield from faults
        spec = change_spec(rule) if not faults else None
        if spec is None:
            continue
        other, known = specs.setdefault(spec.metric, (rule.name, spec))
        same = (known.identity(), known.per_second_max) == (spec.identity(), spec.per_second_max)
        if not same:
            yield Fault(
                f"{at}.metric",
                f'rule "{other}" watches {_subject(rule)} by "{rule.metric}" already, in another '
                "direction, with other parameters, or at another rate",
            )


def _subject_faults(rule: RuleSettings, at: str) -> Iterator[Fault]:
    kind = CHANGE_KINDS[rule.metric]()
    offered = [subject for subject in _SUBJECTS if subject in kind.subjects]
    subject = _subject(rule)
    key = "column" if rule.column else "columns"
    if rule.below is not None or rule.clear is not None:
        side = "below" if rule.below is not None else "clear"
        yield Fault(f"{at}.{side}", "a number of changes is compared by above, and by nothing else")
    if subject is None:
        yield Fault(f"{at}.of", f"is required without a column: {alternatives(offered)}")
    elif subject not in kind.subjects:
        yield Fault(f"{at}.of", f'"{rule.metric}" watches {alternatives(offered)}, not "{subject}"')
    elif subject in COLUMN_SUBJECTS and not rule.columns:
        yield Fault(f"{at}.column", f'is required: "{subject}" is of a column')
    elif subject not in COLUMN_SUBJECTS and rule.columns:
        yield Fault(f"{at}.{key}", f'"{subject}" is of the traffic, not of a column')
    if kind.rises_only and rule.direction in ("down", "both"):
        yield Fault(f"{at}.direction", f'"{rule.metric}" sees errors that become more, only')


def _parameter_faults(rule: RuleSettings, at: str) -> Iterator[Fault]:
    known = parameter_names(rule.metric)
    unknown = [name for name in rule.parameters if name not in known]
    for name in unknown:
        hint = nearest(name, known) or f": expected {alternatives(known)}"
        yield Fault(f"{at}.parameters.{name}", f"unknown key{hint}")
    if unknown:
        return
    try:
        _parameters(rule)
    except ValueError as error:
        name, _, message = str(error).partition(": ")
        yield Fault(f"{at}.parameters.{name}", message)


def measured_metric(rule: RuleSettings) -> str:
    """Name of what a rule compares: of rules on changes it tells what is watched, too."""
    subject = _subject(rule)
    if rule.metric not in CHANGE_KINDS or subject is None:
        return rule.metric
    return metric_name(rule.metric, subject)
