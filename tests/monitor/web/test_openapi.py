"""The daemon, asked whatever its own description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from monitor.web.openapi import description
from tests import described
from tests.monitor.daemon import Kedge, running

pytestmark = pytest.mark.real

api = schemathesis.openapi.from_dict(description())

CONFIGURATION = """
[model]
name = "flight-delay"

[[collect]]
type = "http"
name = "events"

[[collect]]
type = "http"
name = "payloads"
format = "cloudevents"

[http]
listen = "127.0.0.1:0"
token = "t"
"""


@pytest.fixture(scope="module")
def kedge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kedge]:
    path = tmp_path_factory.mktemp("described") / "kedge.toml"
    path.write_text(CONFIGURATION)
    with running(path) as kedge:
        yield kedge
        assert kedge.get("/healthz")["status"] == "ok"
        assert "Traceback" not in kedge.log.read_text()


# An answer of events does not end: what it says is tested with the listeners.
@api.exclude(path="/api/v1/changes").parametrize()
@described.bounded
def test_every_answer_is_as_described(case: schemathesis.Case[Any], kedge: Kedge) -> None:
    described.ask(case, kedge.url, {"Authorization": "Bearer t"})


@api.include(method=["POST", "DELETE"]).parametrize()
@described.bounded
def test_so_is_the_answer_to_whoever_has_no_token(
    case: schemathesis.Case[Any], kedge: Kedge
) -> None:
    described.ask(case, kedge.url)
