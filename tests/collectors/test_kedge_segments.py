"""What a prediction log hands out of the segments that its events carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from collectors.batch import Decoded
from collectors.formats.kedge import BLOCK_BYTES, KedgeFormat
from collectors.formats.options import FormatOptions
from collectors.kinds import FORMATS
from collectors.segments import ReadsSegments

TS = 1_772_618_400.0


def event(number: int, **more: object) -> dict[str, object]:
    return {"id": f"r{number}", "ts": TS + number, "features": {"x": 0.5}, **more}


def lines(events: Sequence[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def decoded(events: Sequence[Mapping[str, object]], *keys: str) -> Decoded:
    format_ = KedgeFormat("m")
    if keys:
        format_.read_segments(keys)
    return format_.decode(lines(events))


def test_unless_asked_for_it_hands_out_no_segments() -> None:
    [batch] = decoded([event(1, segment={"country": "DE"})]).batches

    assert batch.segments == {}


def test_values_of_the_keys_asked_for_stand_beside_the_rows() -> None:
    [batch] = decoded(
        [
            event(1, segment={"country": "DE", "plan": "gold", "age": "7"}),
            event(2, segment={"plan": "basic"}),
            event(3),
            event(4, segment={"country": "FR"}),
        ],
        *("country", "plan"),
    ).batches

    assert batch.segments == {
        "country": ["DE", None, None, "FR"],
        "plan": ["gold", "basic", None, None],
    }


@pytest.mark.parametrize("segment", ["DE", 7, ["DE"], {"country": 7}, {"country": {}}, None, {}])
def test_a_segment_of_another_shape_is_none_and_the_event_stands(segment: object) -> None:
    found = decoded([event(1, segment={"country": "DE"}), event(2, segment=segment)], "country")

    assert not found.rejections
    [batch] = found.batches
    assert batch.segments == {"country": ["DE", None]}


def test_a_line_that_is_looked_at_alone_keeps_its_segment() -> None:
    wrong = event(1, segment={"country": "DE"}) | {"features": {"x": "no number"}}

    [batch] = decoded([event(0), wrong], "country").batches

    assert batch.segments == {"country": [None, "DE"]}


def test_many_blocks_of_many_versions_give_each_row_its_own_segment() -> None:
    count = 3 * BLOCK_BYTES // len(lines([event(1, version="1", segment={"country": "c1"})]))
    found = decoded(
        [event(i, version=str(i % 2), segment={"country": f"c{i % 7}"}) for i in range(count)],
        "country",
    )

    for batch in found.batches:
        numbers = np.rint(batch.ts - TS).astype(int)
        assert batch.segments["country"] == [f"c{number % 7}" for number in numbers]


def test_parts_of_a_batch_have_the_segments_of_their_rows() -> None:
    [batch] = decoded([event(i, segment={"country": str(i)}) for i in range(5)], "country").batches

    assert batch.take(slice(1, 3)).segments == {"country": ["1", "2"]}
    assert batch.pick(np.array([4, 0])).segments == {"country": ["4", "0"]}


def test_halves_of_an_event_keep_the_segment_of_either() -> None:
    format_ = KedgeFormat("m", options=FormatOptions())
    format_.read_segments(["country"])

    [batch] = format_.decode(
        lines(
            [
                event(1, segment={"country": "DE"}),
                {"id": "r1", "ts": TS + 1.1, "prediction": 0.5},
            ]
        )
    ).batches

    assert batch.segments == {"country": ["DE"]}


def test_segments_are_handed_out_after_the_columns_are_fixed_anew() -> None:
    format_ = KedgeFormat("m")
    format_.read_segments(["country"])
    format_.decode(lines([event(1, segment={"country": "DE"})]))

    format_.fix(format_.schema)
    [batch] = format_.decode(lines([event(2, segment={"country": "FR"})])).batches

    assert batch.segments == {"country": ["FR"]}


def test_the_format_that_tells_itself_hands_out_segments_too() -> None:
    format_ = FORMATS["auto"]("m", None, columns_max=10, options=FormatOptions())
    assert isinstance(format_, ReadsSegments)
    format_.read_segments(["country"])

    found = format_.decode(
        lines([event(i, prediction=1, segment={"country": "DE"}) for i in range(200)])
    )

    assert set(found.batches[0].segments["country"]) == {"DE"}
