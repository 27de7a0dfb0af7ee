from __future__ import annotations

import json
import math

import numpy as np
import pytest

from collectors.batch import CategoryColumn, Decoded, NumberColumn, PredictionBatch, Schema
from collectors.formats.event_types import IGNORED_NAMES_MAX
from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat
from tests.collectors.events import TS, event, lines

MODEL = "credit-default"
WATCHED = Schema({"age": "number", "plan": "category", "prediction": "number"})


def only(decoded: Decoded) -> PredictionBatch:
    (batch,) = decoded.batches
    return batch


def numbers(batch: PredictionBatch, name: str) -> list[float | None]:
    column = batch.columns[name]
    assert isinstance(column, NumberColumn)
    return [None if math.isnan(value) else value for value in column.values.tolist()]


def texts(batch: PredictionBatch, name: str) -> list[str | None]:
    column = batch.columns[name]
    assert isinstance(column, CategoryColumn)
    return list(column.values)


def test_an_event_becomes_a_row_of_every_column() -> None:
    decoded = KedgeFormat(MODEL).decode(lines(event()))

    batch = only(decoded)
    assert (batch.model, batch.version, batch.role) == (MODEL, "7", "live")
    assert batch.ts.tolist() == [TS]
    assert batch.latency_ms.tolist() == [12.5]
    assert batch.status.tolist() == [200]
    assert batch.weight.tolist() == [1.0]
    assert numbers(batch, "age") == [41.0]
    assert texts(batch, "plan") == ["gold"]
    assert numbers(batch, "prediction") == [0.83]
    assert decoded.rejections == []
    assert decoded.unknown_keys == {}


def test_only_ts_and_one_of_features_and_prediction_are_required() -> None:
    log = lines({"ts": TS, "prediction": 0.5}, {"ts": TS, "features": {"age": 30}})

    batch = only(KedgeFormat(MODEL).decode(log))

    assert batch.version == "unknown"
    assert batch.status.tolist() == [200, 200]
    assert np.isnan(batch.latency_ms).all()
    assert numbers(batch, "prediction") == [0.5, None]
    assert numbers(batch, "age") == [None, 30.0]


@pytest.mark.parametrize(
    "ts", [TS + 0.25, "2026-03-04T10:00:00.25Z", "2026-03-04T11:00:00.25+01:00"]
)
def test_a_time_is_seconds_or_rfc_3339(ts: object) -> None:
    batch = only(KedgeFormat(MODEL).decode(lines(event(ts=ts))))

    assert batch.ts.tolist() == [TS + 0.25]


def test_later_rows_of_a_request_are_no_requests_of_their_own() -> None:
    rest = {"latency_ms": ..., "status": ...}
    log = lines(
        event(id="x#0"),
        event(id="x#1", **rest),
        event(id="x#2", **rest),
        event(id="y#0", **rest),
        event(id="z", **rest),
    )

    batch = only(KedgeFormat(MODEL).decode(log))

    assert batch.status.tolist() == [200, 0, 0, 200, 200]
    assert np.isnan(batch.latency_ms).tolist() == [False, True, True, True, True]


def test_a_sampled_row_stands_for_the_rows_left_out() -> None:
    batch = only(KedgeFormat(MODEL).decode(lines(event(sampling=0.25), event())))

    assert batch.weight.tolist() == [4.0, 1.0]


def test_shadow_answers_and_versions_and_latency_kinds_go_to_batches_of_their_own() -> None:
    log = lines(
        event(prediction=1.0),
        event(prediction=2.0, role="shadow"),
        event(prediction=3.0, version="8"),
        event(prediction=4.0),
        event(prediction=5.0, latency_kind="client"),
    )

    batches = KedgeFormat(MODEL).decode(log).batches

    found = {
        (batch.version, batch.role, batch.latency_kind): numbers(batch, "prediction")
        for batch in batches
    }
    assert found == {
        ("7", "live", "server"): [1.0, 4.0],
        ("7", "shadow", "server"): [2.0],
        ("8", "live", "server"): [3.0],
        ("7", "live", "client"): [5.0],
    }


