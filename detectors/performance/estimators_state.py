"""Estimators as plain data: how a reference file keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.numerics.packing import (
    PackedArray,
    PackingError,
    pack_counts,
    pack_floats,
    unpack_counts,
    unpack_floats,
)
from detectors.performance.additive_model import AdditiveModel, CategoryEffect, Effect, NumberEffect
from detectors.performance.confidence_estimates import Calibration
from detectors.performance.estimators import Estimators

if TYPE_CHECKING:
    from collectors.batch import Floats


class _NumberEffect(msgspec.Struct, array_like=True, frozen=True, tag="number"):
    edges: PackedArray
    values: PackedArray
    errors: PackedArray


class _CategoryEffect(msgspec.Struct, array_like=True, frozen=True, tag="category"):
    names: list[str]
    values: PackedArray
    errors: PackedArray


class _Model(msgspec.Struct, array_like=True, frozen=True):
    mean: float
    rows: int
    spread: float
    explained: float
    effects: dict[str, _NumberEffect | _CategoryEffect]
    noise: _Model | None


class _Calibration(msgspec.Struct, array_like=True, frozen=True):
    edges: PackedArray
    rows: PackedArray
    positives: PackedArray
    scores: PackedArray
    threshold: float


class EstimatorsState(msgspec.Struct, array_like=True, frozen=True):
    """What a reference file keeps of its estimators."""

    calibration: _Calibration | None
    error: _Model | None
    squared_error: _Model | None
    prediction: _Model | None


def state_of(estimators: Estimators) -> EstimatorsState:
    """Return estimators as plain data."""
    calibration = estimators.calibration
    return EstimatorsState(
        None if calibration is None else _calibration_state(calibration),
        *map(_model_state, (estimators.error, estimators.squared_error, estimators.prediction)),
    )


def estimators_of(state: EstimatorsState) -> Estimators:
    """Return the estimators that `state_of` was given.

    Raises
    ------
    PackingError
        If the parts contradict one another.
    """
    kept = state.calibration
    return Estimators(
        None if kept is None else _calibration(kept),
        *map(_model, (state.error, state.squared_error, state.prediction)),
    )


def _calibration_state(calibration: Calibration) -> _Calibration:
    return _Calibration(
        pack_floats(calibration.edges),
        pack_counts(calibration.rows),
        pack_counts(calibration.positives),
        pack_floats(calibration.scores),
        calibration.threshold,
    )


def _calibration(state: _Calibration) -> Calibration:
    edges, scores = unpack_floats(state.edges), unpack_floats(state.scores)
    rows, positives = unpack_counts(state.rows), unpack_counts(state.positives)
    if {rows.size, positives.size, scores.size} != {edges.size + 1}:
        raise PackingError("a calibration needs one count and one score a bin")
    if (positives > rows).any():
        raise PackingError("a calibration has more positives than rows in a bin")
    _require_ascending(edges)
    return Calibration(edges, rows, positives, scores, state.threshold)


def _model_state(model: AdditiveModel | None) -> _Model | None:
    if model is None:
        return None
    return _Model(
        model.mean,
        model.rows,
        model.spread,
        model.explained,
        {name: _effect_state(effect) for name, effect in model.effects.items()},
        _model_state(model.noise),
    )


def _model(state: _Model | None) -> AdditiveModel | None:
    if state is None:
        return None
    return AdditiveModel(
        state.mean,
        state.rows,
        state.spread,
        state.explained,
        {name: _effect(effect) for name, effect in state.effects.items()},
        _model(state.noise),
    )


def _effect_state(effect: Effect) -> _NumberEffect | _CategoryEffect:
    values, errors = pack_floats(effect.values), pack_floats(effect.errors)
    if isinstance(effect, NumberEffect):
        return _NumberEffect(pack_floats(effect.edges), values, errors)
    return _CategoryEffect(list(effect.names), values, errors)


def _effect(state: _NumberEffect | _CategoryEffect) -> Effect:
    values, errors = unpack_floats(state.values), unpack_floats(state.errors)
    if isinstance(state, _NumberEffect):
        edges = unpack_floats(state.edges)
        _require_ascending(edges)
        _require_bins(values, errors, edges.size + 2)
        return NumberEffect(edges, values, errors)
    _require_bins(values, errors, len(state.names) + 2)
    return CategoryEffect(tuple(state.names), values, errors)


def _require_bins(values: Floats, errors: Floats, bins: int) -> None:
    if {values.size, errors.size} != {bins}:
        raise PackingError(f"an effect of {bins} bins has {values.size} values")


def _require_ascending(edges: Floats) -> None:
    if np.isnan(edges).any() or not (edges[1:] > edges[:-1]).all():
        raise PackingError("ends of bins must be distinct and ascending")
