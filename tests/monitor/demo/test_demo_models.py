"""What the demo claims of its rows and its two versions, measured with the labels."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from monitor.demo import rows
from monitor.demo.models import VERSION_1, VERSION_2, Version, is_wrong
from monitor.demo.training import Model, error_ratio, predict, train


@pytest.fixture(scope="module")
def trained() -> dict[Version, Model]:
    table = rows.load(rows.TRAINING)
    return {version: train(version, table) for version in (VERSION_1, VERSION_2)}


@pytest.fixture(scope="module")
def shifted() -> pd.DataFrame:
    return rows.in_cents(rows.load(rows.DRIFTED))


def error_on(trained: dict[Version, Model], version: Version, table: pd.DataFrame) -> float:
    return error_ratio(predict(version, trained[version], table), table)


def test_every_span_holds_rows_of_its_own() -> None:
    spans = (rows.TRAINING, rows.REFERENCE, rows.QUIET, rows.DRIFTED)

    tables = [rows.load(span) for span in spans]

    assert [len(table) for table in tables] == [6250] * 4
    for span, table in zip(spans, tables, strict=True):
        assert table.index.min() == span.begins
        assert table.index.max() == span.ends - 4
    assert not pd.concat(tables).isna().to_numpy().any()


def test_the_data_file_stays_small() -> None:
    assert rows.DATA.stat().st_size < 600_000
    assert rows.DATA.with_name("README.md").exists()


def test_the_drift_that_the_data_is_told_to_have_is_in_it() -> None:
    quiet, drifted = rows.load(rows.QUIET), rows.load(rows.DRIFTED)

    distance = ks_2samp(quiet["car_value"], drifted["car_value"]).statistic

    # The set's own description says 0.44; 6,250 rows on each side tell it to about 0.03.
    assert distance == pytest.approx(0.44, abs=0.03)
    assert ks_2samp(quiet["driver_tenure"], drifted["driver_tenure"]).statistic < 0.03


def test_version_2_is_the_better_one_in_quiet_times(trained: dict[Version, Model]) -> None:
    for span in (rows.REFERENCE, rows.QUIET):
        table = rows.load(span)

        old, new = (error_on(trained, version, table) for version in (VERSION_1, VERSION_2))

        assert new < 0.6 * old


def test_the_data_s_own_drift_alone_would_not_justify_going_back(
    trained: dict[Version, Model],
) -> None:
    table = rows.load(rows.DRIFTED)

    old, new = (error_on(trained, version, table) for version in (VERSION_1, VERSION_2))

    assert new < old


def test_version_2_guesses_under_the_shift_and_version_1_errs_as_before(
    trained: dict[Version, Model], shifted: pd.DataFrame
) -> None:
    old, new = (error_on(trained, version, shifted) for version in (VERSION_1, VERSION_2))

    assert new > 0.45
    assert old == pytest.approx(error_on(trained, VERSION_1, rows.load(rows.QUIET)), abs=0.03)


@pytest.mark.parametrize(
    ("version", "least", "most"),
    [(VERSION_1, 0.0, 0.05), (VERSION_2, 0.9, 1.0)],
    ids=["version 1", "version 2"],
)
def test_the_shift_shows_without_labels_in_the_answers_of_version_2_alone(
    version: Version,
    least: float,
    most: float,
    trained: dict[Version, Model],
    shifted: pd.DataFrame,
) -> None:
    answers = {
        name: predict(version, trained[version], table)
        for name, table in (
            ("reference", rows.load(rows.REFERENCE)),
            ("quiet", rows.load(rows.QUIET)),
            ("shifted", shifted),
        )
    }

    quiet = ks_2samp(answers["reference"], answers["quiet"]).statistic
    under_shift = ks_2samp(answers["reference"], answers["shifted"]).statistic

    assert quiet < 0.04
    assert least <= under_shift <= most


def test_answers_are_probabilities(trained: dict[Version, Model], shifted: pd.DataFrame) -> None:
    for version, model in trained.items():
        answers = predict(version, model, shifted)

        assert answers.shape == (len(shifted),)
        assert ((answers >= 0) & (answers <= 1)).all()


def test_a_request_carries_every_feature_and_no_label() -> None:
    table = rows.load(rows.QUIET).head(3)

    request = rows.requests(table)[0]

    split = json.loads(request.body)["dataframe_split"]
    sent = dict(zip(split["columns"], split["data"][0], strict=True))
    assert sent == {name: table.iloc[0][name] for name in rows.FEATURES}
    assert "label" not in request.body.decode()
    assert request.label == table["label"].iloc[0]


def test_the_fault_multiplies_car_value_by_a_hundred_and_leaves_the_rest() -> None:
    table = rows.load(rows.DRIFTED)

    faulty = rows.in_cents(table)

    np.testing.assert_array_equal(faulty["car_value"], table["car_value"] * 100)
    pd.testing.assert_frame_equal(faulty.drop(columns="car_value"), table.drop(columns="car_value"))


def test_cutting_the_full_set_keeps_every_fourth_row_by_its_number() -> None:
    full = pd.DataFrame(
        {name: np.linspace(0, 1, 10, dtype="float32") for name in (*rows.FEATURES, rows.LABEL)}
        | {"score": 0.5, "ts": pd.Timestamp("2018-01-01")}
    )

    part = rows.cut(full)

    assert part["row"].tolist() == [0, 4, 8]
    assert part.columns.tolist() == ["row", *rows.FEATURES, rows.LABEL]
    assert part["driver_tenure"].tolist() == pytest.approx([0, 0.4444, 0.8889], abs=1e-6)


@pytest.mark.parametrize(
    ("probability", "label", "expected"),
    [(0.9, 1, "right"), (0.9, 0, "wrong"), (0.1, 0, "right"), (0.1, 1, "wrong"), (0.5, 1, "wrong")],
    ids=["yes and yes", "yes and no", "no and no", "no and yes", "half is a no"],
)
def test_an_answer_is_wrong_when_the_label_says_otherwise(
    probability: float, label: int, expected: str
) -> None:
    assert is_wrong(probability, label) == (expected == "wrong")
