"""The Open Inference Protocol over HTTP: health, metadata, tensors in and out."""

# ruff: noqa: ANN401 - bodies are any JSON

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scoring.answering.live import Live, load_served
from scoring.answering.v2 import DTYPES, Tensor, V2Error, array_of
from scoring.log.log_file import LogFile
from scoring.log.metrics import LOG_SOURCE, ScoringMetrics
from scoring.log.prediction_log import PredictionLog
from scoring.web.server import ScoringServer
from tests.scoring.served import logged, until

Client: TypeAlias = TestClient[web.Request, web.Application]
ROWS = [[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, 3.0, 4.0]]


@pytest.fixture
async def client(
    request: pytest.FixtureRequest, model_folders: Path, tmp_path: Path
) -> AsyncIterator[Client]:
    name = getattr(request, "param", "framed")
    metrics = ScoringMetrics()
    log = PredictionLog(
        LogFile(tmp_path / "log.jsonl"),
        shed=metrics.shed_events.labels(LOG_SOURCE),
        failures=metrics.log_failures,
    )
    log.start()
    live = Live(load_served(model_folders / name, "flight", "7", checked=False))
    server = ScoringServer(live, metrics, log, body_bytes_max=10_000)
    async with TestClient(TestServer(server.app())) as client:
        yield client
    server.close()
    log.close(5)


