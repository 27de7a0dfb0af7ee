"""Rules on changes in a configuration: defaults, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.composition import rule_specs
from monitor.settings.settings import ConfigurationError, Settings, load

HEAD = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "log.jsonl"
"""


def loaded(folder: Path, rules: str, more: str = "") -> Settings:
    path = folder / "kedge.toml"
    path.write_text(HEAD + more + rules)
    return load(path, {})


def rule(text: str, name: str = "r") -> str:
    return f'\n[[rules]]\nname = "{name}"\n{text}\n'


def test_a_rule_on_changes_needs_no_threshold_and_no_quorum(tmp_path: Path) -> None:
    settings = loaded(tmp_path, rule('metric = "adwin"\nof = "latency"'))

    (spec,) = rule_specs(settings)

    assert (spec.metric, spec.columns, spec.above) == ("adwin_latency", (), 0.0)
    assert (spec.needed, spec.of) == (1, 4)
    assert spec.change is not None
    assert spec.change.direction == "up"


def test_a_column_is_watched_in_both_directions(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        rule('metric = "kswin"\ncolumns = ["age", "p*"]\nparameters = { alpha = 1e-4, seed = 3 }'),
    )

    (spec,) = rule_specs(settings)

    assert (spec.metric, spec.columns) == ("kswin", ("age", "p*"))
    assert spec.change is not None
    assert spec.change.direction == "both"
    assert "alpha=0.0001" in spec.change.identity()
    assert "seed=3" in spec.change.identity()


def test_a_quorum_that_is_written_holds(tmp_path: Path) -> None:
    settings = loaded(tmp_path, rule('metric = "adwin"\nof = "latency"\nfor = "3 of 4"'))

    assert (settings.rules[0].quorum.needed, settings.rules[0].quorum.of) == (3, 4)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'metric = "adwim"\nof = "latency"',
            'rules[0].metric: unknown metric "adwim"; did you mean',
        ),
        ('metric = "adwin"', "rules[0].of: is required without a column"),
        (
            'metric = "ddm"\nof = "latency"',
            'rules[0].of: "ddm" watches "missing", "errors" or "loss"',
        ),
        (
            'metric = "adwin"\nof = "missing"',
            'rules[0].column: is required: "missing" is of a column',
        ),
        (
            'metric = "adwin"\nof = "errors"\ncolumn = "age"',
            'rules[0].column: "errors" is of the tr',
        ),
        ('metric = "adwin"\nof = "loss"', 'rules[0].of: "loss" needs [labels] join = true'),
        ('metric = "ddm"\nof = "errors"\ndirection = "both"', 'rules[0].direction: "ddm" sees err'),
        ('metric = "adwin"\nof = "latency"\nbelow = 3', "rules[0].below: a number of changes is"),
        (
            'metric = "adwin"\nof = "latency"\nparameters = { detla = 0.1 }',
            'rules[0].parameters.detla: unknown key; did you mean "delta"?',
        ),
        (
            'metric = "adwin"\nof = "latency"\nparameters = { delta = 7 }',
            "rules[0].parameters.delta: expected a number from 1e-12 to 0.1, got 7",
        ),
        (
            'metric = "adwin"\nof = "latency"\nparameters = { clock = 1.5 }',
            "rules[0].parameters.clock: expected a whole number, got 1.5",
        ),
        (
            'metric = "psi"\ncolumn = "a"\nabove = 1\nof = "values"',
            'rules[0].of: "psi" finds no chan',
        ),
        (
            'metric = "kswin"\nof = "latency"\nparameters = { window_size = 100 }',
            "rules[0].parameters.window_size: expected a number from 200 to 10000, got 100",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_key(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, rule(text))

    assert [line for line in refused.value.lines() if fault in line], refused.value.lines()


def test_two_rules_cannot_watch_one_stream_by_two_measures(tmp_path: Path) -> None:
    text = 'metric = "adwin"\nof = "latency"'

    with pytest.raises(ConfigurationError, match='rule "a" watches latency by "adwin" already'):
        loaded(tmp_path, rule(text, "a") + rule(text + '\ndirection = "both"', "b"))


def test_two_rules_may_share_a_stream(tmp_path: Path) -> None:
    text = 'metric = "adwin"\nof = "latency"'

    settings = loaded(tmp_path, rule(text, "a") + rule(text + "\nabove = 1", "b"))

    assert len(rule_specs(settings)) == 2
