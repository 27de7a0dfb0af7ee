"""Who is let in: keys by their hashes, rotated while the server runs, and so many a second."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.artifacts.artifact import ArtifactCache, ArtifactError
from scoring.web.keys import Bucket, Gate, KeyFileError, Keys, parse_keys
from tests.scoring.served import ask, serving, until

ROW = {"dataframe_split": {"columns": list("abcd"), "data": [[1.0, 2.0, 3.0, 4.0]]}}


def line(name: str, key: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}\n"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_known_by_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# callers\n\n" + line("billing", "s3cret") + line("web", "other"))

    keys = Keys(path)

    assert [keys.name_of(key) for key in ("s3cret", "other", "s3cre", "")] == [
        *("billing", "web", None, None)
    ]


def test_keys_are_rotated_without_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(line("web", "former"))
    keys = Keys(path, clock=clock)
    (tmp_path / "next").write_text(line("web", "next"))
    (tmp_path / "next").replace(path)

    assert keys.name_of("former") == "web"
    clock.now += 1.5

    assert (keys.name_of("former"), keys.name_of("next")) == (None, "web")


@pytest.mark.parametrize("text", ["", "web", "web:abc", "no good:" + "0" * 64, "\xff"])
def test_a_file_that_is_no_good_leaves_the_keys_and_is_refused_at_the_start(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(line("web", "key"))
    keys = Keys(path, clock=clock)
    path.write_bytes(text.encode("latin-1"))
    os.utime(path, ns=(1, 1))

    for _ in range(3):
        clock.now += 2
        assert keys.name_of("key") == "web"

    assert len(caplog.records) == 1
    with pytest.raises(KeyFileError, match=str(path)):
        Keys(path)


@given(st.text(max_size=50))
def test_any_text_is_keys_or_an_error(text: str) -> None:
    with contextlib.suppress(KeyFileError):
        assert parse_keys(text)


def test_a_budget_fills_up_steadily() -> None:
    bucket = Bucket(10, 0.0)

    assert [bucket.takes(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.takes(0.2) for _ in range(3)] == [True, True, False]
    assert sum(bucket.takes(1000.0) for _ in range(50)) == 10


def test_each_key_has_a_budget_of_its_own(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys", Clock()
    path.write_text(line("a", "1") + line("b", "2"))
    gate = Gate(Keys(path, clock=clock), 2, clock=clock)

    told = [gate.refuses("", "1") for _ in range(3)] + [gate.refuses("Bearer 2", "")]

    assert [error and error.status for error in told] == [None, None, 429, None]


@pytest.mark.parametrize("header", ["", "Basic 1", "Bearer", "Bearer  ", "Bearer x", "1"])
def test_anything_but_a_key_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "keys"
    path.write_text(line("a", "1"))

    error = Gate(Keys(path)).refuses(header, "")

    assert error is not None
    assert error.status == 401


def test_without_keys_the_budget_is_for_all() -> None:
    gate = Gate(rate=1, clock=Clock())

    assert gate.refuses("", "") is None
    assert gate.refuses("Bearer x", "") is not None


@pytest.mark.real
def test_a_server_with_keys_answers_callers_that_have_one(
    model_folders: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(line("web", "key"))
    infer = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}]}
    with serving(tmp_path, model_uri=str(model_folders / "plain"), api_keys=path) as served:
        score, v2 = f"{served.url}/invocations", f"{served.url}/v2/models/plain/infer"

        none = ask(score, ROW)
        assert (none.status, none.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert list(ask(v2, infer).json()) == ["error"]
        assert ask(score, ROW, headers={"Authorization": "Bearer key"}).status == 200
        assert ask(score, ROW, headers={"X-API-Key": "key"}).status == 200
        assert ask(v2, infer, headers={"X-API-Key": "key"}).status == 200
        # Another kind of request, which aiohttp answers.
        assert ask(f"{score}?x=1", ROW).status == 401
        assert ask(f"{served.url}/ping").status == 200
        assert served.metric('kedge_requests_refused_total{status="401"}') == 3

        path.write_text(line("web", "another"))
        until(lambda: ask(score, ROW, headers={"X-API-Key": "another"}).status == 200)
        assert ask(score, ROW, headers={"X-API-Key": "key"}).status == 401


@pytest.mark.real
def test_a_caller_over_the_limit_is_told_to_slow_down(model_folders: Path, tmp_path: Path) -> None:
    model = str(model_folders / "plain")
    with serving(tmp_path, model_uri=model, rate_limit=0.01) as served:
        answers = [ask(f"{served.url}/invocations", ROW) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 429, 429]
    assert answers[1].headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("allowed", "uri", "passes"),
    [
        ((), "model", True),
        (("models",), "model", True),
        (("models/other",), "model", False),
        (("models", "s3://b/m"), "link-out", False),
        (("s3://b/m",), "model", False),
    ],
)
async def test_models_come_from_allowed_folders_only(
    tmp_path: Path,
    allowed: tuple[str, ...],
    uri: str,
    passes: bool,  # noqa: FBT001 - a column of the table
) -> None:
    model, outside = tmp_path / "models" / "model", tmp_path / "outside"
    for folder in (model, outside):
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text("")
    (tmp_path / "models" / "link-out").symlink_to(outside)
    sources = [source if "://" in source else str(tmp_path / source) for source in allowed]
    cache = ArtifactCache(tmp_path / "cache", None, allowed=sources)

    try:
        await cache.fetch(str(tmp_path / "models" / uri))
        fetched = True
    except ArtifactError as error:
        assert "allowed source" in str(error)  # noqa: PT017 - both outcomes are cases
        fetched = False

    assert fetched is passes


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://b/models2/m", "s3://b/models/../secret", "s3://b/models/%2e%2e/x", "s3://b"),
        *("mlflow-artifacts:/other/m", "/etc"),
    ],
)
async def test_addresses_beside_the_allowed_ones_are_refused(tmp_path: Path, uri: str) -> None:
    cache = ArtifactCache(tmp_path, None, allowed=["s3://b/models", "mlflow-artifacts:/mine"])

    with pytest.raises(ArtifactError, match="allowed source"):
        await cache.fetch(uri)
