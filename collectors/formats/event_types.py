"""What is known of the names in a prediction log, and the msgspec types made of it.

Decoding is quick because the types name exactly the fields that the log has, in its order,
and refuse every other: an unknown name shows itself as a failure, is learnt once, and is part
of the types from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from collectors.batch import PREDICTION, ColumnKind, Schema
from collectors.formats.event_vectors import kind_of_array
from collectors.text import clean_text

#: Unknown names of one level (top or features) that are counted one by one. Past it unknown
#: names of that level are skipped unseen, so that a log with random names costs no more.
IGNORED_NAMES_MAX = 100
#: Elements of a prediction array that become columns.
ARRAY_COLUMNS_MAX = 16
#: Begins the name of a field whose own needs an escape in JSON. A noncharacter: no text has it.
_PLACE = "\uffff"
#: Values that do not decide on the kind of a column.
_NOTHING: Sequence[object] = (None, [])

AwareTime: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
Status: TypeAlias = Annotated[int, msgspec.Meta(ge=100, le=999)]
Share: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1)]
Role: TypeAlias = Literal["live", "shadow"]
Span: TypeAlias = Literal["model", "server", "client"]
_Number: TypeAlias = float | None
_Category: TypeAlias = str | bool | int | float | None
_Vector: TypeAlias = list[float] | None
_Scalar: TypeAlias = str | bool | float | None
_Prediction: TypeAlias = str | bool | float | dict[str, _Scalar] | list[_Scalar] | None

#: Keys of INTERFACE's event, and their types; `model` and `features` are made per format.
KEYS: Mapping[str, Any] = {
    "id": str | None,
    "ts": float | AwareTime,
    "model": str | None,
    "version": str | None,
    "latency_ms": float | None,
    "status": Status | None,
    "features": Any,
    "prediction": _Prediction,
    "label": msgspec.Raw,
    "segment": msgspec.Raw,
    "role": Role | None,
    "latency_kind": Span | None,
    "sampling": Share | None,
    "trace_id": msgspec.Raw,
    "params": msgspec.Raw,
}


def kind_of(value: object) -> ColumnKind | None:
    """Kind of column that a first value makes; None for null and for what fits none."""
    if isinstance(value, str | bool):
        return "category"
    if isinstance(value, list):
        return kind_of_array(value)
    return "number" if isinstance(value, int | float) else None


class Vocabulary:
    """The names met so far: columns to decode, and names to ignore and count.

    Parameters
    ----------
    schema
        Columns to start from.
    learning
        Whether further columns are learnt from the data: a feature's first value that is not
        null decides on its kind. Otherwise other features are ignored and counted.
    columns_max
        Columns learnt at most; what comes after is ignored and counted in `overflow`.
    """

    def __init__(self, schema: Schema, *, learning: bool, columns_max: int) -> None:
        self.learning = learning
        self.columns_max = columns_max
        self.features: dict[str, ColumnKind | None] = {}  # None: nothing but null so far
        self.prediction: dict[str, ColumnKind] = {}
        self.ignored_features: dict[str, None] = {}
        self.ignored_keys: dict[str, None] = {}
        self.key_order: list[str] = []
        self.overflow = 0
        self.texts: dict[str | None, str | None] = {}  # strings of few values, one object each
        self.joins_labels = False  # whether what labels join on is handed out, too
        self.dimensions = dict(schema.dimensions)
        self.segment_keys: tuple[str, ...] = ()  # keys of segments that are handed out, too
        for name, kind in schema.columns.items():
            if is_prediction(name):
                self.prediction[name] = kind
            else:
                self.features[name] = kind

    @property
    def schema(self) -> Schema:
        """The columns decoded now."""
        features = {name: kind for name, kind in self.features.items() if kind is not None}
        return Schema({**features, **self.prediction}, dict(self.dimensions))

    def learn(self, event: Mapping[str, Any]) -> bool:
        """Take up the names of one parsed event; True if the types have to be made anew."""
        changed = self._arrange(event) if not self.key_order else False
        for key in event:
            if key not in KEYS and key not in self.ignored_keys:
                changed |= _ignore(key, self.ignored_keys)
        features = event.get("features")
        if isinstance(features, dict):
            for name, value in features.items():
                changed |= self._learn_feature(name, value)
        return changed

    def learn_prediction(self, name: str, value: object) -> None:
        """Take up a column of the prediction, if there is room and it is not fixed."""
        kind = kind_of(value)
        if name in self.prediction or not self.learning or kind is None:
            return
        if self._full():
            self.overflow += 1
        else:
            self.prediction[clean_text(name)] = kind
            if isinstance(value, list):
                self.dimensions[name] = len(value)

    def _learn_feature(self, name: str, value: object) -> bool:
        if name in self.ignored_features or self.features.get(name) is not None:
            return False
        kind = kind_of(value)
        if (
            not self.learning
            or not _is_column_name(name)
            or (kind is None and value not in _NOTHING)
        ):
            return _ignore(name, self.ignored_features)
        if name not in self.features and self._full():
            self.overflow += 1
            return _ignore(name, self.ignored_features)
        is_new = name not in self.features or kind is not None
        self.features[name] = kind
        if isinstance(value, list):
            self.dimensions[name] = len(value)
        return is_new

    def _full(self) -> bool:
        return len(self.features) + len(self.prediction) >= self.columns_max

    def _arrange(self, event: Mapping[str, Any]) -> bool:
        # msgspec looks for each key behind the last one found: in the log's own order every
        # look-up hits at once. So the first event decides on the order of the fields.
        self.key_order = [*(key for key in event if key in KEYS)]
        self.key_order += [key for key in KEYS if key not in event]
        features = event.get("features")
        if isinstance(features, dict):
            seen = {name: self.features[name] for name in features if name in self.features}
            self.features = {**seen, **self.features}
        return True


def is_prediction(column: str) -> bool:
    """Whether a column holds the prediction, or a part of one."""
    return column == PREDICTION or column.startswith(PREDICTION + ".")


class EventTypes:
    """The structures that one vocabulary decodes to, and their decoder.

    Parameters
    ----------
    vocabulary
        The names; read once, here.
    model
        The only model that an event may name.
    """

    def __init__(self, vocabulary: Vocabulary, model: str) -> None:
        types: dict[str, Any] = {
            name: _FEATURE_TYPES[kind] for name, kind in vocabulary.features.items()
        }
        types |= dict.fromkeys(vocabulary.ignored_features, msgspec.Raw)
        self.feature_names = list(types)
        # Names that need the slow way must not be skipped unseen on the quick one.
        escaped = not all(map(_is_field_name, types))
        few = len(vocabulary.ignored_features) < IGNORED_NAMES_MAX
        self.features = _struct("Features", types, strict=few or escaped)
        keys = {key: KEYS[key] for key in (vocabulary.key_order or KEYS)}
        # A literal, so that another model's event fails to decode and is looked at alone.
        keys["model"] = Literal[model] | None
        keys["features"] = self.features | None
        if vocabulary.segment_keys:
            keys["segment"] = Any  # of a wrong shape it is no segment, and the event stands
        keys |= dict.fromkeys(vocabulary.ignored_keys, msgspec.Raw)
        self.keys = list(keys)
        self.event = _struct("Event", keys, strict=len(vocabulary.ignored_keys) < IGNORED_NAMES_MAX)
        self.key_fields = {key: f"f{i}" for i, key in enumerate(self.keys)}
        self.feature_fields = {name: f"f{i}" for i, name in enumerate(self.feature_names)}
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.event)
        self.no_features = self.features()


_FEATURE_TYPES: Mapping[ColumnKind | None, Any] = {
    "number": _Number,
    "category": _Category,
    "vector": _Vector,
    None: None,
}


def _struct(name: str, types: Mapping[str, Any], *, strict: bool) -> type[msgspec.Struct]:
    """Make a structure; its fields are numbered, because names in a log are any text.

    A name that JSON escapes cannot be a field's: another name, which no log has, keeps its place.
    Lines with it are refused whole, looked at alone, and put into that place by its number.
    """
    fields = [
        (f"f{i}", type_) if key == "ts" and name == "Event" else (f"f{i}", type_, None)
        for i, (key, type_) in enumerate(types.items())
    ]
    return msgspec.defstruct(
        name,
        fields,
        rename={
            f"f{i}": key if _is_field_name(key) else f"{_PLACE}{i}" for i, key in enumerate(types)
        },
        forbid_unknown_fields=strict,
        kw_only=True,
        eq=False,
        gc=False,  # trees without cycles: the collector need not look at every row
    )


def _ignore(name: str, ignored: dict[str, None]) -> bool:
    if not _is_field_name(name) or len(ignored) >= IGNORED_NAMES_MAX:
        return False
    ignored[name] = None
    return True


def _is_column_name(name: str) -> bool:
    return bool(name) and clean_text(name) == name and not is_prediction(name)


def _is_field_name(name: str) -> bool:
    # msgspec refuses these in field names; lines with such names are looked at one by one.
    return not any(char in '\\"' or char < " " or "\ud800" <= char <= "\udfff" for char in name)
