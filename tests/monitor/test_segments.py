"""Which rows are of which segment, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from collectors.batch import CategoryColumn, NumberColumn, PredictionBatch
from detectors.reference.reference import Reference
from detectors.reference.reference_file import dump, load
from detectors.windows.population import population, split
from monitor.cli import cli
from monitor.composition import rule_specs
from monitor.references.by_segment import ReferencesBySegment
from monitor.references.files import FileReferences
from monitor.settings.settings import ConfigurationError
from monitor.settings.settings import load as load_settings
from monitor.traffic.segments import Segments
from tests.monitor.events import append, lines
from tests.monitor.test_segments_daemon import BEGIN, traffic
from tests.monitor.test_segments_daemon import configuration as daemon_configuration


def batch(countries: Sequence[str | None], *, version: str = "7") -> PredictionBatch:
    rows = len(countries)
    return PredictionBatch(
        model="m",
        version=version,
        role="live",
        latency_kind="server",
        ts=np.arange(rows, dtype=float),
        latency_ms=np.full(rows, np.nan),
        status=np.full(rows, 200),
        weight=np.ones(rows),
        columns={
            "x": NumberColumn(np.arange(rows, dtype=float)),
            "land": CategoryColumn(list(countries)),
        },
        segments={"country": list(countries)},
    )


def parts(segments: Segments, given: PredictionBatch) -> dict[str, list[float]]:
    return {part.version: part.ts.tolist() for part in segments.parts(given)}


@pytest.mark.parametrize("key", ["country", "features.land"])
def test_each_row_is_in_the_segment_of_its_value_and_in_none_without_one(key: str) -> None:
    found = parts(Segments([key], 10), batch(["DE", None, "FR", "DE"]))

    assert found == {
        population("7", f"{key}=DE"): [0.0, 3.0],
        population("7", f"{key}=FR"): [2.0],
    }


def test_each_key_cuts_all_of_the_traffic() -> None:
    found = parts(Segments(["country", "features.land"], 10), batch(["DE", "FR"]))

    assert {split(name)[1] for name in found} == {
        *("country=DE", "country=FR"),
        *("features.land=DE", "features.land=FR"),
    }


def test_a_number_and_an_unknown_key_are_no_segments() -> None:
    assert parts(Segments(["features.x", "features.y", "plan"], 10), batch(["DE", "FR"])) == {}


def test_values_past_the_limit_are_one_segment_in_the_order_of_their_rows() -> None:
    segments = Segments(["country"], 2)

    found = parts(segments, batch(["A", "B", "C", "D", "C", "other"]))

    assert found[population("7", "country=other")] == [2.0, 3.0, 4.0, 5.0]
    assert len(found) == 3
    assert segments.folded == 3


def test_values_keep_their_segments_over_a_restart() -> None:
    before = Segments(["country"], 2)
    list(before.parts(batch(["A", "B", "C"])))
    states = {name: state for name, state in before.changed().items() if state is not None}

    after = Segments(["country"], 2)
    after.restore(states)

    assert {split(name)[1] for name in parts(after, batch(["C", "D", "B"]))} == {
        *("country=other", "country=B"),
    }
    assert before.changed() == {}


def configuration(folder: Path, rule: str, segments: str = 'keys = ["country"]') -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"
[[collect]]
type = "tail"
path = "x.jsonl"
[segments]
{segments}
[[rules]]
name = "one"
{rule}
"""
    )
    return path


PSI = 'metric = "psi"\ncolumn = "prediction"\nabove = 0.2\n'


