"""`[rollback.gates]`: what must be known before an automatic rollback."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.settings.settings import ConfigurationError, load
from rollback.policy import GatePolicy

LEAST = """
[model]
name = "m"
[[collect]]
type = "tail"
path = "p.jsonl"
"""


def loaded(folder: Path, gates: str) -> GatePolicy:
    path = folder / "kedge.toml"
    path.write_text(LEAST + gates)
    return load(path, {}).rollback.policy.gates


def test_without_a_table_the_world_is_refused_and_a_shadow_asked_if_there_is_one(
    tmp_path: Path,
) -> None:
    assert loaded(tmp_path, "") == GatePolicy(world_or_model=True, better_on_shadow="if-available")


def test_all_can_be_set(tmp_path: Path) -> None:
    table = '[rollback.gates]\nworld_or_model = false\nbetter_on_shadow = "require"\n'
    table += 'compare_wait = "5s"'

    assert loaded(tmp_path, table) == GatePolicy(
        world_or_model=False, better_on_shadow="require", compare_wait_s=5.0
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('better_on_shadow = "requires"', 'rollback.gates.better_on_shadow: expected "require"'),
        ('compare_wait = "-1s"', "compare_wait"),
        ('world_or_model = "yes"', "rollback.gates.world_or_model: expected true or false"),
        ("world_or_modell = true", "rollback.gates.world_or_modell: unknown key"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        loaded(tmp_path, f"[rollback.gates]\n{line}")
