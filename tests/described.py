"""Made-up requests of all kinds to a server, after its OpenAPI description: right ones and wrong.

The same ones in each run. What is asked of an answer: no fault of the server's, a status and a
content type that are described, and a body as described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

#: Few made up at random: the wrong ones that matter are listed by schemathesis itself.
bounded = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/vnd.apache.parquet", "application/x-ndjson")
def as_it_is(_context: Any, value: Any) -> bytes:  # noqa: ANN401 - of schemathesis' own
    """Send what was made up for a type that schemathesis does not know."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def ask(case: Case[Any], url: str, headers: Mapping[str, str] | None = None) -> None:
    """Send a made-up request and judge the answer.

    Raises
    ------
    Exception
        The answer is not as described; says how to send the request again.
    """
    case.call_and_validate(base_url=url, headers=dict(headers or {}), checks=CHECKS)