@pytest.mark.parametrize(
    ("rule", "segments", "fault"),
    [
        (PSI + 'segment = "country=DE"', "", "rules[0].segment: needs [segments] keys"),
        (PSI + 'segments = "each"', "", "rules[0].segments: needs [segments] keys"),
        (
            PSI + 'segment = "plan=gold"',
            'keys = ["country"]',
            'rules[0].segment: expected "country=…", got "plan=gold"',
        ),
        (
            PSI + 'segment = "country=DE"\nsegments = "each"',
            'keys = ["country"]',
            "rules[0].segments: give either segment or segments, not both",
        ),
        (
            PSI + 'segment = "country=DE"\naction = "rollback"',
            'keys = ["country"]',
            'rules[0].action: a rule of a segment can only "alert"',
        ),
        (
            'metric = "model_age"\nabove = 9\nsegments = "each"',
            'keys = ["country"]',
            'rules[0].segments: "model_age" is told of the whole traffic only',
        ),
        (PSI, 'keys = ["a=b"]', 'segments.keys: "a=b" cannot be a key'),
        (PSI, 'keys = ["a", "a"]', 'segments.keys: "a" is given twice'),
    ],
)
def test_what_cannot_be_of_segments_is_refused(
    tmp_path: Path, rule: str, segments: str, fault: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(configuration(tmp_path, rule, segments))

    assert any(fault in line for line in refused.value.lines()), refused.value.lines()


def test_a_drift_rule_of_each_segment_shares_its_budget_over_all_there_may_be(
    tmp_path: Path,
) -> None:
    keys = 'keys = ["country", "plan"]\n[limits]\nmax_segments = 9'
    [whole] = rule_specs(load_settings(configuration(tmp_path, 'metric = "drift"', keys)))
    each_rule = 'metric = "drift"\nsegments = "each"'
    [each] = rule_specs(load_settings(configuration(tmp_path, each_rule, keys)))

    assert whole.drift is not None
    assert each.drift is not None
    assert each.drift.level * 2 * 10 == pytest.approx(whole.drift.level)
    assert each.drift.run_length == pytest.approx(whole.drift.run_length * 2 * 10)


def built(folder: Path, *more: str, key: str = "country") -> Reference:
    log, out = folder / "healthy.jsonl", folder / "reference.kedge"
    append(log, lines(traffic(3000, BEGIN)))
    arguments = ["reference", "build", "--from", str(log), "--out", str(out), "--segments", key]
    done = CliRunner().invoke(cli, [*arguments, *more], standalone_mode=False)
    assert done.exit_code == 0, done.output
    return load(out.read_bytes())


@pytest.mark.parametrize("key", ["country", "features.land"])
def test_a_reference_is_built_for_each_segment_and_survives_the_file(
    tmp_path: Path, key: str
) -> None:
    reference = built(tmp_path, key=key)

    again = load(dump(reference))
    assert {name: one.rows for name, one in again.segments.items()} == {
        f"{key}=FR": 600,
        f"{key}=DE": 2400,
    }
    assert [one.digest for one in again.segments.values()] == [
        one.digest for one in reference.segments.values()
    ]
    assert again.rows == 3000
    assert again.digest == reference.digest


def test_segments_past_the_limit_have_no_reference(tmp_path: Path) -> None:
    reference = built(tmp_path, "--max-segments", "1")

    assert reference.segments.keys() == {"country=FR"}  # that of the first event


def test_segments_of_a_file_are_served_and_others_say_why_not(tmp_path: Path) -> None:
    built(tmp_path)
    references = ReferencesBySegment(FileReferences(str(tmp_path / "reference.kedge")), None)

    french = references.of(population("7", "country=FR"))
    whole = references.of("7")

    assert french is not None
    assert whole is not None
    assert (french.rows, whole.rows) == (600, 3000)
    assert references.of(population("7", "country=US")) is None
    assert (
        references.trouble(population("7", "country=US"))
        == "the reference of version 7 has none of country=US"
    )


def test_a_replay_says_which_segment_would_have_fired(tmp_path: Path) -> None:
    log = tmp_path / "old.jsonl"
    append(log, lines(traffic(3000, BEGIN)))
    append(log, lines(traffic(1000, BEGIN + 40, shifted="FR", seed=4)))

    arguments = ["replay", "-c", str(daemon_configuration(tmp_path)), str(log), "--json"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    said = json.loads(done.stdout)

    segments = [one.get("segment") for one in said["windows"]]
    assert (segments.count(None), segments.count("country=DE")) == (30, 24)
    assert {(one["rule"], one["segment"]) for one in said["fired"]} == {("each", "country=FR")}
