"""References that live in a real registry: stored, fetched, kept, and each version's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collectors.registry.artifacts import RegistryArtifacts
from collectors.registry.client import MlflowRegistry, ModelVersion, RegistryTransientError
from detectors.reference.reference import Reference
from detectors.reference.reference_file import dump
from monitor.cli import cli
from monitor.metrics.catalogue import Metrics
from monitor.references.cache import ReferenceCache
from monitor.references.fetching import PAUSE_MIN_S, TAG, ReferenceFetching
from monitor.references.registry import RegistryReferences
from monitor.references.storing import Place, store_reference
from tests.collectors.registered import SOURCE, point, post, register
from tests.monitor.reference_tables import reference_of, table

pytestmark = pytest.mark.real


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


async def store(uri: str, model: str, version: str, reference: Reference) -> str:
    async with MlflowRegistry(uri) as registry:
        return await store_reference(Place(model, version, SOURCE), dump(reference), registry)


class Weather:
    """A real registry, or none for as long as it is said to be away."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry
        self.away = False
        self.asked = 0

    async def version_by_alias(self, model: str, alias: str) -> str | None:
        self._look()
        return await self._registry.version_by_alias(model, alias)

    async def version(self, model: str, version: str) -> ModelVersion | None:
        self._look()
        return await self._registry.version(model, version)

    def _look(self) -> None:
        self.asked += 1
        if self.away:
            raise RegistryTransientError("the registry is away", "connection")


class Scene:
    """Fetching from a real registry, tick by tick."""

    def __init__(self, folder: Path, registry: MlflowRegistry, model: str) -> None:
        self.now = 0.0
        self.cache = ReferenceCache(folder / "cache")
        self.references = RegistryReferences(self.cache, versions_max=3)
        self.weather = Weather(registry)
        self.metrics = Metrics(columns_max=10, versions_max=10)
        self.fetching = ReferenceFetching(
            model,
            "champion",
            self.weather,
            RegistryArtifacts(registry),
            references=self.references,
            cache=self.cache,
            metrics=self.metrics,
            clock=lambda: self.now,
        )

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.fetching.tick()
        self.references.renewed()

    def rows(self, version: str) -> int | None:
        found = self.references.of(version)
        return found.rows if found is not None else None

    def failures(self, reason: str) -> float:
        name = "kedge_reference_failures_total"
        return self.metrics.registry.get_sample_value(name, {"reason": reason}) or 0.0


@contextlib.asynccontextmanager
async def scene(folder: Path, uri: str, model: str) -> AsyncIterator[Scene]:
    async with MlflowRegistry(uri) as registry:
        yield Scene(folder, registry, model)


def test_build_stores_a_reference_with_a_version_once(tmp_path: Path, mlflow_uri: str) -> None:
    asyncio.run(register(mlflow_uri, "stored", 2, champion="2"))
    rows = table(tmp_path / "rows.jsonl", 50)
    command = ("reference", "build", "--from", rows, "--tracking-uri", mlflow_uri)

    by_alias = kedge(*command, "--model", "models:/stored@champion")
    again = kedge(*command, "--model", "models:/stored/2")
    forced = kedge(*command, "--model", "models:/stored/2", "--force")

    assert by_alias.exception is None
    assert "with version 2 of stored: 50 rows, 3 columns" in by_alias.stdout
    assert "version 2 of stored has a reference" in str(again.exception)
    assert "--force" in str(again.exception)
    assert forced.exception is None


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("models:/none-such/7", "the registry has no version 7 of none-such"),
        ("models:/unaliased@champion", "has no alias champion"),
        ("models:/unaliased/Production", "cannot use"),
    ],
)
def test_build_names_what_is_wrong_with_the_model_before_it_reads_a_row(
    tmp_path: Path, mlflow_uri: str, model: str, said: str
) -> None:
    with contextlib.suppress(AssertionError):
        asyncio.run(register(mlflow_uri, "unaliased", 1))
    (tmp_path / "rows.jsonl").write_text("no row")

    result = kedge(
        *("reference", "build", "--from", tmp_path / "rows.jsonl"),
        *("--tracking-uri", mlflow_uri, "--model", model),
    )

    assert said in str(result.exception)


