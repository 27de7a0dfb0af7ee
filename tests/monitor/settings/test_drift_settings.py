"""Rules of drift in a configuration: budgets, defaults, and what windows cannot keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.rules.drift_spec import DriftSpec
from monitor.cli.check import _summary
from monitor.composition import rule_specs
from monitor.settings.quantities import FalseAlarms, Quorum, TimeSpan, parse_false_alarms
from monitor.settings.settings import ConfigurationError, Settings, load

BEGINNING = """
[model]
name = "flight-delay"

[[collect]]
type = "tail"
path = "logs/predictions*.jsonl"

[windows]
length = "5m"
slide = "1m"
"""
BY_EVENTS = BEGINNING.replace('"5m"', '"1000 events"').replace('"1m"', '"250 events"')
RULE = '[[rules]]\nname = "any-drift"\nmetric = "drift"\n'

#: What the description of the outside shows, but for a gate and a step that are not there.
SAMPLE = """
[model]
name = "flight-delay"
alias = "champion"
tracking_uri = "http://127.0.0.1:5001"

[[collect]]
type = "tail"
path = "logs/predictions*.jsonl"
format = "kedge"

[reference]
path = "reference.kedge"

[windows]
length = "5m"
slide = "1m"
min_events = 300
lateness = "30s"

[store]
url = "sqlite:///kedge.db"
retention = "30d"

[http]
listen = "127.0.0.1:9464"
token_file = "token"

[[rules]]
name = "prediction-drift"
metric = "psi"
column = "prediction"
above = 0.25
for = "3 of 4"
on_missing = "unknown"
action = "rollback"

[[rules]]
name = "any-drift"
metric = "drift"
columns = ["*"]
false_alarms = "1 per 30d"
action = "alert"

[rollback]
mode = "dry-run"
target = "last-good"
cooldown = "30m"
max_per_day = 2
verify_timeout = "10m"

[[rollback.steps]]
type = "mlflow-alias"
"""


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "kedge.toml"
    path.write_text(text)
    return load(path, {})


def test_the_sample_configuration_loads(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")

    settings = loaded(tmp_path, SAMPLE)

    assert settings.rules[1].false_alarms == FalseAlarms(1, TimeSpan(30 * 86_400.0))


def test_a_drift_rule_needs_nothing_but_its_name(tmp_path: Path) -> None:
    settings = loaded(tmp_path, BEGINNING + RULE)

    (rule,) = rule_specs(settings)

    assert (rule.columns, rule.needed, rule.of) == (("*",), 1, 1)
    assert rule.threshold == 0.0005
    # 43,200 windows a minute apart in 30 days, a fifth of which share no row.
    assert rule.drift == DriftSpec(0.9 / 43_200, 10 * 8_640, 0.0005, 0.1, 300.0, 5)


def test_a_budget_may_be_of_windows_which_is_the_only_form_for_windows_of_events(
    tmp_path: Path,
) -> None:
    more = RULE + 'false_alarms = "2 per 1000 windows"\ntolerance = 0.01\nstable = 0.2\n'

    (rule,) = rule_specs(loaded(tmp_path, BY_EVENTS + more))

    assert rule.drift == DriftSpec(0.9 * 2 / 1_000, 1_250, 0.01, 0.2, None, 4)


def test_a_drift_rule_may_look_at_one_column_and_ask_for_several_windows(tmp_path: Path) -> None:
    more = RULE + 'column = "prediction"\nfor = "2 of 3"\n'

    settings = loaded(tmp_path, BEGINNING + more)

    assert settings.rules[0].columns == ("prediction",)
    assert settings.rules[0].quorum == Quorum(2, 3)


@pytest.mark.parametrize(
    ("beginning", "keys", "key", "says"),
    [
        (BEGINNING, "above = 0.1", "above", "has no threshold"),
        (BEGINNING, "clear = 0.1", "clear", "has no threshold"),
        (BEGINNING, 'false_alarms = "one a month"', "false_alarms", '"1 per 30d"'),
        (BEGINNING, 'false_alarms = "1 per 1m"', "false_alarms", "more than one false alarm"),
        (BEGINNING, 'false_alarms = "0 per 30d"', "false_alarms", "expected a budget"),
        (BY_EVENTS, "", "false_alarms", "1 per 1000 windows"),
        (BEGINNING, "tolerance = 0", "tolerance", "above 0"),
        (BEGINNING, "tolerance = 0.5", "stable", "at least tolerance"),
    ],
)
def test_what_a_drift_rule_cannot_mean_is_told_at_its_key(
    tmp_path: Path, beginning: str, keys: str, key: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, f"{beginning}{RULE}{keys}\n")

    assert f"rules[0].{key}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("key", ['false_alarms = "1 per 30d"', "tolerance = 0.1", "stable = 0.1"])
def test_a_rule_with_a_threshold_takes_no_budget(tmp_path: Path, key: str) -> None:
    rule = f'[[rules]]\nname = "r"\nmetric = "psi"\ncolumn = "x"\nabove = 0.2\n{key}\n'

    with pytest.raises(ConfigurationError, match='is for metric = "drift" only'):
        loaded(tmp_path, BEGINNING + rule)


@pytest.mark.parametrize("text", ["1 per 30d", "2 per 1000 windows", "0.5 per 1h"])
def test_a_budget_written_back_is_read_as_the_same(text: str) -> None:
    assert str(parse_false_alarms(text)) == text


@pytest.mark.parametrize("text", ["1 per 0s", "1 per 0 windows", "1 in 30d", "1 per", "", 1])
def test_what_is_no_budget_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_false_alarms(text)


def test_check_says_what_the_rule_keeps(tmp_path: Path) -> None:
    said = "\n".join(_summary(loaded(tmp_path, BEGINNING + RULE)))

    assert 'rule "any-drift": drift of * with false alarms of 1 per 30d at most' in said
