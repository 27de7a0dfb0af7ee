"""Which metrics of columns the daemon measures: those of ``[detectors] metrics`` and of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from collectors.batch import NumberColumn, Schema
from detectors.kinds import COLUMN_DEFAULTS
from detectors.rules.judgement import RuleSpec
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.judging.judging import Judge
from monitor.settings.settings import ConfigurationError, load
from monitor.settings.tables import DetectorSettings
from tests.detectors.batches import batch_of, reference_of

if TYPE_CHECKING:
    from pathlib import Path

COLUMN = NumberColumn(np.arange(500.0))
REFERENCE = reference_of({"x": COLUMN})


def of_column(judge: Judge) -> set[str]:
    pane = Pane(REFERENCE, Schema({}))
    pane.add(batch_of([0.0] * 500, {"x": COLUMN}))
    window = ClosedWindow("m", "1", 0.0, 60.0, pane, 60.0)
    judged = judge.conclude(window, REFERENCE, rejected=0, late=0, events_by_version={})
    return {row["metric"] for row in judged.row.measurements if row["column"] == "x"}


def test_what_a_rule_names_is_measured_besides_what_is_set() -> None:
    rule = RuleSpec("far", "wasserstein", ("x",), above=1.0)
    judge = Judge(rules=(rule,), confidence=0.99, psi_bins=10, metrics=["ks"])

    before = of_column(judge)
    judge.replace_rules(())

    assert before == {"ks", "wasserstein"}
    assert of_column(judge) == {"ks"}


def test_the_default_of_the_setting_is_that_of_the_statistics() -> None:
    assert DetectorSettings().metrics == COLUMN_DEFAULTS


def test_a_metric_that_is_none_of_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kedge.toml"
    path.write_text(
        '[model]\nname = "m"\n[[collect]]\ntype = "tail"\npath = "log.jsonl"\n'
        '[detectors]\nmetrics = ["psi", "wassersten"]\n'
    )

    with pytest.raises(ConfigurationError, match=r"detectors\.metrics\[1\]: .*wasserstein"):
        load(path, {})
