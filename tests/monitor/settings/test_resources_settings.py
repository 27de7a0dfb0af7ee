"""What a `[[collect]]` table of resources may say, and what is said of rules about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.resources.resources import ResourceSettings
from detectors.kinds import SAMPLED_METRICS
from monitor.settings.oddities import oddities
from monitor.settings.settings import ConfigurationError, Settings, load

TAIL = '[model]\nname = "m"\n[[collect]]\ntype = "tail"\npath = "p.jsonl"\n'
RESOURCES = '[[collect]]\ntype = "resources"\n'


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "kedge.toml"
    file.write_text(text)
    return load(file, {})


def faults(folder: Path, text: str) -> Sequence[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text)
    return [str(fault) for fault in caught.value.faults]


def rule(metric: str) -> str:
    return f'[[rules]]\nname = "r"\nmetric = "{metric}"\nabove = 1\n'


def test_by_default_it_is_the_pod_every_ten_seconds(tmp_path: Path) -> None:
    _, source = loaded(tmp_path, TAIL + RESOURCES).collect

    assert (source.type, source.name) == ("resources", "resources")
    assert source.settings == ResourceSettings(interval_s=10.0, gpu="auto")


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ('pid = 7\nprocess = "x"', "collect[1]: give one of pid, process and cgroup"),
        ("pid = 0", "collect[1].pid: expected a number above 0, got 0"),
        ('interval = "1ms"', "collect[1].interval: expected at least 100ms, got 0.001s"),
        ('gpu = "on"', 'collect[1].gpu: expected "auto" or "off", got "on"'),
        ('format = "kedge"', "collect[1].format: unknown key"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, keys: str, fault: str) -> None:
    (told,) = faults(tmp_path, TAIL + RESOURCES + keys)

    assert told.startswith(fault)


@pytest.mark.parametrize("metric", sorted(SAMPLED_METRICS))
def test_rules_may_name_what_is_sampled(tmp_path: Path, metric: str) -> None:
    settings = loaded(tmp_path, TAIL + RESOURCES + rule(metric))

    assert settings.rules[0].metric == metric


def test_a_rule_that_can_never_be_told_is_odd(tmp_path: Path) -> None:
    said = [
        next(oddities(loaded(tmp_path, TAIL + rule(metric))))
        for metric in ("cpu_ratio", "model_age")
    ]

    assert said == [
        'rule "r" is always unknown: cpu_ratio needs a [[collect]] table of type = "resources"',
        'rule "r" is always unknown: the registry tells how old a model is; set model.tracking_uri',
    ]


def test_resources_alone_make_no_windows(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '[model]\nname = "m"\n' + RESOURCES)

    assert any("there will be no windows" in odd for odd in oddities(settings))
