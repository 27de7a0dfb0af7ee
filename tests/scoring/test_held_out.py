"""Requests that nobody thought of, to `mlflow models serve` and to Kedge.

The models answer with what they were given, so that whatever one server makes of a request
otherwise than the other is in the answer. Hypothesis makes the requests, always the same ones.
"""

# ruff: noqa: ANN401 - requests are any JSON

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scoring.echo_models import TYPES
from tests.scoring.served import ROOT, Reply, ask, serving
from tests.scoring.test_conformance import mlflow_serving

pytestmark = [pytest.mark.real, pytest.mark.slow]

MODELS = ("columns", "unnamed", "tensors", "open", "nested", "hinted")


@pytest.fixture(scope="module")
def echo_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("echo")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.scoring.echo_models", str(folder)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        timeout=240,
    )
    return folder


@pytest.fixture(scope="module", params=MODELS)
def pair(
    request: pytest.FixtureRequest, echo_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The URL of MLflow's server, and the URL of ours."""
    folder = tmp_path_factory.mktemp("pair")
    model = echo_folders / request.param
    with mlflow_serving(model, folder) as theirs, serving(folder, model_uri=str(model)) as ours:
        yield theirs, ours.url


def finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


def essence(reply: Reply) -> tuple[int, str, Any]:
    content_type = reply.headers["Content-Type"]
    if not content_type.startswith("application/json"):
        return reply.status, content_type, None
    if reply.status == 200:
        return reply.status, content_type, json.dumps(finite(reply.json()))
    error = reply.json()
    return reply.status, content_type, [error[k] for k in ("error_code", "sqlstate", "error_class")]


def compare(pair: tuple[str, str], body: object, content_type: str = "application/json") -> None:
    theirs, ours = (ask(f"{url}/invocations", body, content_type=content_type) for url in pair)
    if theirs.status == 500:
        # MLflow has failed inside: an answer with a reason, or even the right one, is better.
        assert ours.status in (200, 400, 500)
        assert "Traceback" not in ours.body.decode()
    elif ours.status == 400 and "is outside of" in ours.json()["message"]:
        # A number that MLflow makes another one: refused on purpose.
        assert theirs.status in (200, 400)
    else:
        assert essence(ours) == essence(theirs)


GOOD = (1, 2, 0.5, 1.5, True, "a", "2026-11-21T10:00:00", "aGk=")
CELLS = dict(zip(TYPES, GOOD, strict=True))
MORE: dict[str, Any] = {
    "pair": [1.0, 2.0],
    "count": 1,
    "list": [1.0],
    "object": {"x": 1},
    "map": {},
}
NAMES = [*TYPES, *MORE, "more"]

numbers = st.sampled_from(
    [0, -1, 1.5, 4.75, 2**31, 2**53 + 1, 2**63, 2**64, 1e308, 5e-324, -0.0, math.nan, math.inf]
)
texts = st.sampled_from(
    ["", "1", "1.5", " 1 ", "x", "false", "NaN", "1e3", "0x10", "é", "aGk", "=", "2026-11-21",
     "2026-11-21T10:00:00Z", "20261121", "2026-13-01"]
)  # fmt: skip
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, [], [1], [1, 2], [[1]], ["a"], {}, {"x": 1}, {"x": "a"}, [None]]
)
cells: st.SearchStrategy[Any] = numbers | texts | odd