@pytest.mark.parametrize(
    ("prediction", "columns"),
    [
        (True, {"prediction": ["true"]}),
        ("yes", {"prediction": ["yes"]}),
        (3, {"prediction": [3.0]}),
        ({"yes": 0.75, "class": "a"}, {"prediction.yes": [0.75], "prediction.class": ["a"]}),
        ([0.25, 0.75], {"prediction.0": [0.25], "prediction.1": [0.75]}),
        ([0] * 20, {f"prediction.{i}": [0.0] for i in range(16)}),
    ],
    ids=["boolean", "string", "number", "object", "array", "long array"],
)
def test_a_prediction_makes_columns_by_its_shape(
    prediction: object, columns: dict[str, list[object]]
) -> None:
    batch = only(KedgeFormat(MODEL).decode(lines(event(prediction=prediction, features=...))))

    found = {name: list(column.values) for name, column in batch.columns.items()}
    assert found == columns


def test_columns_are_learnt_from_the_first_value_that_is_not_null() -> None:
    decoder = KedgeFormat(MODEL)

    decoder.decode(lines(event(features={"a": None, "b": True})))
    assert decoder.schema.columns == {"b": "category", "prediction": "number"}

    batch = only(decoder.decode(lines(event(features={"a": 1, "b": False, "c": "x"}))))

    assert decoder.schema.columns == {
        "a": "number",
        "b": "category",
        "c": "category",
        "prediction": "number",
    }
    assert numbers(batch, "a") == [1.0]
    assert texts(batch, "b") == ["false"]


def test_a_column_that_appears_late_is_missing_in_the_rows_before_it() -> None:
    many = BLOCK_BYTES // 100
    log = lines(*[event()] * many, event(features={"age": 1, "plan": "gold", "new": 5}))

    batch = only(KedgeFormat(MODEL).decode(log))

    assert numbers(batch, "new") == [None] * many + [5.0]


def test_a_fixed_schema_decodes_its_columns_and_counts_the_rest() -> None:
    decoder = KedgeFormat(MODEL, Schema({"age": "number"}))
    log = lines(event(), event())

    first, second = decoder.decode(log), decoder.decode(log)

    assert list(only(first).columns) == ["age"]
    assert first.unknown_keys == second.unknown_keys == {"features.plan": 2}


def test_a_format_learns_until_it_is_fixed_and_takes_up_what_it_had_learnt() -> None:
    decoder = KedgeFormat(MODEL)
    decoder.learn(Schema({"age": "category"}))

    learning = only(decoder.decode(lines(event())))
    decoder.fix(WATCHED)
    fixed = only(decoder.decode(lines(event(features={"age": 41, "other": 1}))))

    assert texts(learning, "age") == ["41"]
    assert set(learning.columns) == {"age", "plan", "prediction"}
    assert set(fixed.columns) == set(WATCHED.columns)


def test_past_columns_max_a_feature_is_ignored_and_counted() -> None:
    decoder = KedgeFormat(MODEL, columns_max=2)

    decoded = decoder.decode(lines(event(features={"a": 1, "b": 2, "c": 3}, prediction=...)))

    assert set(only(decoded).columns) == {"a", "b"}
    assert decoded.unknown_keys == {"features.c": 1}
    assert decoder.columns_overflow == 1


def test_an_unknown_key_is_ignored_and_counted() -> None:
    decoder = KedgeFormat(MODEL)
    log = lines(event(extra={"deep": [1]}), event(), event(extra=None))

    counts = [decoder.decode(log).unknown_keys for _ in range(2)]

    # A null says nothing, and is not told from an absent key once the name is known.
    assert [count["extra"] for count in counts] == [2, 2]
    assert only(decoder.decode(log)).rows == 3


def test_random_names_stop_being_looked_at_and_cost_no_event() -> None:
    decoder = KedgeFormat(MODEL, WATCHED)
    names = [f"k{i}" for i in range(3 * IGNORED_NAMES_MAX)]
    log = lines(*(event(**{name: 1}, features={"age": 1, name: 2}) for name in names))

    decoded = decoder.decode(log)

    assert only(decoded).rows == len(names)
    assert len(decoded.unknown_keys) <= 2 * IGNORED_NAMES_MAX + 1


