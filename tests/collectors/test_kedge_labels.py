"""What a prediction log hands out for labels to join on, and labels in lines of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from collectors.batch import Decoded
from collectors.format import Holding
from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat
from collectors.formats.options import FormatOptions
from collectors.kinds import FORMATS
from collectors.labels import JoinColumns, JoinsLabels, Scalar

TS = 1_772_618_400.0


def decoded(events: Sequence[Mapping[str, Any]], *, joining: bool = True) -> Decoded:
    format_ = KedgeFormat("m")
    if joining:
        format_.join_labels()
    return format_.decode(b"".join(json.dumps(event).encode() + b"\n" for event in events))


def event(number: int, **more: object) -> dict[str, object]:
    return {"id": f"r{number}", "ts": TS + number, "prediction": 0.5, **more}


def joins(found: Decoded) -> JoinColumns:
    [batch] = found.batches
    assert batch.joins is not None
    return batch.joins


def labels(found: Decoded) -> list[tuple[str, Scalar | None, float]]:
    return [
        row
        for rows in found.labels
        for row in zip(rows.ids, rows.labels, rows.ts.tolist(), strict=True)
    ]


def test_unless_asked_for_it_hands_out_nothing_to_join_on_and_refuses_bare_labels() -> None:
    found = decoded([event(1, label=1), {"id": "r1", "label": 1, "ts": TS}], joining=False)

    assert [batch.joins for batch in found.batches] == [None]
    assert found.labels == ()
    assert [one.reason for one in found.rejections] == ["missing_key"]


def test_ids_predictions_and_labels_stand_beside_the_columns() -> None:
    found = decoded(
        [
            event(1, label=1),
            event(2, label=True),
            event(3, label="gold"),
            event(4, label=None),
            event(5, label=[1]),
            {"ts": TS, "prediction": 2.5},
            {"id": "", "ts": TS, "prediction": 2.5},
        ]
    )

    assert joins(found) == JoinColumns(
        ["r1", "r2", "r3", "r4", "r5", None, None],
        [0.5] * 5 + [2.5] * 2,
        [1.0, "true", "gold", None, None, None, None],
    )


def test_a_line_with_a_label_alone_is_a_label_and_no_event() -> None:
    found = decoded([event(1), {"id": "r0", "label": "late", "ts": TS + 9}, event(2)])

    assert labels(found) == [("r0", "late", TS + 9)]
    assert list(joins(found).ids) == ["r1", "r2"]
    assert found.rejections == []


def test_a_file_of_labels_alone_is_read_whole_blocks_at_a_time() -> None:
    count = 3 * BLOCK_BYTES // 40
    found = decoded([{"id": f"r{i}", "label": i % 2, "ts": TS + i} for i in range(count)])

    assert labels(found) == [(f"r{i}", float(i % 2), TS + i) for i in range(count)]
    assert found.batches == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param({"label": 1, "ts": TS}, "missing_key", id="no id"),
        pytest.param({"id": "r1", "ts": TS}, "missing_key", id="no label"),
        pytest.param({"id": "r1", "label": 1}, "missing_key", id="no time"),
        pytest.param({"id": "r1", "label": 1, "ts": -5}, "bad_time", id="no such time"),
        pytest.param({"id": 7, "label": 1, "ts": TS}, "wrong_type", id="an id that is no text"),
        pytest.param({"id": "r", "label": 1, "ts": TS, "model": "x"}, "wrong_model", id="another"),
    ],
)
def test_a_label_that_joins_nothing_is_rejected_with_a_reason(
    line: Mapping[str, object], reason: str
) -> None:
    found = decoded([line, event(1), {"id": "r1", "label": 0, "ts": TS + 5}])

    assert [one.reason for one in found.rejections] == [reason]
    assert labels(found) == [("r1", 0.0, TS + 5)]


def test_a_label_beside_a_line_that_must_be_looked_at_alone_is_read_all_the_same() -> None:
    found = decoded(
        [
            {"id": "r1", "label": {"class": 1}, "ts": TS},
            {"id": "r2", "label": 1, "ts": TS},
            event(3, label=1, prediction="\ud800"),
            {"nonsense": 1},
        ]
    )

    assert labels(found) == [("r1", None, TS), ("r2", 1.0, TS)]
    assert joins(found) == JoinColumns(["r3"], ["\ufffd"], [1.0])
    assert len(found.rejections) == 1


def test_predictions_that_are_no_scalar_are_not_joined() -> None:
    found = decoded([event(1), event(2, prediction=[0.1, 0.9]), event(3, prediction={"a": 1})])

    assert list(joins(found).predictions) == [0.5, None, None]


def test_blocks_and_versions_keep_their_rows_together() -> None:
    count = 2 * BLOCK_BYTES // 60
    found = decoded([event(i, version=str(i % 2), label=i) for i in range(count)])

    for batch in found.batches:
        assert batch.joins is not None
        numbers = range(int(batch.version), count, 2)
        assert list(batch.joins.ids) == [f"r{i}" for i in numbers]
        assert list(batch.joins.labels) == [float(i) for i in numbers]


def test_the_format_says_that_it_joins_labels() -> None:
    assert isinstance(KedgeFormat("m"), JoinsLabels)


TABLE = b"ts,id,age,prediction,target\n1772618400,r1,40,0.5,1\n1772618401,r2,41,0.7,\n"


@pytest.mark.parametrize("name", ["csv", "auto"])
def test_other_formats_hand_it_out_too(name: str) -> None:
    format_ = FORMATS[name]("m", options=FormatOptions())
    assert isinstance(format_, JoinsLabels)
    format_.join_labels()

    found = format_.decode(TABLE * 12)
    if name == "auto":
        again = FORMATS[name]("m", options=FormatOptions())
        assert isinstance(again, JoinsLabels)
        assert isinstance(again, Holding)
        assert isinstance(format_, Holding)
        again.join_labels()
        again.restore(format_.encode() or b"")
        found = again.decode(TABLE)

    [batch] = found.batches
    assert batch.joins is not None
    assert list(batch.joins.ids[:2]) == ["r1", "r2"]
    assert list(batch.joins.predictions[:2]) == [0.5, 0.7]
    assert list(batch.joins.labels[:2]) == [1.0, None]


def test_halves_of_an_event_are_joined_before_labels_join_them() -> None:
    format_ = KedgeFormat("m", options=FormatOptions())
    format_.join_labels()
    halves = [
        {"id": "r1", "ts": TS, "features": {"age": 40.0}},
        {"id": "r1", "ts": TS + 5, "label": 1},
        {"id": "r1", "ts": TS + 1, "prediction": 0.5},
        event(2, features={"age": 41.0}),
    ]

    found = format_.decode(b"".join(json.dumps(half).encode() + b"\n" for half in halves))

    assert labels(found) == [("r1", 1.0, TS + 5)]
    assert sorted(zip(joins(found).ids, joins(found).predictions, strict=True)) == [
        ("r1", 0.5),
        ("r2", 0.5),
    ]
