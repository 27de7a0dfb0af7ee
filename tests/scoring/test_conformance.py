"""The same requests to `mlflow models serve` and to Kedge: statuses, bodies, error codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from monitor.demo.mlflow_server import free_port
from tests.scoring.served import Reply, ask, serving, until

pytestmark = pytest.mark.real

START_TIMEOUT_S = 120.0


@contextlib.contextmanager
def mlflow_serving(model: Path, folder: Path) -> Iterator[str]:
    """Run MLflow's own scoring server on a model folder; yield its URL."""
    port = free_port()
    with (folder / "mlflow.out").open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"),
                *("--model-uri", str(model), "--host", "127.0.0.1", "--port", str(port)),
            ],
            stdout=output,
            stderr=output,
            env=os.environ
            # It starts uvicorn through a shell.
            | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url, process), timeout_s=START_TIMEOUT_S)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "mlflow models serve ended"
    with contextlib.suppress(urllib.error.URLError, OSError):
        return ask(f"{url}/ping").status == 200
    return False


@pytest.fixture(scope="module", params=["framed", "mixed", "tensor", "scale", "unsigned"])
def pair(
    request: pytest.FixtureRequest, model_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """Which model is served, the URL of MLflow's server, and the URL of ours."""
    folder = tmp_path_factory.mktemp("conformance")
    model = model_folders / request.param
    with (
        mlflow_serving(model, folder) as theirs,
        serving(folder, model_uri=str(model)) as ours,
    ):
        yield request.param, theirs, ours.url


NAMES = list("abcd")
ROW = [1.0, 2.0, 3.0, 4.0]
RECORD = dict(zip(NAMES, ROW, strict=True))
COLUMNS = {name: [value, value] for name, value in RECORD.items()}
MIXED = {"age": 40, "income": 1.5, "city": "Rome", "member": True}

JSON_BODIES: dict[str, object] = {
    "split": {"dataframe_split": {"columns": NAMES, "data": [ROW, ROW]}},
    "split with an index": {"dataframe_split": {"columns": NAMES, "index": [7], "data": [ROW]}},
    "split in another order": {"dataframe_split": {"columns": NAMES[::-1], "data": [ROW]}},
    "split with a column more": {
        "dataframe_split": {"columns": [*NAMES, "z"], "data": [[*ROW, "q"]]}
    },
    "split with a column less": {"dataframe_split": {"columns": NAMES[:3], "data": [ROW[:3]]}},
    "split without names": {"dataframe_split": {"data": [ROW]}},
    "split without rows": {"dataframe_split": {"columns": NAMES, "data": []}},
    "split with a long row": {"dataframe_split": {"columns": NAMES, "data": [[*ROW, 1]]}},
    "split with a short row": {"dataframe_split": {"columns": NAMES, "data": [ROW, ROW[:2]]}},
    "split without data": {"dataframe_split": {"columns": NAMES}},
    "split with a strange key": {"dataframe_split": {"columns": NAMES, "data": [ROW], "x": 1}},
    "split that is an array": {"dataframe_split": [1]},
    "records": {"dataframe_records": [RECORD, RECORD]},
    "records of whole numbers": {"dataframe_records": [dict.fromkeys(NAMES, 2)]},
    "records of strings and booleans": {
        "dataframe_records": [dict(zip(NAMES, ["1", "2.5", True, 3], strict=True))]
    },
    "records with a word": {"dataframe_records": [RECORD | {"a": "x"}]},
    "records with a null": {"dataframe_records": [RECORD | {"a": None}]},
    "records with an object": {"dataframe_records": [RECORD | {"a": {"y": 1}}]},
    "records with a hole": {"dataframe_records": [RECORD, {"a": 1.0}]},
    "records that are an object": {"dataframe_records": RECORD},
    "inputs by column": {"inputs": COLUMNS},
    "inputs of single values": {"inputs": RECORD},
    "inputs by column, uneven": {"inputs": COLUMNS | {"a": [1.0]}},
    "inputs by column, one missing": {"inputs": {"a": [1.0]}},
    "inputs by column, nested": {"inputs": {name: [[1.0]] for name in NAMES}},
    "inputs by row": {"inputs": [ROW]},
    "inputs of records": {"inputs": [RECORD]},
    "inputs that are nothing": {"inputs": []},
    "inputs that are a word": {"inputs": "x"},
    "inputs that are a number": {"inputs": 3},
    "instances by row": {"instances": [ROW, ROW]},
    "instances of records": {"instances": [RECORD, RECORD]},
    "instances by column": {"instances": COLUMNS},
    "instances by column, uneven": {"instances": COLUMNS | {"a": [1.0]}},
    "inputs by column, one more": {"inputs": COLUMNS | {"z": ["q", "r"]}},
    "inputs by column, one more of one value": {"inputs": COLUMNS | {"z": 1}},
    "inputs beside another key": {"inputs": COLUMNS, "foo": 1},
    "two kinds of data": {"inputs": [ROW], "instances": [ROW]},
    "no data": {"foo": 1},
    "another key beside the data": {"dataframe_records": [RECORD], "foo": 1},
    "params": {"dataframe_records": [RECORD], "params": {"x": 1}},
    "params of a wrong type": {"dataframe_records": [RECORD], "params": {"factor": "x"}},
    "params given": {"dataframe_records": [RECORD], "params": {"factor": 4.0}},
    "params, a whole number": {"dataframe_records": [RECORD], "params": {"factor": 4}},
    "params, null": {"dataframe_records": [RECORD], "params": None},
    "params that are an array": {"dataframe_records": [RECORD], "params": [1]},
    "params beside instances": {"instances": [{"a": 3.0}], "params": {"factor": 0.5}},
    "empty records": {"dataframe_records": []},
    "a huge whole number": {"dataframe_records": [RECORD | {"a": 2**70}]},
    "a tiny number": {"dataframe_records": [RECORD | {"a": 1e-320}]},
    "names that are numbers": {"dataframe_split": {"columns": [0, 1, 2, 3], "data": [ROW]}},
    "deeply nested": {"inputs": [[[[[[1.0]]]]]]},
    "mixed, out of order": {"dataframe_records": [dict(reversed(MIXED.items()))]},
    "a language model's request": {"messages": [{"role": "user", "content": "x"}]},
    "an array": [1],
    "a number": 3,
    "another language model's request": {"input": 1.0, "dataframe_records": [RECORD]},
    "split with labels": {"dataframe_split": {"columns": NAMES, "index": ["x"], "data": [ROW]}},
    "split of columns": {"dataframe_split": {"data": {n: [v] for n, v in RECORD.items()}}},
    "split without anything": {"dataframe_split": {"columns": NAMES, "data": None}},
    "instances of words": {"instances": {"a": ["x"], "b": [1]}},
    "mixed": {"dataframe_records": [MIXED]},
    "mixed, split": {"dataframe_split": {"columns": list(MIXED), "data": [list(MIXED.values())]}},
    "mixed, a fraction for a whole number": {"dataframe_records": [MIXED | {"age": 4.75}]},
    "mixed, a string for a whole number": {"dataframe_records": [MIXED | {"age": "41"}]},
    "mixed, null for a whole number": {"dataframe_records": [MIXED | {"age": None}]},
    "mixed, a number for a string": {"dataframe_records": [MIXED | {"city": 3}]},
    "mixed, a string for a boolean": {"dataframe_records": [MIXED | {"member": "false"}]},
    "mixed, an unknown city": {"dataframe_records": [MIXED | {"city": "Bern"}]},
    "mixed, by column": {"inputs": {name: [value] for name, value in MIXED.items()}},
    "mixed, by row": {"instances": [MIXED, MIXED | {"city": "Oslo"}]},
}


def essence(reply: Reply) -> tuple[int, object, object]:
    """Return what a client goes by: status, type, and the body or an error's code and class."""
    content_type = reply.headers["Content-Type"]
    if reply.status == 200:
        # The bare word is an accident that ours does not repeat unless told to; see below.
        return reply.status, content_type, reply.body.replace(b"NaN", b"null")
    if not content_type.startswith("application/json"):
        return reply.status, content_type, None
    error: dict[str, Any] = json.loads(reply.body)
    kept = {k: v for k, v in error.items() if k in ("error_code", "sqlstate", "error_class")}
    return reply.status, content_type, kept or error


@pytest.mark.parametrize("body", JSON_BODIES.values(), ids=JSON_BODIES.keys())
def test_a_json_request_gets_the_answer_of_mlflow(pair: tuple[str, str, str], body: object) -> None:
    _, theirs, ours = pair

    expected, actual = (essence(ask(f"{url}/invocations", body)) for url in (theirs, ours))

    assert actual == expected


RAW = {
    "invalid JSON": (b"{", "application/json"),
    "JSON that is not UTF-8": (b'"\xe9"', "application/json"),
    "CSV with a cell more": (b"a,b,c,d\n1,2,3,4,5\n", "text/csv"),
    "CSV of digits": (b"age,income,city,member\n40,1.5,007,True\n", "text/csv"),
    "CSV of UTF-16": ("a,b,c,d\n1,2,3,4\n".encode("utf-16"), "text/csv"),
    "CSV with a byte order mark": (b"\xef\xbb\xbfa,b,c,d\n1,2,3,4\n", "text/csv"),
    "no body": (b"", "application/json"),
    "NaN": (b'{"dataframe_records": [{"a": NaN, "b": 2, "c": 3, "d": 4}]}', "application/json"),
    "a charset": (json.dumps(JSON_BODIES["records"]).encode(), "application/json; charset=utf-8"),
    "another charset": (b"{}", "application/json; charset=latin1"),
    "a strange parameter": (b"{}", "application/json; format=pandas-split"),
    "capitals": (b"{}", "Application/JSON"),
    "another type": (b"x", "text/plain"),
    "CSV": (b"a,b,c,d\n1,2,3,4\n5,6,7,8\n", "text/csv"),
    "CSV in another order": (b"z,d,c,b,a\nq,1,2,3,4\n", "text/csv"),
    "CSV with a column less": (b"a,b,c\n1,2,3\n", "text/csv"),
    "CSV with a word": (b"a,b,c,d\nx,2,3,4\n", "text/csv"),
    "CSV with a gap": (b"a,b,c,d\n,2,3,4\n", "text/csv"),
    "CSV of nothing": (b"", "text/csv"),
    "CSV of a header": (b"a,b,c,d\n", "text/csv"),
    "CSV that is not UTF-8": (b"a,b,c,d\n\xff,2,3,4\n", "text/csv"),
    "a charset in capitals": (
        json.dumps(JSON_BODIES["records"]).encode(),
        "application/json;charset=UTF-8",
    ),
    "CSV with a charset": (b"a,b,c,d\n1,2,3,4\n", "text/csv; charset=utf-8"),
    "CSV with another charset": (b"a,b,c,d\n1,2,3,4\n", "text/csv; charset=ascii"),
    "CSV with quotes": (b'"a","b","c","d"\n"1","2","3","4"\n', "text/csv"),
    "CSV with line ends of Windows": (b"a,b,c,d\r\n1,2,3,4\r\n", "text/csv"),
    "duplicate keys": (b'{"inputs": [1], "inputs": [[1.0, 2.0, 3.0, 4.0]]}', "application/json"),
    "an empty parameter": (b"{}", "application/json;"),
    "no slash": (b"{}", "json"),
    "JSON after the JSON": (b"{} {}", "application/json"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "application/json"),
    "mixed CSV": (b"age,income,city,member\n40,1.5,Rome,True\n41,2,Oslo,False\n", "text/csv"),
    "mixed CSV with a fraction": (b"age,income,city,member\n4.5,1,Rome,True\n", "text/csv"),
}


@pytest.mark.parametrize(("body", "content_type"), RAW.values(), ids=RAW.keys())
def test_other_bytes_get_the_answer_of_mlflow(
    pair: tuple[str, str, str], body: bytes, content_type: str
) -> None:
    _, theirs, ours = pair

    expected, actual = (
        essence(ask(f"{url}/invocations", body, content_type=content_type))
        for url in (theirs, ours)
    )

    assert actual == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("GET", "/health"),
        ("GET", "/version"),
        ("HEAD", "/ping"),
        ("POST", "/ping"),
        ("GET", "/invocations"),
        ("GET", "/nothing"),
        ("GET", "/ping?x=1"),
        ("OPTIONS", "/invocations"),
        ("POST", "/invocations/"),
        ("PUT", "/ping/"),
        ("POST", "/nothing/"),
        ("POST", "/"),
    ],
)
def test_the_other_endpoints_answer_as_mlflow_does(
    pair: tuple[str, str, str], method: str, path: str
) -> None:
    _, theirs, ours = pair

    expected, actual = (ask(f"{url}{path}", method=method) for url in (theirs, ours))

    assert (actual.status, actual.body) == (expected.status, expected.body)
    assert actual.headers["Content-Type"] == expected.headers["Content-Type"]
    assert actual.headers["Allow"] == expected.headers["Allow"]
    redirected = [reply.headers["Location"] or "" for reply in (expected, actual)]
    assert urlsplit(redirected[0]).path == urlsplit(redirected[1]).path


