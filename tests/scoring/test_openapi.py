"""The scoring server, asked whatever its own description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from scoring.web.openapi import description
from tests import described
from tests.scoring.served import Served, ask, serving

pytestmark = pytest.mark.real

#: Of the model that is served.
EXAMPLE = {
    "dataframe_split": {
        "columns": ["age", "income", "city", "member"],
        "data": [[0, 0.0, "", False]],
    }
}
api = schemathesis.openapi.from_dict(description("0", EXAMPLE))


@pytest.fixture(scope="module")
def served(model_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("described")
    with serving(folder, model_uri=str(model_folders / "mixed")) as served:
        yield served
        assert ask(f"{served.url}/ping").status == 200
        assert "Traceback" not in served.errors.read_text()


@api.parametrize()
@described.bounded
def test_every_answer_is_as_described(case: schemathesis.Case[Any], served: Served) -> None:
    described.ask(case, served.url)


@api.include(path_regex="/v2/models").parametrize()
@described.bounded
def test_so_is_every_answer_about_the_model_that_is_served(
    case: schemathesis.Case[Any], served: Served
) -> None:
    case.path_parameters = {"name": "mixed", "version": "unknown"}
    described.ask(case, served.url)


def test_the_description_is_what_the_server_sends(served: Served) -> None:
    sent = ask(f"{served.url}/openapi.json").json()

    assert sent["paths"] == description("0", EXAMPLE)["paths"]
    assert ask(f"{served.url}/invocations", EXAMPLE).status == 200
