"""Where a rollback's target is compared, and where nothing is kept or loaded for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.deciding.parts import compares_targets
from monitor.settings.settings import load

RULE = """
[[rules]]
name = "answers"
metric = "psi"
column = "prediction"
above = 0.1
action = "rollback"
"""


def compares(folder: Path, more: str, *, uri: str = "http://registry", rule: str = RULE) -> bool:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"
{f'tracking_uri = "{uri}"' if uri else ""}

[[collect]]
type = "tail"
path = "p.jsonl"
{rule}
{more}
"""
    )
    return compares_targets(load(path, {}))


def test_targets_are_compared_where_a_rule_on_answers_may_roll_back(tmp_path: Path) -> None:
    assert compares(tmp_path, "")
    assert compares(tmp_path, '[rollback.gates]\nbetter_on_shadow = "require"')


@pytest.mark.parametrize(
    "more",
    [
        '[rollback]\nmode = "observe"',
        '[rollback.gates]\nbetter_on_shadow = "off"',
        "[shadow]\nrecent = 0",
    ],
)
def test_nothing_is_kept_where_nobody_would_ask(tmp_path: Path, more: str) -> None:
    assert not compares(tmp_path, more)


def test_nothing_is_kept_without_a_registry_or_a_rule_on_answers(tmp_path: Path) -> None:
    latency = RULE.replace('"psi"', '"latency_p99"').replace('column = "prediction"\n', "")

    assert not compares(tmp_path, "", uri="")
    assert not compares(tmp_path, "", rule="")
    assert not compares(tmp_path, "", rule=latency)
    assert not compares(tmp_path, "", rule=RULE.replace('"rollback"', '"alert"'))


def test_what_loads_models_may_be_missing_unless_a_comparison_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.deciding.parts.LOADERS", ("no_such_package",))

    assert not compares(tmp_path, "")
    assert compares(tmp_path, '[rollback.gates]\nbetter_on_shadow = "require"')
