"""The process that only Kedge asks: real models, started, asked, paced and ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from collectors.batch import CategoryColumn, Column, NumberColumn, VectorColumn
from scoring.settings import ServeSettings
from scoring.shadow.budget import CpuBudget
from scoring.shadow.process import NICE, ShadowError, ShadowProcess
from scoring.shadow.request import (
    AnswerError,
    Inputs,
    MissingInputsError,
    answers_of,
    body_of,
)


def process_of(folder: Path, **settings: object) -> ShadowProcess:
    return ShadowProcess(ServeSettings(str(folder), port=0, **settings))  # type: ignore[arg-type] # any setting


def rows(count: int = 1, **more: Column) -> dict[str, Column]:
    numbers: dict[str, Column] = {
        name: NumberColumn(np.full(count, 5.0 if name in "ab" else 0.0)) for name in "abcd"
    }
    return numbers | more


async def test_a_model_is_asked_with_what_was_logged(model_folders: Path) -> None:
    async with process_of(model_folders / "plain") as process:
        version, inputs = await process.inputs()
        reply = await process.ask(body_of(inputs, rows(3)), timeout_s=10)

        assert inputs.types == dict.fromkeys("abcd", "FP64")
        assert (reply.status, reply.version) == (200, version)
        assert answers_of(reply.body, 3) == [1.0, 1.0, 1.0]
        assert reply.latency_ms > 0
        assert (process.cpu_s() or 0) > 0
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_is_waited_for_has_its_share_and_any_other_gives_way(
    model_folders: Path,
) -> None:
    settings = ServeSettings(str(model_folders / "plain"), port=0)
    async with ShadowProcess(settings, awaited=True) as process:
        awaited = os.sched_getscheduler(process.pid), os.getpriority(os.PRIO_PROCESS, process.pid)
    async with ShadowProcess(settings) as process:
        other = os.sched_getscheduler(process.pid), os.getpriority(os.PRIO_PROCESS, process.pid)

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert awaited == (os.SCHED_BATCH, ours)
    assert other == (os.SCHED_OTHER, NICE)


async def test_columns_of_every_type_reach_the_model(model_folders: Path) -> None:
    features: dict[str, Column] = {
        "age": NumberColumn(np.array([41.0, 23.0])),
        "income": NumberColumn(np.array([1.5, -0.5])),
        "city": CategoryColumn(["Rome", "Oslo"]),
        "member": CategoryColumn(["true", "false"]),
    }

    async with process_of(model_folders / "mixed") as process:
        _, inputs = await process.inputs()
        reply = await process.ask(body_of(inputs, features), timeout_s=10)

    assert reply.status == 200, reply.body
    assert answers_of(reply.body, 2) == [1.0, 0.0]


async def test_parameters_of_the_request_reach_the_model(model_folders: Path) -> None:
    async with process_of(model_folders / "scale") as process:
        _, inputs = await process.inputs()
        column: dict[str, Column] = {"a": NumberColumn(np.array([3.0]))}
        bodies = [body_of(inputs, column, params) for params in (None, '{"factor":5.0}')]
        replies = [await process.ask(body, timeout_s=10) for body in bodies]

    assert [answers_of(reply.body, 1) for reply in replies] == [[6.0], [15.0]]


def test_a_request_whose_parameters_are_not_known_is_not_asked_without_them() -> None:
    with pytest.raises(MissingInputsError, match="params that are too long"):
        body_of(Inputs({"a": "FP64"}), rows(), "")


def test_vectors_go_as_arrays() -> None:
    embedding = VectorColumn(np.array([[0.5, 1.5], [np.nan, np.nan]]))

    body = body_of(Inputs({}), {"embedding": embedding})

    assert body == b'{"dataframe_split":{"columns":["embedding"],"data":[[[0.5,1.5]],[null]]}}'


async def test_a_model_that_takes_arrays_cannot_be_asked(model_folders: Path) -> None:
    async with process_of(model_folders / "tensor") as process:
        _, inputs = await process.inputs()

    with pytest.raises(MissingInputsError, match="takes arrays"):
        body_of(inputs, rows())


async def test_a_model_that_does_not_load_says_why(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: gone.pkl}}")

    with pytest.raises(ShadowError, match="cannot serve"):
        await process_of(tmp_path).__aenter__()


async def test_a_model_that_takes_too_long_to_load_is_given_up(model_folders: Path) -> None:
    process = ShadowProcess(
        ServeSettings(str(model_folders / "plain"), port=0), start_timeout_s=0.05
    )

    with pytest.raises(ShadowError, match=r"not loaded within 0\.05 s"):
        await process.__aenter__()


async def test_a_slow_model_runs_into_the_time_limit(model_folders: Path) -> None:
    async with process_of(model_folders / "slow") as process:
        with pytest.raises(TimeoutError):
            await process.ask(body_of(Inputs({}), rows()), timeout_s=0.1)


async def test_a_process_that_is_killed_is_noticed(model_folders: Path) -> None:
    async with process_of(model_folders / "plain") as process:
        os.kill(process.pid, 9)

        assert await asyncio.wait_for(process.ended(), 10) == -9
        with pytest.raises(aiohttp.ClientError):
            await process.ask(b"{}", timeout_s=5)


async def test_a_process_is_kept_to_its_share_of_a_core(model_folders: Path) -> None:
    body, clock = body_of(Inputs({}), rows(2_000)), asyncio.get_running_loop().time

    async with process_of(model_folders / "plain") as process:
        begins, used = clock(), process.cpu_s() or 0.0
        budget = CpuBudget(0.05, process.cpu_s)
        while clock() - begins < 3:
            await budget.wait()
            await process.ask(body, timeout_s=30)
        await budget.wait()
        lasted, spent = clock() - begins, (process.cpu_s() or 0.0) - used

    assert budget.rested_s > 0
    assert 0 < spent <= 0.05 * lasted + 0.02


async def test_a_budget_lets_rest_as_long_as_the_share_says() -> None:
    now, used = [0.0], [0.0]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    budget = CpuBudget(0.25, lambda: used[0], monotonic=lambda: now[0], sleep=sleep)
    used[0] = 1.0

    await budget.wait()

    assert pauses == [1.0, 1.0, 1.0, 1.0]


async def test_time_that_cannot_be_read_holds_nothing_back() -> None:
    budget = CpuBudget(0.01, lambda: None)

    await asyncio.wait_for(budget.wait(), 1)

    assert budget.rested_s == 0


def test_a_column_that_is_not_logged_is_named() -> None:
    with pytest.raises(MissingInputsError, match="takes e, which is not logged"):
        body_of(Inputs({"a": "FP64", "e": "FP64"}), rows())
    assert b'"a"' in body_of(Inputs({"a": "FP64", "e": "FP64"}, frozenset("e")), rows())


@pytest.mark.parametrize(
    ("datatype", "column", "expected"),
    [
        ("INT64", NumberColumn(np.array([3.0])), b"[[3]]"),
        ("FP64", NumberColumn(np.array([3.0])), b"[[3.0]]"),
        ("FP64", NumberColumn(np.array([np.nan])), b"[[null]]"),
        ("BYTES", NumberColumn(np.array([3.0])), b'[["3"]]'),
        ("BOOL", NumberColumn(np.array([1.0])), b"[[true]]"),
        ("BOOL", CategoryColumn(["false"]), b"[[false]]"),
        ("BYTES", CategoryColumn(["true"]), b'[["true"]]'),
        ("", CategoryColumn(["true"]), b"[[true]]"),
    ],
)
def test_values_go_as_the_model_takes_them(datatype: str, column: Column, expected: bytes) -> None:
    body = body_of(Inputs({"x": datatype} if datatype else {}), {"x": column})

    assert body.endswith(b'"data":' + expected + b"}}")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"predictions": 1}', b'{"predictions": [1]}', b"\xff"]
)
def test_an_answer_without_a_prediction_a_row_is_none(body: bytes) -> None:
    with pytest.raises(AnswerError):
        answers_of(body, 2)
