"""The alias moves while callers are served by a real process, with a real registry behind it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from collectors.registry.client import MlflowRegistry, RegistryTransientError
from tests.scoring.served import Served, ask, children, logged, serving, until

pytestmark = pytest.mark.real

NAME = "scoring-plain"
#: More than a process takes to start on a busy machine, and not too long to wait for.
LOAD_TIMEOUT_S = 20.0
#: Version 1 answers 1 to this row, version 2 was trained on the opposite.
ROW = {"dataframe_split": {"columns": list("abcd"), "data": [[5.0, 5.0, 0.0, 0.0]]}}


@pytest.fixture
async def registry(registry_uri: str) -> AsyncIterator[MlflowRegistry]:
    async with MlflowRegistry(registry_uri) as registry:
        yield registry


@pytest.fixture
async def served(
    registry: MlflowRegistry, registry_uri: str, tmp_path: Path
) -> AsyncIterator[Served]:
    await point(registry, "1")
    with serving(
        tmp_path,
        model_uri=f"models:/{NAME}@champion",
        tracking_uri=registry_uri,
        log=tmp_path / "predictions.jsonl",
    ) as served:
        yield served


async def point(registry: MlflowRegistry, version: str) -> None:
    """Move the alias; once more if MLflow hung up on a connection that had been idle."""
    try:
        await registry.set_alias(NAME, "champion", version)
    except RegistryTransientError:
        await registry.set_alias(NAME, "champion", version)


def version_of(served: Served) -> str:
    return str(ask(f"{served.url}/ping").headers["X-Kedge-Version"])


async def until_version(served: Served, version: str) -> None:
    await asyncio.to_thread(until, lambda: version_of(served) == version)


@dataclass(slots=True)
class Load:
    """Callers that ask all the time, and what they were answered."""

    url: str
    replies: list[tuple[str, int, str, object]] = field(default_factory=list)
    stopped: bool = False

    async def caller(self, number: int) -> None:
        async with ClientSession() as session:
            count = 0
            while not self.stopped:
                request_id = f"caller{number}-{count}"
                async with session.post(
                    f"{self.url}/invocations", json=ROW, headers={"X-Request-Id": request_id}
                ) as response:
                    answer = await response.json()
                    version = response.headers["X-Kedge-Version"]
                    self.replies.append((request_id, response.status, version, answer))
                count += 1

    def seen(self, version: str) -> int:
        return sum(reply[2] == version for reply in self.replies)


@contextlib.asynccontextmanager
async def load(url: str, callers: int = 4) -> AsyncIterator[Load]:
    running = Load(url)
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(running.caller(number))
        yield running
        running.stopped = True


async def wait_for(load: Load, version: str) -> None:
    seen = load.seen(version)
    ends = time.monotonic() + 30
    while load.seen(version) < seen + 50:
        assert time.monotonic() < ends, f"version {version} did not come to answer"
        await asyncio.sleep(0.01)


async def test_a_moved_alias_is_followed_under_load_and_no_request_fails(
    served: Served, registry: MlflowRegistry, tmp_path: Path
) -> None:
    async with load(served.url) as running:
        for version in ("1", "2", "1"):
            await point(registry, version)
            await wait_for(running, version)

    assert served.stop() == 0
    right = {"1": {"predictions": [1]}, "2": {"predictions": [0]}}
    assert {(status, v, str(a)) for _, status, v, a in running.replies} == {
        (200, version, str(answer)) for version, answer in right.items()
    }
    events = logged(tmp_path / "predictions.jsonl")
    assert Counter((e["id"], e["version"], e["prediction"]) for e in events) == Counter(
        (request_id, version, answer["predictions"][0])  # type: ignore[index] # as compared above
        for request_id, _, version, answer in running.replies
    )


async def test_callers_that_connect_anew_for_each_request_are_not_turned_away(
    served: Served, registry: MlflowRegistry
) -> None:
    failed: list[BaseException] = []
    stopped = False

    def caller(path: str) -> None:
        body = json.dumps(ROW).encode() if path == "/invocations" else None
        while not stopped:
            try:
                assert ask(f"{served.url}{path}", body).status == 200
            except (OSError, AssertionError) as error:
                failed.append(error)
                return

    async with asyncio.TaskGroup() as group:
        for path in ("/invocations", "/ping") * 2:
            group.create_task(asyncio.to_thread(caller, path))
        for version in ("2", "1", "2"):
            await point(registry, version)
            await until_version(served, version)
        stopped = True

    assert failed == []


async def test_a_swap_is_counted(served: Served, registry: MlflowRegistry) -> None:
    await point(registry, "2")
    await until_version(served, "2")

    counted = f'kedge_model_swaps_total{{model="{NAME}",outcome="swapped"}}'
    assert served.metric(counted) == 1


def counting(served: Served) -> tuple[Path, set[str]]:
    """Return the folder of the counters, and whose there are."""
    (child,) = children(served)
    lines = Path(f"/proc/{child}/environ").read_text().split("\0")
    (found,) = (line for line in lines if line.startswith("PROMETHEUS_MULTIPROC_DIR="))
    folder = Path(found.partition("=")[2])
    return folder, {path.stem.rpartition("_")[2] for path in folder.glob("*.db")}


@pytest.mark.slow
async def test_swaps_leave_no_files_and_lose_no_count(
    served: Served, registry: MlflowRegistry
) -> None:
    def settled() -> bool:
        (child,) = children(served)
        return counting(served)[1] == {str(served.process.pid), str(child), "ended"}

    asked, sizes = 0, []
    for version in ("2", "1", "2", "1"):
        for _ in range(3):
            assert ask(f"{served.url}/invocations", ROW).status == 200
            asked += 1
        await point(registry, version)
        await until_version(served, version)
        await asyncio.to_thread(until, lambda: len(children(served)) == 1)
        await asyncio.to_thread(until, settled)
        scratch = counting(served)[0].parent
        ours = [p for p in scratch.rglob("*") if not p.is_relative_to(scratch / "models")]
        sizes.append(len(ours))

    samples = [
        f'kedge_predictions_total{{model="{NAME}",status="200",version="{version}"}}'
        for version in ("1", "2")
    ]
    assert sum(map(served.metric, samples)) == asked
    assert sizes == sizes[:1] * 4


@dataclass(frozen=True, slots=True)
class Broken:
    """A version, and what is done to it."""

    version: str
    file: str
    content: bytes
    outcome: str


async def put(registry: MlflowRegistry, version: str, file: str, content: bytes) -> None:
    """Replace a file of a registered version."""
    folder = (await registry.download_uri(NAME, version)).partition(":/")[2]
    artifacts = f"{registry.tracking_uri}/api/2.0/mlflow-artifacts/artifacts"
    done = await asyncio.to_thread(ask, f"{artifacts}/{folder}/{file}", content, method="PUT")
    assert done.status == 200


@pytest.mark.parametrize(
    "broken",
    [
        Broken("3", "model.skops", b"no model", "load_failed"),
        Broken("4", "serving_input_example.json", b'{"inputs": {"a": [1]}}', "check_failed"),
    ],
    ids=lambda broken: broken.outcome,
)
async def test_a_version_that_is_no_good_leaves_the_old_one_serving(
    served: Served, registry: MlflowRegistry, broken: Broken
) -> None:
    await put(registry, broken.version, broken.file, broken.content)

    async with load(served.url, callers=1) as running:
        await point(registry, broken.version)
        sample = f'kedge_model_swaps_total{{model="{NAME}",outcome="{broken.outcome}"}}'
        await asyncio.to_thread(until, lambda: served.metric(sample) >= 1)
        await wait_for(running, "1")

    assert {(status, v) for _, status, v, _ in running.replies} == {(200, "1")}
    said = f"version {broken.version} of {NAME} was not swapped in"
    assert said in served.errors.read_text()
    await point(registry, "2")
    await until_version(served, "2")


class Does:
    """Pickled, it is a call that happens when it is loaded."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.does = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.does


