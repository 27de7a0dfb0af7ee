"""`kedge gate` by what a real shadow's comparison has left in the store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import cli
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadowing import MODEL, configuration, live_events, write

pytestmark = pytest.mark.real

RULE = """
[[rules]]
name = "challenger-differs"
metric = "shadow_disagreement"
above = 0.5
for = "1 of 1"
"""


def judged(kedge: Kedge) -> bool:
    (rule,) = kedge.get("/api/v1/status")["rules"]
    return rule["state"] in ("ok", "breach")


@pytest.mark.parametrize(
    ("challenger", "status", "told"),
    [
        ("2", 1, "FAIL  rule challenger-differs: breach"),
        ("3", 0, "ok    rule challenger-differs: ok"),
    ],
    ids=["answers otherwise", "answers alike"],
)
def test_a_challenger_that_fails_its_comparison_is_not_let_through(
    tmp_path: Path, registry_uri: str, challenger: str, status: int, told: str
) -> None:
    config = configuration(tmp_path, registry_uri, f'version = "{challenger}"', RULE)
    write(tmp_path / "predictions.jsonl", live_events(60, begins=time.time() - 100))
    arguments = ["gate", MODEL, "--challenger", challenger, "-c", str(config), "--windows", "2"]

    with running(config) as kedge:
        eventually(lambda: judged(kedge), what="the comparison is judged")
        pairs = f"/api/v1/measurements?version={challenger}&metric=shadow_disagreement"
        eventually(lambda: kedge.get(pairs)["measurements"][1:], what="two windows of pairs")
        assert kedge.stop() == 0
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert result.exception is None, result.exception
    assert (result.return_value, told in result.output) == (status, True), result.output
