"""Columns out of the values of decoded rows: loops that run in C wherever they can."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collectors.batch import (
    PREDICTION,
    CategoryColumn,
    Column,
    ColumnKind,
    Floats,
    NumberColumn,
)
from collectors.formats.event_line import INVALID, fits_kind
from collectors.formats.event_types import ARRAY_COLUMNS_MAX, Vocabulary
from collectors.formats.event_vectors import is_long_vector, is_vector, vectors
from collectors.text import clean_text

_NONE = type(None)
_FLOAT_TYPES = frozenset({float, _NONE})
_TEXT_TYPES = frozenset({str, _NONE})
_NESTED_TYPES = frozenset({dict, list})
_EXACT_INT_END = 2**53
#: Strings of a column in one block that are worth remembering, and of all columns together.
_FEW_TEXTS = 50
_TEXTS_MAX = 2_000


def feature_columns(
    values: Mapping[str, Sequence[Any]], vocabulary: Vocabulary
) -> dict[str, Column]:
    """Columns of the features: numbers and vectors hold such, None and `INVALID`, nothing else."""
    return {
        name: _feature(name, values[name], kind, vocabulary)
        for name, kind in vocabulary.features.items()
        if kind is not None
    }


def _feature(name: str, values: Sequence[Any], kind: ColumnKind, vocabulary: Vocabulary) -> Column:
    if kind == "number":
        return numbers(values)
    if kind == "vector":
        return vectors(name, values, vocabulary.dimensions)
    return categories(values, vocabulary.texts)


def prediction_columns(
    predictions: Sequence[Any], types: frozenset[type], vocabulary: Vocabulary
) -> dict[str, Column]:
    """Columns of the prediction; in learning, also those that these predictions bring.

    Parameters
    ----------
    predictions
        A scalar, an object or an array of scalars, or None, for each row.
    types
        The types that occur among all predictions of the block that the rows belong to.
    """
    if vocabulary.learning:
        _learn(predictions, types, vocabulary)
    kinds = vocabulary.prediction
    if types <= _FLOAT_TYPES and set(kinds) == {PREDICTION} and kinds[PREDICTION] == "number":
        return {PREDICTION: numbers(predictions)}
    is_vector_column = kinds.get(PREDICTION) == "vector"
    parts: dict[str, list[Any]] = {name: [None] * len(predictions) for name in kinds}
    for row, prediction in enumerate(predictions):
        for name, part in _parts(prediction, whole=is_vector_column):
            if name in parts:
                parts[name][row] = part
    return {name: _part(name, parts[name], kind, vocabulary) for name, kind in kinds.items()}


def _part(name: str, values: Sequence[Any], kind: ColumnKind, vocabulary: Vocabulary) -> Column:
    if kind == "number":
        return _mixed_numbers(values)
    if kind == "vector":
        return vectors(name, values, vocabulary.dimensions)
    return categories(values)


def floats(values: Sequence[float | None]) -> Floats:
    """Numbers, NaN for None."""
    try:
        # A third of the time that an array takes to be made of a tuple.
        return np.frombuffer(bytearray(struct.pack(f"{len(values)}d", *values)))
    except struct.error:
        return np.array(values, dtype=np.float64)


def numbers(values: Sequence[Any]) -> NumberColumn:
    """Make a column of floats, of None, and of values that are anything but a number.

    No value may be a string, which numpy would read as a number.
    """
    try:
        return NumberColumn(floats(values))
    except TypeError:
        return _mixed_numbers(values)


def _mixed_numbers(values: Sequence[Any]) -> NumberColumn:
    column = np.full(len(values), math.nan)
    invalid = []
    for row, value in enumerate(values):
        if value is None:
            continue
        if fits_kind(value, "number"):
            column[row] = value
        else:
            invalid.append(row)
    return NumberColumn(column, tuple(invalid))


def categories(
    values: Sequence[Any], texts: dict[str | None, str | None] | None = None
) -> CategoryColumn:
    """Make a column of strings; booleans and numbers become their text.

    Parameters
    ----------
    texts
        What strings seen before became. It is added to while they are few.
    """
    if texts is not None:
        try:
            return CategoryColumn(list(map(texts.__getitem__, values)))
        except (KeyError, TypeError):  # a new string, or something else
            pass
    invalid: tuple[int, ...] = ()
    try:
        distinct = set(values)
    except TypeError:  # an object or an array: equal to nothing
        distinct = {_NONE}
    if not set(map(type, distinct)) <= _TEXT_TYPES:
        fits = [value is None or fits_kind(value, "category") for value in values]
        invalid = tuple([row for row, fit in enumerate(fits) if not fit])
        values = [_text(value) if fit else None for value, fit in zip(values, fits, strict=True)]
        distinct = set(values)
    # One object a category: what was decoded is let go at once, and counting compares identities.
    clean = {value: None if value is None else clean_text(value) for value in distinct}
    if texts is not None and len(clean) <= _FEW_TEXTS:
        if len(texts) > _TEXTS_MAX:
            texts.clear()
        texts |= {value: text for value, text in clean.items() if value == text}
    return CategoryColumn([clean[value] for value in values], invalid)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_INT_END:
        return str(int(value))  # 1.0 and 1 are one category, as in a table with gaps
    return str(value)


def _learn(predictions: Sequence[Any], types: frozenset[type], vocabulary: Vocabulary) -> None:
    if PREDICTION not in vocabulary.prediction and not types <= _NESTED_TYPES | {_NONE}:
        scalars = (value for value in predictions if type(value) in types - _NESTED_TYPES - {_NONE})
        vocabulary.learn_prediction(PREDICTION, next(scalars, None))
    if types & _NESTED_TYPES:
        for prediction in predictions:
            whole = f"{PREDICTION}.0" not in vocabulary.prediction and is_long_vector(prediction)
            for name, part in _parts(prediction, whole=whole):
                vocabulary.learn_prediction(name, part)


def _parts(prediction: object, *, whole: bool) -> Sequence[tuple[str, object]]:
    """Columns of one prediction: of an object by key, of an array by index unless it is whole."""
    if whole and isinstance(prediction, list):
        return [(PREDICTION, prediction if is_vector(prediction) else INVALID)]
    if isinstance(prediction, dict):
        return [(clean_text(f"{PREDICTION}.{key}"), part) for key, part in prediction.items()]
    if isinstance(prediction, list):
        first = prediction[:ARRAY_COLUMNS_MAX]
        return [(f"{PREDICTION}.{i}", part) for i, part in enumerate(first)]
    return [(PREDICTION, prediction)]