PICKLED = b"""
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.pkl, serialization_format: pickle}
"""


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Does(os._exit, 3), "its process ended with status 3"),
        (Does(ctypes.string_at, 0), "its process ended with signal 11"),
        (Does(time.sleep, 3600), "not ready within"),
    ],
    ids=["exit", "segmentation fault", "hang"],
)
async def test_a_version_that_harms_its_process_harms_no_caller(
    registry: MlflowRegistry, registry_uri: str, tmp_path: Path, harm: Does, said: str
) -> None:
    await put(registry, "3", "MLmodel", PICKLED)
    await put(registry, "3", "model.pkl", pickle.dumps(harm))
    await point(registry, "1")
    settings = {"model_uri": f"models:/{NAME}@champion", "tracking_uri": registry_uri}
    # Only the one that hangs is not to be waited for.
    limit_s = LOAD_TIMEOUT_S if said.startswith("not ready") else 300
    with serving(tmp_path, **settings, load_timeout_s=limit_s) as served:
        async with load(served.url, callers=1) as running:
            await point(registry, "3")
            sample = f'kedge_model_swaps_total{{model="{NAME}",outcome="load_failed"}}'
            await asyncio.to_thread(until, lambda: served.metric(sample) >= 1)
            await wait_for(running, "1")

    assert {(status, v) for _, status, v, _ in running.replies} == {(200, "1")}
    assert said in served.errors.read_text()


@pytest.fixture
def connections(served: Served) -> Iterator[list[HTTPConnection]]:
    address = urlsplit(served.url)
    two = [HTTPConnection(address.hostname or "", address.port, timeout=60) for _ in range(2)]
    yield two
    for connection in two:
        connection.close()