#: The inputs of the models.
KNOWN = [list(TYPES), ["pair", "count"], ["list", "object", "map"], ["0", "1"]]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns of some model here, with few things wrong; all of one length, mostly."""
    known = draw(st.sampled_from(KNOWN))
    good: dict[str, Any] = CELLS | MORE | {"0": 1.5, "1": "a"}
    rows = draw(st.integers(0, 3))
    made: dict[str, Any] = {name: [good[name]] * rows for name in known}
    for name in draw(st.lists(st.sampled_from(known), max_size=2)):
        if rows:
            made[name] = [*made[name][:-1], draw(cells)]
    change = draw(
        st.sampled_from(["nothing", "nothing", "less", "more", "longer", "order", "value"])
    )
    some = draw(st.sampled_from(known))
    if change == "less":
        del made[some]
    elif change == "more":
        made["more"] = [draw(cells) for _ in range(rows)]
    elif change == "longer":
        made[some] = [*made[some], good[some]]
    elif change == "order":
        made = dict(reversed(made.items()))
    elif change == "value":
        made[some] = draw(cells)
    return made


def as_rows(made: dict[str, Any]) -> list[dict[str, Any]]:
    length = max((len(cells) for cells in made.values() if isinstance(cells, list)), default=0)
    return [
        {
            name: cells[row]
            for name, cells in made.items()
            if isinstance(cells, list) and row < len(cells)
        }
        for row in range(length)
    ]


LABELS = st.sampled_from([["x"], ["x", "y"], [1.5], [7], "q", None, []])
DATA: st.SearchStrategy[Any] = st.sampled_from(
    [None, {}, {"long": [1]}, [{"long": 1}], [1, 2], "x", [[]], [None]]
)
NAMED: st.SearchStrategy[Any] = st.sampled_from(
    [None, [], "ab", [1.5], [["long"]], ["long", "long"], {"long": 1}]
)
PARAMS = st.sampled_from(
    [*({"factor": value} for value in (3, "x", None)), *({"tags": v} for v in ([], [1], None)), "x"]
)


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    made = draw(columns())
    rows = as_rows(made)
    cells_by_row = [[row.get(name) for name in made] for row in rows]
    split: dict[str, Any] = {"columns": list(made), "data": cells_by_row}
    field = draw(st.sampled_from(["inputs", "instances"]))
    shapes: dict[str, Any] = {
        "split": {"dataframe_split": split},
        "unnamed": {"dataframe_split": {"data": cells_by_row}},
        "index": {"dataframe_split": split | {"index": draw(LABELS)}},
        "split data": {"dataframe_split": split | {"data": draw(DATA)}},
        "split names": {"dataframe_split": split | {"columns": draw(NAMED)}},
        "records": {"dataframe_records": rows},
        "records and more": {"dataframe_records": [*rows, draw(cells)]},
        "columns": {field: made},
        "instances": {field: rows},
        "rows": {field: cells_by_row},
        "value": {field: draw(cells)},
        "language": {draw(st.sampled_from(["messages", "prompt", "input"])): draw(cells), **made},
        "params": {"dataframe_records": rows, "params": draw(PARAMS)},
    }
    return shapes[draw(st.sampled_from(list(shapes)))]


many = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@many
@given(body=bodies())
def test_any_json_gets_the_answer_of_mlflow(pair: tuple[str, str], body: Any) -> None:
    compare(pair, body)


csv_cells = st.sampled_from(
    ["1", "2.5", "x", "", "NA", "true", '"a,b"', '""', " 1", "1e400", "99999999999999999999", "é",
     "2026-11-21", "007", "None", "#"]
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from([*NAMES, "0", "1"]), min_size=1, max_size=9))
    if draw(st.booleans()):
        names = list(TYPES)
    width = len(names) + draw(st.sampled_from([0, 0, 0, 1, -1]))
    rows = draw(st.lists(st.lists(csv_cells, min_size=width, max_size=width), max_size=3))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    start = draw(st.sampled_from(["", "", "", "\ufeff", "\n", " "]))
    text = start + end.join([",".join(names), *(",".join(row) for row in rows)]) + end
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1"])), "replace")


@many
@given(body=files())
def test_any_csv_gets_the_answer_of_mlflow(pair: tuple[str, str], body: bytes) -> None:
    compare(pair, body, "text/csv")


@pytest.mark.parametrize(
    "body",
    [
        b'"\xe9"',
        b'{"inputs": "\\ud800"}',
        b'{"inputs": [1e400, -0.0, 12345678901234567890.0]}',
        b'{"inputs": {"a": 1, "a": [2]}}',
        b'{"inputs": [NaN, Infinity, -Infinity]}',
        '{"inputs": ["é"]}'.encode("utf-16"),
        b'\xef\xbb\xbf{"inputs": [1]}',
        b'{"inputs": [1]}\x00',
        b'{"inputs": [1]} \n',
        b'{"inputs": [01]}',
        b"{'inputs': [1]}",
        b'{"inputs": [1,]}',
    ],
)
def test_any_spelling_gets_the_answer_of_mlflow(pair: tuple[str, str], body: bytes) -> None:
    compare(pair, body)
