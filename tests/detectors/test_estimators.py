"""Performance without labels, against what the labels say in simulations that know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from collectors.batch import CategoryColumn, Column, NumberColumn, Schema
from detectors.joint.row_sample import RowSample
from detectors.measurement import Measurement
from detectors.performance.estimators import (
    ESTIMATED_METRICS,
    LABEL,
    Estimators,
    estimated,
    explained_shift,
    labels_column,
    learn,
)
from detectors.reference import reference_file
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of

if TYPE_CHECKING:
    from collectors.batch import Floats

CONFIDENCE = 0.95
WINDOWS = 200


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a model, and what came true."""

    columns: dict[str, Column]
    labels: Floats

    @property
    def predictions(self) -> Floats:
        column = self.columns["prediction"]
        assert isinstance(column, NumberColumn)
        return column.values


def learned(rows: Rows) -> tuple[Estimators, Reference]:
    sample, builder = RowSample(), ReferenceBuilder()
    sample.add({**rows.columns, LABEL: labels_column(rows.labels.tolist())})
    builder.add(rows.columns)
    return learn(sample), builder.build(0.0, "test")


def window_of(rows: Rows, reference: Reference) -> Pane:
    pane = Pane(reference, Schema({}))
    ts = [0.0] * rows.labels.size
    pane.add(batch_of(ts, rows.columns))
    return pane


def estimates(estimators: Estimators, reference: Reference, rows: Rows) -> dict[str, Measurement]:
    pane = window_of(rows, reference)
    found = estimated(
        estimators, pane.columns, reference.columns, rows=pane.answered, confidence=CONFIDENCE
    )
    return {one.metric: one for one in found}


def scored(generator: np.random.Generator, rows: int, shift: float = 0.0) -> Rows:
    """A classifier whose score is too sure of itself: what comes true is nearer to a half."""
    value = generator.normal(shift, 1.5, rows)
    score = 1 / (1 + np.exp(-2 * value))
    chance = 1 / (1 + np.exp(-value))
    columns: dict[str, Column] = {"x": NumberColumn(value), "prediction": NumberColumn(score)}
    return Rows(columns, (generator.random(rows) < chance).astype(np.float64))


def regressed(generator: np.random.Generator, rows: int, bad: float = 0.2) -> Rows:
    """A regressor that errs three times as much on one kind of row."""
    kind = generator.random(rows) < bad
    value = generator.normal(0, 1, rows)
    error = generator.normal(0, np.where(kind, 3.0, 1.0), rows)
    columns: dict[str, Column] = {
        "kind": CategoryColumn(np.where(kind, "bad", "good").tolist()),
        "x": NumberColumn(value),
        "prediction": NumberColumn(2 * value),
    }
    return Rows(columns, 2 * value + error)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_accuracy_of_scores_is_estimated_within_its_bounds(shift: float) -> None:
    generator = np.random.default_rng(7)
    estimators, reference = learned(scored(generator, 16_000))

    covered = {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0}
    for _ in range(WINDOWS):
        rows = scored(generator, 1_000, shift)
        found = estimates(estimators, reference, rows)
        for name, truth in realised(rows).items():
            one = found[f"estimated_{name}"]
            covered[name] += (one.low or 0) <= truth <= (one.high or 0)

    # 95 % of 200 is 190; four standard deviations below are 178.
    assert min(covered.values()) >= 178, covered


def realised(rows: Rows) -> dict[str, float]:
    said, true = rows.predictions >= 0.5, rows.labels == 1
    hits = (said & true).sum()
    return {
        "accuracy": float((said == true).mean()),
        "precision": float(hits / said.sum()),
        "recall": float(hits / true.sum()),
        "f1": float(2 * hits / (said.sum() + true.sum())),
    }


def test_ranking_and_log_loss_are_estimated_from_calibrated_scores() -> None:
    from sklearn.metrics import log_loss, roc_auc_score  # noqa: PLC0415 - a heavy import

    generator = np.random.default_rng(8)
    estimators, reference = learned(scored(generator, 16_000))
    rows = scored(generator, 20_000, 0.7)

    found = estimates(estimators, reference, rows)

    auc = roc_auc_score(rows.labels, rows.predictions)
    loss = log_loss(rows.labels, rows.predictions)
    assert found["estimated_roc_auc"].value == pytest.approx(auc, abs=0.01)
    assert found["estimated_log_loss"].value == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize("bad", [0.2, 0.6])
def test_the_error_of_a_regressor_is_estimated_within_its_bounds(bad: float) -> None:
    generator = np.random.default_rng(9)
    estimators, reference = learned(regressed(generator, 16_000))

    covered = {"mae": 0, "rmse": 0}
    for _ in range(WINDOWS):
        rows = regressed(generator, 1_000, bad)
        found = estimates(estimators, reference, rows)
        error = np.abs(rows.predictions - rows.labels)
        for name, truth in (("mae", error.mean()), ("rmse", np.sqrt((error**2).mean()))):
            one = found[f"estimated_{name}"]
            covered[name] += (one.low or 0) <= truth <= (one.high or 0)

    assert min(covered.values()) >= 178, covered


def test_a_drift_towards_rows_that_the_model_is_bad_at_shows_as_a_larger_error() -> None:
    generator = np.random.default_rng(10)
    estimators, reference = learned(regressed(generator, 16_000, 0.2))

    found = estimates(estimators, reference, regressed(generator, 5_000, 0.8))

    # The mean of |N(0, s)| is s sqrt(2 / pi).
    before, after = (np.sqrt(2 / np.pi) * (1 + 2 * bad) for bad in (0.2, 0.8))
    assert before < 1.2
    assert found["estimated_mae"].value == pytest.approx(after, rel=0.05)
    assert (found["estimated_mae"].low or 0) > before