async def test_a_reference_stands_beside_artifacts_that_mlflow_hands_out(
    tmp_path: Path, mlflow_uri: str
) -> None:
    run: Any = await post(mlflow_uri, "/runs/create", {"experiment_id": "0"})
    source = f"{run['run']['info']['artifact_uri']}/model"
    version = {"name": "beside", "source": source, "run_id": run["run"]["info"]["run_id"]}
    await post(mlflow_uri, "/registered-models/create", {"name": "beside"})
    await post(mlflow_uri, "/model-versions/create", version)
    rows = table(tmp_path / "rows.jsonl", 50)

    result = await asyncio.to_thread(
        kedge,
        *("reference", "build", "--from", rows, "--tracking-uri", mlflow_uri),
        *("--model", "models:/beside/1"),
    )
    async with MlflowRegistry(mlflow_uri) as registry:
        found = await registry.version("beside", "1")

    assert result.exception is None
    assert found is not None
    assert found.tags[TAG].startswith(f"{source}/kedge/reference-")


async def test_each_version_gets_its_own_reference(tmp_path: Path, mlflow_uri: str) -> None:
    await register(mlflow_uri, "own", 2, champion="1")
    await store(mlflow_uri, "own", "1", reference_of(11))
    await store(mlflow_uri, "own", "2", reference_of(22))
    async with scene(tmp_path, mlflow_uri, "own") as s:
        before = s.rows("1"), s.rows("2")

        await s.after(0)

        assert before == (None, None)
        assert (s.rows("1"), s.rows("2")) == (11, 22)


async def test_the_version_of_the_alias_is_fetched_before_its_first_event(
    tmp_path: Path, mlflow_uri: str
) -> None:
    await register(mlflow_uri, "ahead", 2, champion="1")
    await store(mlflow_uri, "ahead", "1", reference_of(11))
    await store(mlflow_uri, "ahead", "2", reference_of(22))
    async with scene(tmp_path, mlflow_uri, "ahead") as s:
        await s.after(0)
        unnamed = s.rows("unknown")
        await point(mlflow_uri, "ahead", "champion", "2")

        await s.after(31)

        assert unnamed == 11
        assert s.rows("unknown") == 22
        assert s.references.held("2")


async def test_a_reference_that_was_replaced_is_fetched_anew(
    tmp_path: Path, mlflow_uri: str
) -> None:
    await register(mlflow_uri, "replaced", 1, champion="1")
    await store(mlflow_uri, "replaced", "1", reference_of(11))
    async with scene(tmp_path, mlflow_uri, "replaced") as s:
        await s.after(0)
        before = s.rows("1")
        await store(mlflow_uri, "replaced", "1", reference_of(22))

        await s.after(301)

        assert (before, s.rows("1")) == (11, 22)


async def test_a_restart_needs_no_registry(tmp_path: Path, mlflow_uri: str) -> None:
    await register(mlflow_uri, "restarted", 1, champion="1")
    await store(mlflow_uri, "restarted", "1", reference_of(11))
    async with scene(tmp_path, mlflow_uri, "restarted") as s:
        s.rows("1")
        await s.after(0)
        states = {name: state for name, state in s.references.changed().items() if state}

        after = RegistryReferences(s.cache, versions_max=3)
        after.restore(states)

        assert after.of("1") is not None
        assert after.of("unknown") is after.of("1")
        assert s.references.changed() == {}