def test_names_that_cannot_be_fields_or_labels_cost_no_event() -> None:
    decoder = KedgeFormat(MODEL)
    odd = {"a\0b": 1, "\ud800": 2, "n" * 200: 4, "": 5, "prediction": 6}
    log = lines(event(features=odd), event(features={**odd, "fine": 1}))

    decoded = decoder.decode(log)

    batch = only(decoded)
    assert numbers(batch, "fine") == [None, 1.0]
    assert set(batch.columns) == {"fine", "prediction"}
    assert numbers(batch, "prediction") == [0.83, 0.83]
    assert sum(decoded.unknown_keys.values()) == 2 * len(odd)


def test_a_name_that_json_escapes_is_a_column_like_any_other() -> None:
    decoder = KedgeFormat(MODEL)
    log = lines(
        event(features={'a"b': 1, "back\\slash": "x", "age": 1}),
        event(features={"new\nline": 3, 'a"b': "no number", "age": 2}),
        event(features={"age": 3}),
    )

    for _ in range(2):  # learning the names, and knowing them
        decoded = decoder.decode(log)
        batch = only(decoded)

        assert numbers(batch, 'a"b') == [1.0, None, None]
        assert batch.columns['a"b'].invalid_rows == (1,)
        assert texts(batch, "back\\slash") == ["x", None, None]
        assert numbers(batch, "new\nline") == [None, 3.0, None]
        assert numbers(batch, "age") == [1.0, 2.0, 3.0]
        assert decoded.unknown_keys == {}


def test_a_name_that_json_escapes_stays_a_column_among_random_ones() -> None:
    decoder = KedgeFormat(MODEL, Schema({'a"b': "number"}))
    random = [event(features={f"k{i}": 1}) for i in range(2 * IGNORED_NAMES_MAX)]
    decoder.decode(lines(*random))

    batch = only(decoder.decode(lines(event(features={'a"b': 5}))))

    assert numbers(batch, 'a"b') == [5.0]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("41", None),
        (True, None),
        ([41], None),
        ({"x": 1}, None),
        (2**63, float(2**63)),
        (2**64, float(2**64)),
        (10**30, 1e30),
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_counts_as_invalid_and_its_event_stands(
    value: object, kept: float | None
) -> None:
    log = lines(event(), event(features={"age": value, "plan": "gold"}), event(features={}))

    decoded = KedgeFormat(MODEL, WATCHED).decode(log)

    batch = only(decoded)
    assert numbers(batch, "age") == [41.0, kept, None]
    assert batch.columns["age"].invalid_rows == (() if kept else (1,))
    assert texts(batch, "plan") == ["gold", "gold", None]
    assert decoded.rejections == []


@pytest.mark.parametrize("token", ["1e999", "-1e400", "9" * 5000], ids=lambda text: text[:6])
def test_a_number_that_is_not_finite_never_enters_a_column(token: str) -> None:
    log = lines(event(), event(features={"age": "x"}, prediction=0.5), event(prediction="y"))
    log = log.replace(b'"x"', token.encode()).replace(b'"y"', token.encode())

    batch = only(KedgeFormat(MODEL, WATCHED).decode(log))

    assert numbers(batch, "age") == [41.0, None, 41.0]
    assert batch.columns["age"].invalid_rows == (1,)
    assert numbers(batch, "prediction") == [0.83, 0.5, None]
    assert batch.columns["prediction"].invalid_rows == (2,)


def test_a_category_is_its_text_whatever_scalar_it_comes_as() -> None:
    values = ["gold", True, 3, 3.0, 2.5, None, ["gold"]]
    log = lines(*(event(features={"plan": value}) for value in values))

    batch = only(KedgeFormat(MODEL, WATCHED).decode(log))

    assert texts(batch, "plan") == ["gold", "true", "3", "3", "2.5", None, None]
    assert batch.columns["plan"].invalid_rows == (6,)