def test_classes_give_an_accuracy_by_the_columns() -> None:
    generator = np.random.default_rng(11)

    def rows(odd: float) -> Rows:
        is_odd = generator.random(8_000) < odd
        true = generator.random(8_000) < 0.5
        said = np.where(generator.random(8_000) < np.where(is_odd, 0.4, 0.1), ~true, true)
        columns: dict[str, Column] = {
            "kind": CategoryColumn(np.where(is_odd, "odd", "even").tolist()),
            "prediction": CategoryColumn(np.where(said, "yes", "no").tolist()),
        }
        return Rows(columns, true.astype(np.float64))

    reference_rows = rows(0.2)
    sample, builder = RowSample(), ReferenceBuilder()
    names = np.where(reference_rows.labels == 1, "yes", "no").tolist()
    sample.add({**reference_rows.columns, LABEL: labels_column(names)})
    builder.add(reference_rows.columns)

    found = estimates(learn(sample), builder.build(0.0, "test"), rows(0.8))

    assert found["estimated_accuracy"].value == pytest.approx(1 - 0.8 * 0.4 - 0.2 * 0.1, abs=0.02)


def test_without_labels_there_is_no_estimate_of_performance() -> None:
    rows = scored(np.random.default_rng(12), 4_000)
    sample, builder = RowSample(), ReferenceBuilder()
    sample.add(rows.columns)
    builder.add(rows.columns)
    estimators, reference = learn(sample), builder.build(0.0, "test")

    assert estimates(estimators, reference, rows) == {}
    assert estimators.prediction is not None


def test_few_labels_and_an_empty_window_tell_nothing() -> None:
    generator = np.random.default_rng(13)
    few, _ = learned(scored(generator, 150))
    enough, reference = learned(scored(generator, 4_000))

    assert few.calibration is None
    empty = Rows(
        {"x": NumberColumn(np.empty(0)), "prediction": NumberColumn(np.empty(0))}, np.empty(0)
    )
    assert all(one.value is None for one in estimates(enough, reference, empty).values())


def test_every_estimate_has_a_name_of_the_table() -> None:
    generator = np.random.default_rng(14)

    for rows in (scored(generator, 4_000), regressed(generator, 4_000)):
        estimators, reference = learned(rows)
        assert estimates(estimators, reference, rows).keys() <= ESTIMATED_METRICS


def test_the_drift_of_an_input_explains_the_shift_of_the_prediction() -> None:
    generator = np.random.default_rng(15)
    estimators, reference = learned(regressed(generator, 16_000))
    moved = regressed(generator, 4_000)
    x = np.asarray(generator.normal(0.5, 1, 4_000))
    moved = Rows({**moved.columns, "x": NumberColumn(x), "prediction": NumberColumn(2 * x)}, x)
    assert estimators.prediction is not None

    pane = window_of(moved, reference)

    share = explained_shift(estimators.prediction, pane.columns, reference.columns)
    assert share is not None
    assert share > 0.85


def test_a_shift_of_the_prediction_with_inputs_as_ever_is_explained_by_nothing() -> None:
    generator = np.random.default_rng(16)
    estimators, reference = learned(regressed(generator, 16_000))
    rows = regressed(generator, 4_000)
    worse = Rows({**rows.columns, "prediction": NumberColumn(rows.predictions + 1)}, rows.labels)
    assert estimators.prediction is not None

    pane = window_of(worse, reference)

    share = explained_shift(estimators.prediction, pane.columns, reference.columns)
    assert share is not None
    assert share < 0.1


def test_a_quiet_window_has_no_shift_to_explain() -> None:
    generator = np.random.default_rng(17)
    estimators, reference = learned(regressed(generator, 16_000))
    assert estimators.prediction is not None

    pane = window_of(regressed(generator, 4_000), reference)

    assert explained_shift(estimators.prediction, pane.columns, reference.columns) is None


def test_the_column_that_the_prediction_follows_is_the_important_one() -> None:
    estimators, reference = learned(regressed(np.random.default_rng(18), 16_000))
    assert estimators.prediction is not None

    importances = estimators.prediction.importances(reference.columns)

    assert importances["x"] > 0.95
    assert importances["kind"] < 0.01
    assert sum(importances.values()) == pytest.approx(1)


def test_a_reference_file_keeps_the_estimators() -> None:
    generator = np.random.default_rng(19)

    for rows in (scored(generator, 4_000), regressed(generator, 4_000)):
        builder = ReferenceBuilder()
        builder.add(rows.columns, rows.labels.tolist())
        built = builder.build(0.0, "test")
        loaded = reference_file.load(reference_file.dump(built))

        assert built.estimators is not None
        assert loaded.estimators is not None
        assert estimates(loaded.estimators, loaded, rows) == estimates(
            built.estimators, built, rows
        )
        assert loaded.digest == built.digest


def test_a_builder_that_goes_on_after_a_restart_learns_the_same() -> None:
    generator = np.random.default_rng(20)
    first, second = scored(generator, 3_000), scored(generator, 3_000)
    straight, stopped = ReferenceBuilder(), ReferenceBuilder()
    straight.add(first.columns, first.labels.tolist())
    stopped.add(first.columns, first.labels.tolist())

    resumed = ReferenceBuilder.decode(stopped.encode())
    for builder in (straight, resumed):
        builder.add(second.columns, second.labels.tolist())

    files = [reference_file.dump(builder.build(0.0, "test")) for builder in (straight, resumed)]
    assert files[0] == files[1]