def version_over(connection: HTTPConnection, path: str = "/invocations") -> str:
    connection.request("POST", path, json.dumps(ROW), {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    return f"{response.headers['X-Kedge-Version']} {response.headers['Connection'] or ''}".strip()


async def test_a_connection_that_was_open_before_the_swap_goes_on_with_the_next_version(
    served: Served, registry: MlflowRegistry, connections: list[HTTPConnection]
) -> None:
    idle, halfway = connections
    for connection in connections:
        assert await asyncio.to_thread(version_over, connection) == "1"
    body = json.dumps(ROW).encode()
    halfway.putrequest("POST", "/invocations")
    halfway.putheader("Content-Type", "application/json")
    halfway.putheader("Content-Length", str(len(body)))
    halfway.endheaders(body[:10])

    await point(registry, "2")
    await until_version(served, "2")

    sockets = [connection.sock for connection in connections]
    assert await asyncio.to_thread(version_over, idle) == "2"
    halfway.send(body[10:])
    response = await asyncio.to_thread(halfway.getresponse)
    assert (response.status, response.headers["X-Kedge-Version"]) == (200, "2")
    assert json.loads(response.read()) == {"predictions": [0]}
    assert [connection.sock for connection in connections] == sockets


async def test_a_connection_of_another_kind_is_told_that_it_ends_and_fails_no_request(
    served: Served, registry: MlflowRegistry, connections: list[HTTPConnection]
) -> None:
    # A query makes a request one that aiohttp answers.
    connection, _ = connections
    assert await asyncio.to_thread(version_over, connection, "/invocations?x") == "1"

    await point(registry, "2")
    await until_version(served, "2")

    assert await asyncio.to_thread(version_over, connection, "/invocations?x") == "1 close"
    assert await asyncio.to_thread(version_over, connection, "/invocations?x") == "2"


async def test_all_workers_are_swapped_and_one_that_dies_comes_back_with_the_next_version(
    registry: MlflowRegistry, registry_uri: str, tmp_path: Path
) -> None:
    await point(registry, "1")
    settings = {"model_uri": f"models:/{NAME}@champion", "tracking_uri": registry_uri}
    with serving(tmp_path, **settings, workers=2) as served:
        async with load(served.url) as running:
            await point(registry, "2")
            await wait_for(running, "2")
            counted = f'kedge_model_swaps_total{{model="{NAME}",outcome="swapped"}}'
            await asyncio.to_thread(until, lambda: served.metric(counted) == 1)
        assert {reply[1] for reply in running.replies} == {200}
        assert {version_of(served) for _ in range(20)} == {"2"}

        await asyncio.to_thread(until, lambda: len(children(served)) == 2)
        before = children(served)
        os.kill(before[0], signal.SIGKILL)

        await asyncio.to_thread(until, lambda: len(set(children(served)) - set(before)) == 1)
        assert {version_of(served) for _ in range(20)} == {"2"}
        assert served.stop() == 0


async def test_an_alias_that_is_gone_leaves_the_version_serving(
    served: Served, registry: MlflowRegistry
) -> None:
    alias = f"{registry.tracking_uri}/api/2.0/mlflow/registered-models/alias"
    gone = {"name": NAME, "alias": "champion"}
    assert (await asyncio.to_thread(ask, alias, gone, method="DELETE")).status == 200

    await asyncio.to_thread(until, lambda: "has no alias" in served.errors.read_text())

    assert ask(f"{served.url}/invocations", ROW).status == 200


class Weather:
    """A way to the registry that can be cut."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.status: int | None = None

    async def pass_on(self, request: web.Request) -> web.Response:
        if self.status is not None:
            return web.Response(status=self.status)
        async with (
            ClientSession() as session,
            session.get(f"{self.uri}{request.path_qs}") as response,
        ):
            return web.Response(status=response.status, body=await response.read())


@pytest.mark.parametrize("status", [503, 403])
async def test_a_registry_that_is_away_for_a_while_is_asked_again(
    registry: MlflowRegistry, registry_uri: str, tmp_path: Path, status: int
) -> None:
    await point(registry, "1")
    weather = Weather(registry_uri)
    app = web.Application()
    app.router.add_get("/{path:.*}", weather.pass_on)
    async with TestServer(app) as between:

        def serve() -> contextlib.AbstractContextManager[Served]:
            return serving(
                tmp_path,
                model_uri=f"models:/{NAME}@champion",
                tracking_uri=str(between.make_url("/")),
            )

        stack = contextlib.ExitStack()
        served = await asyncio.to_thread(stack.enter_context, serve())
        try:
            weather.status = status
            await asyncio.to_thread(
                until, lambda: "cannot ask the registry" in served.errors.read_text()
            )
            reply = await asyncio.to_thread(ask, f"{served.url}/invocations", ROW)
            assert (reply.status, reply.headers["X-Kedge-Version"]) == (200, "1")

            await point(registry, "2")
            weather.status = None

            await until_version(served, "2")
        finally:
            await asyncio.to_thread(stack.close)