def test_strings_from_the_data_are_cleaned_before_they_can_become_labels() -> None:
    odd = ["a\0b", "\ud800", "x" * 500, "é\n"]
    log = lines(
        *(event(features={"plan": text}) for text in odd), event(version="7\0", features={})
    )

    decoded = KedgeFormat(MODEL, WATCHED).decode(log)

    assert texts(decoded.batches[0], "plan") == ["a\ufffdb", "\ufffd", "x" * 128, "é\n"]
    assert decoded.batches[1].version == "7\ufffd"


REJECTED = {
    "not JSON": ("malformed", b"{nonsense"),
    "cut off": ("malformed", b'{"ts": 1, "prediction":'),
    "NaN": ("malformed", b'{"ts": 1, "prediction": NaN}'),
    "Infinity": ("malformed", b'{"ts": 1, "prediction": -Infinity}'),
    "an array": ("malformed", b"[1, 2]"),
    "a string": ("malformed", b'"ts"'),
    "two events": ("malformed", b'{"ts":1,"prediction":1}{"ts":1,"prediction":1}'),
    "byte order mark": ("malformed", b'\xef\xbb\xbf{"ts": 1, "prediction": 1}'),
    "binary": ("not_utf8", bytes(range(128, 256))),
    "bad UTF-8 in a value": ("not_utf8", b'{"ts":1,"features":{"plan":"\xff"}}'),
    "no ts": ("missing_key", b'{"prediction": 1}'),
    "null ts": ("missing_key", b'{"ts": null, "prediction": 1}'),
    "neither features nor prediction": ("missing_key", b'{"ts": 1}'),
    "both null": ("missing_key", b'{"ts": 1, "features": null, "prediction": null}'),
    "time of day": ("bad_time", b'{"ts": "12:00", "prediction": 1}'),
    "time without a zone": ("bad_time", b'{"ts": "2026-03-04T10:00:00", "prediction": 1}'),
    "milliseconds": ("bad_time", b'{"ts": 1772618400000, "prediction": 1}'),
    "before 1970": ("bad_time", b'{"ts": -1, "prediction": 1}'),
    "endless time": ("bad_time", b'{"ts": 1e999, "prediction": 1}'),
    "boolean time": ("wrong_type", b'{"ts": true, "prediction": 1}'),
    "latency as a string": ("wrong_type", b'{"ts": 1, "prediction": 1, "latency_ms": "12"}'),
    "endless latency": ("wrong_type", b'{"ts": 1, "prediction": 1, "latency_ms": 1e999}'),
    "status as a string": ("wrong_type", b'{"ts": 1, "prediction": 1, "status": "200"}'),
    "status of 2^70": ("wrong_type", b'{"ts": 1, "prediction": 1, "status": %d}' % 2**70),
    "version as a number": ("wrong_type", b'{"ts": 1, "prediction": 1, "version": 7}'),
    "an unknown role": ("wrong_type", b'{"ts": 1, "prediction": 1, "role": "ghost"}'),
    "sampling of 0": ("wrong_type", b'{"ts": 1, "prediction": 1, "sampling": 0}'),
    "features as an array": ("wrong_type", b'{"ts": 1, "features": [1]}'),
    "a nested prediction": ("wrong_type", b'{"ts": 1, "prediction": [[1]]}'),
    "another model": ("wrong_model", b'{"ts": 1, "prediction": 1, "model": "other"}'),
    "2,000 deep": ("too_deep", b'{"ts":1,"prediction":%s}' % (b"[" * 2000 + b"]" * 2000)),
    "100,000 deep": ("too_deep", b'{"ts":1,"x":%s}' % (b"[" * 100_000 + b"]" * 100_000)),
    "1,000,000 open": ("too_deep", b"[" * 1_000_000),
}


