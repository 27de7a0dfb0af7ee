"""The `kedge.toml` that the demo writes: what a user would write, with small windows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from monitor.demo.models import ALIAS, MODEL_NAME

CONFIGURATION: Final = "kedge.toml"
PREDICTION_LOG: Final = "predictions.jsonl"
REFERENCES: Final = "references"
#: Rows that the references are built from, a file a version.
REFERENCE_ROWS: Final = "reference-rows"
#: Events of a window. At 150 requests a second a window closes every 1.7 s.
WINDOW_EVENTS: Final = 500
SLIDE_EVENTS: Final = 250


@dataclass(frozen=True, slots=True)
class Rule:
    """The one rule of the demo: drift of the prediction, which needs no labels."""

    name: str = "prediction-drift"
    metric: str = "psi"
    column: str = "prediction"
    above: float = 0.25


RULE: Final = Rule()


def render(tracking_uri: str, port: int) -> str:
    """Return the configuration as TOML; its paths are relative to the run's folder."""
    # A string of JSON is a string of TOML.
    return f"""\
# Written by `kedge demo`. Windows are counted in events and everything is quick, so that the
# story fits into a minute; a real deployment takes minutes where this takes seconds.

[model]
name = {json.dumps(MODEL_NAME)}
alias = {json.dumps(ALIAS)}
tracking_uri = {json.dumps(tracking_uri)}

[[collect]]
type = "tail"
path = {json.dumps(PREDICTION_LOG)}
format = "kedge"

[reference]
path = "{REFERENCES}/{{version}}.kedge"    # each version is compared with its own answers

[windows]
length = "{WINDOW_EVENTS} events"
slide = "{SLIDE_EVENTS} events"
min_events = 200

[store]
url = "sqlite:///kedge.db"

[http]
listen = "127.0.0.1:{port}"

[[rules]]
name = {json.dumps(RULE.name)}
metric = {json.dumps(RULE.metric)}
column = {json.dumps(RULE.column)}
above = {RULE.above}
for = "2 of 3"
action = "rollback"

[rollback]
mode = "act"
target = "previous"
cooldown = "1m"
verify_timeout = "2m"

[[rollback.steps]]
type = "mlflow-alias"
"""
