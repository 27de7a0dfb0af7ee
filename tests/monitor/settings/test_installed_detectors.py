"""A detector of somebody else's package: found by its entry point, loaded when it is named."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors.kinds import COLUMN_METRICS
from monitor.settings.settings import ConfigurationError, load
from tests.detectors.columns import compared

CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "log"

[reference]
path = "reference.kedge"

[[rules]]
name = "mine"
metric = "{metric}"
column = "plan"
above = 0.1
"""
CODE = """
from detectors.measurement import Estimate

def halves(expected, actual, *, confidence):
    return Estimate(0.5, 0.4, 0.6, int(actual.sum()))

def fails(expected, actual, *, confidence):
    return 1 / 0

def tells_nothing(expected, actual, *, confidence):
    return 0.5

NUMBER = 1
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with detectors; what was adopted is let go of afterwards."""
    info = tmp_path / "acme_detectors-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-detectors\nVersion: 1.2\n")
    names = ("halves", "fails", "tells_nothing", "NUMBER", "absent")
    points = [f"acme_{name.lower()} = acme_detectors:{name}" for name in names]
    (info / "entry_points.txt").write_text(
        "\n".join(["[kedge.detectors]", *points, "psi = acme_detectors:fails"]) + "\n"
    )
    (tmp_path / "acme_detectors.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = dict(COLUMN_METRICS)
    yield tmp_path
    COLUMN_METRICS.clear()
    COLUMN_METRICS.update(own)


def configure(folder: Path, metric: str) -> None:
    path = folder / "kedge.toml"
    path.write_text(CONFIG.format(metric=metric))
    load(path, {})


def test_a_detector_that_no_configuration_names_is_not_loaded(installed: Path) -> None:
    configure(installed, "psi")

    assert not any(name.startswith("acme") for name in COLUMN_METRICS)


def test_a_name_of_kedges_own_is_not_taken(installed: Path) -> None:
    before = COLUMN_METRICS["psi"]

    configure(installed, "psi")

    assert COLUMN_METRICS["psi"] is before


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("acme_number", "is no detector: expected a function, got int"),
        ("acme_absent", "cannot be loaded: AttributeError"),
    ],
)
def test_one_that_cannot_be_used_is_a_fault_of_the_configuration(
    installed: Path, metric: str, why: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure(installed, metric)

    (line,) = [one for one in caught.value.lines() if "rules[0].metric" in one]
    assert why in line
    assert "acme-detectors 1.2" in line


def test_a_detector_that_a_rule_names_is_measured(installed: Path) -> None:
    configure(installed, "acme_halves")

    found = compared(["a", "b"], ["b"] * 50, metrics=["acme_halves"])

    assert {name: (m.value, m.low, m.n) for name, m in found.items()} == {
        "acme_halves": (0.5, 0.4, 50)
    }


@pytest.mark.parametrize("metric", ["acme_fails", "acme_tells_nothing"])
def test_a_detector_that_fails_is_unknown_and_told_once(
    installed: Path, metric: str, caplog: pytest.LogCaptureFixture
) -> None:
    configure(installed, metric)

    with caplog.at_level(logging.ERROR, logger="kedge.detectors"):
        found = [compared(["a", "b"], ["b"] * 50, metrics=[metric])[metric] for _ in range(3)]

    assert [(one.value, one.low, one.n) for one in found] == [(None, None, 50)] * 3
    assert len(caplog.records) == 1
