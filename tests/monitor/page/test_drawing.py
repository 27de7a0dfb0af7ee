"""Drawing leaves Python's imports as they were."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from detectors.columns.side_by_side import Bars, Counted, beside
from monitor.pictures.charts import bars
column = beside(Bars("categories", ("a",), (1, 0), 0), Counted((1, 0), 0, 0))
assert "<svg" in bars(column, "a picture")
try:
    import nothing_of_this_name
except ImportError:
    pass
"""


def test_an_import_that_fails_after_a_picture_was_drawn_warns_of_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", PROGRAM],
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