@pytest.mark.parametrize(("reason", "line"), REJECTED.values(), ids=REJECTED)
def test_a_line_that_cannot_be_used_is_rejected_with_a_reason(reason: str, line: bytes) -> None:
    decoded = KedgeFormat(MODEL).decode(lines(event()) + line + b"\n" + lines(event()))

    (rejection,) = decoded.rejections
    assert rejection.reason == reason
    assert rejection.line == line[:4096]
    assert only(decoded).rows == 2


def test_no_bad_line_stops_the_flow_or_takes_a_neighbour_with_it() -> None:
    rng = np.random.default_rng(5)
    bad = [line for _, line in REJECTED.values()]
    picks = rng.integers(0, 3 * len(bad), 2000).tolist()
    good = lines(event()).rstrip(b"\n")
    log = b"".join((bad[i] if i < len(bad) - 3 else good) + b"\n" for i in picks)

    decoded = KedgeFormat(MODEL).decode(log)

    wrong = sum(i < len(bad) - 3 for i in picks)
    assert only(decoded).rows == 2000 - wrong
    assert len(decoded.rejections) == wrong


def test_one_event_over_two_lines_is_no_event() -> None:
    decoded = KedgeFormat(MODEL, WATCHED).decode(b'{"ts": 1,\n"prediction": 1}\n')

    assert decoded.batches == []
    assert [rejection.reason for rejection in decoded.rejections] == ["malformed"] * 2


def test_blank_lines_and_carriage_returns_are_nothing() -> None:
    text = json.dumps(event()).encode()

    decoded = KedgeFormat(MODEL).decode(b"\n" + text + b"\r\n  \n" + text + b"\r\n\n")

    assert only(decoded).rows == 2
    assert decoded.rejections == []


def test_a_hole_of_nuls_before_a_line_is_passed_over() -> None:
    decoded = KedgeFormat(MODEL).decode(b"\0" * 5000 + lines(event()))

    assert only(decoded).rows == 1
    assert decoded.rejections == []


def test_the_last_of_duplicate_keys_wins() -> None:
    text = '{"ts": 1, "prediction": 1, "prediction": 2}'
    again = '{"ts": 1, "prediction": 1, "prediction": 2, "x": 1e999}'

    batch = only(KedgeFormat(MODEL).decode(lines(text, again)))

    assert numbers(batch, "prediction") == [2.0, 2.0]


def test_a_negative_latency_is_missing() -> None:
    batch = only(KedgeFormat(MODEL).decode(lines(event(latency_ms=-0.5))))

    assert np.isnan(batch.latency_ms).all()


def test_events_of_another_model_teach_no_columns() -> None:
    decoder = KedgeFormat(MODEL)

    decoder.decode(lines(event(model="other", features={"foreign": 1}), event()))

    assert "foreign" not in decoder.schema.columns


def test_nothing_makes_nothing() -> None:
    assert KedgeFormat(MODEL).decode(b"") == Decoded([], [], {})


def test_both_ways_of_decoding_make_the_same_columns() -> None:
    rng = np.random.default_rng(1)
    events = [
        event(
            ts=TS + i,
            features={"age": float(rng.normal()), "plan": str(rng.integers(3)), "n": None},
            prediction=[float(rng.random()), "a"] if i % 3 else True,
            version=str(i % 2),
        )
        for i in range(200)
    ]
    at_once, by_line = KedgeFormat(MODEL), KedgeFormat(MODEL)
    at_once.decode(lines(*events))
    by_line.decode(lines(*events))

    quick = at_once.decode(lines(*events)).batches
    # A number too large in every event sends each line the slow way.
    slow = by_line.decode(
        b"".join(lines(one)[:-2] + b', "segment": {"x": 1e999}}\n' for one in events)
    ).batches

    assert [(b.version, b.ts.tolist(), b.status.tolist()) for b in quick] == [
        (b.version, b.ts.tolist(), b.status.tolist()) for b in slow
    ]
    for one, other in zip(quick, slow, strict=True):
        assert one.columns.keys() == other.columns.keys()
        for name in one.columns:
            expected, actual = one.columns[name], other.columns[name]
            np.testing.assert_array_equal(
                np.array(expected.values), np.array(actual.values), strict=True
            )
