"""The room that a process makes for its callers."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from scoring.web.clients import room_for
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "found"),
    [
        (1024, 4096, 2000, "2000 2128 4096"),
        (4096, 4096, 2000, "2000 4096 4096"),
        (256, 1024, 2000, "896 1024 1024"),
        (64, 64, 2000, "1 64 64"),
    ],
    ids=["more are allowed", "there are enough", "not so many are allowed", "hardly any are"],
)
def test_as_many_connections_are_taken_as_there_may_be_files(
    soft: int, hard: int, wanted: int, found: str
) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 4096
    program = [sys.executable, "-c", _PROGRAM, str(soft), str(hard), str(wanted)]

    ended = subprocess.run(program, capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == found
    assert ("is enough for" in ended.stderr) == (not found.startswith("2000"))