async def test_a_version_without_a_reference_is_told_of_once_and_asked_about_less_and_less(
    tmp_path: Path, mlflow_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    await register(mlflow_uri, "untagged", 1)
    async with scene(tmp_path, mlflow_uri, "untagged") as s:
        s.rows("1")
        with caplog.at_level(logging.WARNING, "kedge.references"):
            for _ in range(200):
                await s.after(1)

    # The alias is asked for every 30 s, the version after 5, 10, 20, 40 and 80 s more.
    assert s.failures("untagged") == 6
    assert s.weather.asked <= 6 + 7
    assert len(caplog.records) == 1
    assert "--model models:/untagged/1" in s.references.trouble("1")


async def test_a_registry_that_comes_back_is_asked_again(tmp_path: Path, mlflow_uri: str) -> None:
    await register(mlflow_uri, "stormy", 1, champion="1")
    await store(mlflow_uri, "stormy", "1", reference_of(11))
    async with scene(tmp_path, mlflow_uri, "stormy") as s:
        s.weather.away = True
        s.rows("1")
        await s.after(0)
        trouble = s.references.trouble("1")
        s.weather.away = False

        await s.after(PAUSE_MIN_S)

        assert "the registry is away" in trouble
        assert s.rows("1") == 11
        assert s.failures("connection") == 2


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("s3://bucket/r.kedge", "address"),
        ("mlflow-artifacts:/kedge/none/such", None),
        ("file:///dev/zero", "invalid"),
    ],
)
async def test_a_tag_that_leads_nowhere_leaves_the_version_without(
    tmp_path: Path, mlflow_uri: str, tag: str, reason: str | None
) -> None:
    model = f"astray-{reason}"
    await register(mlflow_uri, model, 1)
    async with scene(tmp_path, mlflow_uri, model) as s:
        async with MlflowRegistry(mlflow_uri) as registry:
            await registry.set_version_tag(model, "1", TAG, tag)
        s.rows("1")

        await s.after(0)

        assert s.rows("1") is None
        assert reason is None or s.failures(reason) == 1


async def test_what_is_no_reference_is_not_used(tmp_path: Path, mlflow_uri: str) -> None:
    await register(mlflow_uri, "nonsense", 1)
    async with MlflowRegistry(mlflow_uri) as registry:
        await store_reference(Place("nonsense", "1", SOURCE), b"nonsense", registry)
    async with scene(tmp_path, mlflow_uri, "nonsense") as s:
        s.rows("1")

        await s.after(0)

        assert s.rows("1") is None
        assert s.failures("damaged") == 1
        assert "not a reference file" in s.references.trouble("1")


async def test_a_flood_of_versions_costs_a_few_questions_and_no_memory(
    tmp_path: Path, mlflow_uri: str
) -> None:
    await register(mlflow_uri, "flooded", 1, champion="1")
    await store(mlflow_uri, "flooded", "1", reference_of(11))
    async with scene(tmp_path, mlflow_uri, "flooded") as s:
        for number in range(1000):
            s.rows(f"build-{number}")
        s.rows("1")

        await s.after(0)

        assert s.rows("1") == 11
        assert s.weather.asked == 2
        assert len(s.references.wanted()) == 3


def test_a_version_that_gave_way_to_others_is_read_again(tmp_path: Path, mlflow_uri: str) -> None:
    async def play() -> tuple[int | None, int | None]:
        await register(mlflow_uri, "many", 5, champion="1")
        for number in range(1, 6):
            await store(mlflow_uri, "many", str(number), reference_of(10 + number))
        async with scene(tmp_path, mlflow_uri, "many") as s:
            for version in ("1", "2", "3", "4", "5"):
                s.rows(version)
                await s.after(1)
            gone = s.rows("2")
            await s.after(1)
            return gone, s.rows("2")

    gone, back = asyncio.run(play())

    assert (gone, back) == (None, 12)


def test_the_cache_keeps_so_many_files_and_only_whole_ones(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path / "cache", files_max=2)

    kept = [cache.put(data) for data in (b"one", b"two", b"three")]
    (tmp_path / "cache" / f"{kept[2]}.kedge").write_bytes(b"thr")

    assert cache.get(kept[0]) is None
    assert cache.get(kept[1]) == b"two"
    assert cache.get(kept[2]) is None