def parquet(columns: dict[str, object]) -> bytes:
    import pandas as pd  # noqa: PLC0415 - slow to import

    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file)
    return file.getvalue()


PARQUET: dict[str, Callable[[], bytes]] = {
    "doubles": lambda: parquet({name: [value, value] for name, value in RECORD.items()}),
    "one column less": lambda: parquet({"a": [1.0]}),
    "floats": lambda: parquet({name: np.array([1], "float32") for name in NAMES}),
    "whole numbers": lambda: parquet({name: [2] for name in NAMES}),
    "zeros and ones": lambda: parquet({name: [1] for name in NAMES}),
    "small whole numbers": lambda: parquet({name: np.array([2], "int16") for name in NAMES}),
    "words": lambda: parquet({name: ["1"] for name in NAMES}),
    "mixed": lambda: parquet({name: [value] for name, value in MIXED.items()}),
    "mixed, a fraction": lambda: parquet({n: [v] for n, v in (MIXED | {"age": 4.0}).items()}),
    "not Parquet": lambda: b"PAR1",
}


@pytest.mark.parametrize("made", PARQUET.values(), ids=PARQUET.keys())
def test_a_parquet_file_gets_the_answer_of_mlflow(
    pair: tuple[str, str, str], made: Callable[[], bytes]
) -> None:
    _, theirs, ours = pair
    sent = made()

    expected, actual = (
        essence(ask(f"{url}/invocations", sent, content_type="application/vnd.apache.parquet"))
        for url in (theirs, ours)
    )

    assert actual == expected


def test_the_accidents_of_mlflow_are_repeated_when_asked_for(
    model_folders: Path, tmp_path: Path
) -> None:
    """One model, three accidents: a bare NaN, a number that wraps, and a stack trace."""
    nan = {"dataframe_records": [RECORD]}
    wraps = {"dataframe_records": [MIXED | {"age": 2**63}]}
    fails = {"dataframe_records": [MIXED | {"income": None}]}

    for name, bodies in (("nan", [nan]), ("mixed", [wraps, fails])):
        folder = tmp_path / name
        folder.mkdir()
        model = str(model_folders / name)
        with (
            mlflow_serving(model_folders / name, folder) as theirs,
            serving(folder, model_uri=model, mlflow_accidents=True) as ours,
        ):
            for body in bodies:
                expected, actual = (ask(f"{url}/invocations", body) for url in (theirs, ours.url))
                assert actual.status == expected.status
                if expected.status == 200:
                    assert actual.body == expected.body
                else:
                    assert "Traceback" in actual.json()["stack_trace"]
                    assert actual.json().keys() == expected.json().keys()