def tensor(name: str, data: Any, shape: list[int], datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def columns() -> list[dict[str, Any]]:
    named = zip("abcd", zip(*ROWS, strict=True), strict=True)
    return [tensor(name, list(cells), [2]) for name, cells in named]


async def infer(
    client: Client, body: Any, path: str = "/v2/models/flight/infer"
) -> tuple[int, Any]:
    response = await client.post(path, data=body if isinstance(body, bytes) else json.dumps(body))
    return response.status, await response.json()


async def test_health_and_the_server_are_told(client: Client) -> None:
    for path, expected in {
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        "/v2/models/flight/ready": {"name": "flight", "ready": True},
        "/v2/models/flight/versions/7/ready": {"name": "flight", "ready": True},
    }.items():
        response = await client.get(path)
        assert (response.status, await response.json()) == (200, expected)
    server = await (await client.get("/v2")).json()
    assert (server["name"], server["extensions"]) == ("kedge", [])


async def test_metadata_are_the_signature(client: Client) -> None:
    response = await client.get("/v2/models/flight")

    told = await response.json()
    assert (told["name"], told["versions"]) == ("flight", ["7"])
    assert told["inputs"] == [{"name": n, "datatype": "FP64", "shape": [-1]} for n in "abcd"]
    assert [output["datatype"] for output in told["outputs"]] == ["INT64"]
    _, answer = await infer(client, {"inputs": columns()})
    assert [one["name"] for one in told["outputs"]] == [one["name"] for one in answer["outputs"]]


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/flight/versions/8"])
async def test_another_model_or_version_is_not_found(client: Client, path: str) -> None:
    for response in (
        await client.get(path),
        await client.get(f"{path}/ready"),
        await client.post(f"{path}/infer", json={}),
    ):
        assert response.status == 404
        assert list(await response.json()) == ["error"]


@pytest.mark.parametrize(
    "inputs",
    [
        columns(),
        [{**column, "shape": [2, 1]} for column in reversed(columns())],
        [tensor("input-0", ROWS, [2, 4])],
        [tensor("input-0", [cell for row in ROWS for cell in row], [2, 4])],
        [tensor("input-0", ROWS, [2, 4], "FP32")],
        [tensor("input-0", [[1, 2, 3, 4], [-1, -2, 3, 4]], [2, 4], "INT8")],
    ],
    ids=["columns", "columns of two axes", "a matrix", "a flat matrix", "floats", "bytes"],
)
async def test_rows_come_as_columns_or_as_a_matrix(client: Client, inputs: Any) -> None:
    status, answer = await infer(client, {"id": "q", "inputs": inputs})

    assert status == 200
    assert answer == {
        "model_name": "flight",
        "model_version": "7",
        "id": "q",
        "outputs": [{"name": "output-1", "shape": [2], "datatype": "INT64", "data": [1, 0]}],
    }


async def test_an_id_may_be_null(client: Client) -> None:
    assert (await infer(client, {"id": None, "inputs": columns()}))[0] == 200


async def test_answers_are_logged_like_any_other(client: Client, tmp_path: Path) -> None:
    await client.post(
        "/v2/models/flight/versions/7/infer",
        json={"inputs": columns()},
        headers={"X-Request-Id": "r"},
    )

    until(lambda: [event["id"] for event in logged(tmp_path / "log.jsonl")] == ["r#0", "r#1"])
    assert [event["prediction"] for event in logged(tmp_path / "log.jsonl")] == [1, 0]


@pytest.mark.parametrize("client", ["tensor"], indirect=True)
async def test_a_model_of_tensors_takes_its_tensor(client: Client) -> None:
    status, answer = await infer(client, {"inputs": [tensor("any", ROWS, [2, 4])]})

    (output,) = answer["outputs"]
    assert (status, output["shape"], output["datatype"]) == (200, [2, 2], "FP64")
    assert [share > 0.5 for share in output["data"]] == [False, True, True, False]


@pytest.mark.parametrize("client", ["tensor"], indirect=True)
async def test_a_tensor_without_rows_keeps_its_shape(client: Client) -> None:
    status, answer = await infer(client, {"inputs": [tensor("any", [], [0, 4])]})

    # The shape was right, and it is the model that wants a row.
    assert (status, "minimum of 1" in answer["error"]) == (400, True)


@pytest.mark.parametrize("client", ["mixed"], indirect=True)
async def test_columns_have_types_of_their_own(client: Client) -> None:
    inputs = [
        tensor("age", [40], [1], "INT64"),
        tensor("income", [1.5], [1], "FP32"),
        tensor("city", ["Rome"], [1], "BYTES"),
        tensor("member", [True], [1], "BOOL"),
    ]

    assert (await infer(client, {"inputs": inputs}))[1]["outputs"][0]["data"] == [1]


@pytest.mark.parametrize("client", ["nan"], indirect=True)
async def test_an_output_that_is_no_number_is_null(client: Client) -> None:
    assert (await infer(client, {"inputs": columns()}))[1]["outputs"][0]["data"] == [None, None]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        ([], 400),
        ({}, 400),
        (b'"\xe9"', 400),
        ({"inputs": []}, 400),
        ({"inputs": [{"name": "a"}]}, 400),
        ({"inputs": [*columns(), columns()[0]]}, 400),
        ({"inputs": columns()[:3]}, 400),
        ({"inputs": [tensor("x", ROWS, [2, 3])]}, 400),
        ({"inputs": [tensor("x", [[1, 2]], [1, 2])]}, 400),
        ({"inputs": [tensor("x", ROWS, [-2, -4])]}, 400),
        ({"inputs": [tensor("x", ROWS, [2, 4], "FP8")]}, 400),
        ({"inputs": [tensor("x", ROWS, [2, 4], "INT64")]}, 400),
        ({"inputs": [tensor("x", [[1, 2], [3]], [3])]}, 400),
        ({"inputs": columns(), "outputs": [{"name": "other"}]}, 400),
        (b" " * 20_000, 413),
        (b"[" * 9_000, 400),
    ],
)
async def test_bad_input_gets_the_error_of_the_protocol(
    client: Client, body: Any, status: int
) -> None:
    answered, answer = await infer(client, body)

    assert (answered, list(answer)) == (status, ["error"])
    assert (await infer(client, {"inputs": columns()}))[0] == 200


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_type_of_number_is_read(datatype: str) -> None:
    data: list[Any] = [True, False] if datatype == "BOOL" else [1, 0]

    array = array_of(Tensor("x", [2, 1], datatype, data))

    assert array.dtype == DTYPES[datatype]
    assert array.tolist() == [[data[0]], [data[1]]]


def test_the_largest_whole_numbers_are_kept_beside_small_ones() -> None:
    data = [2**64 - 1, 1]

    assert array_of(Tensor("x", [2], "UINT64", data)).tolist() == data


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        *(("INT8", [300]), ("UINT8", [-1]), ("INT64", [1.5]), ("INT64", [2**63])),
        *(("BOOL", [1]), ("FP64", ["1"]), ("FP64", [None]), ("BYTES", [1]), ("FP64", 1)),
        *(
            ("INT64", [True]),
            ("FP32", [1, 2]),
            ("FP16", [1e6]),
            ("FP16", [70_000]),
            ("FP32", [1e39]),
        ),
    ],
)
def test_values_that_are_not_of_the_type_are_refused(datatype: str, data: Any) -> None:
    with pytest.raises(V2Error):
        array_of(Tensor("x", [1], datatype, data))
