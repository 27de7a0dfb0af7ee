"""Strings that break scrapes, databases and parsers elsewhere: here they are names like others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.text import TEXT_CHARS_MAX
from tests.faults.scene import BEGIN, configure, write
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append

pytestmark = pytest.mark.real

#: JSON text of a string, as it stands in a log.
POISON = {
    "NUL": r'"a\u0000b"',
    "lone surrogate": r'"\ud800"',
    "reversed surrogates": r'"\udc00\ud800"',
    "10,000 characters": '"' + "x" * 10_000 + '"',
    "10,000 wide characters": '"' + "\\ud83d\\ude80" * 10_000 + '"',
    "newline and quotes": r'"a\n\"b\"} 1\nkedge_forged{x=\"y\"} 1"',
    "SQL": '"\'; DROP TABLE kedge_windows; --"',
    "path": '"../../etc/passwd"',
    "pattern": '"*"',
    "empty": '""',
    "right-to-left": '"\u202e\u200b\ufeff"',
    "not a character": r'"\uffff"',
}


def poisoned(text: str) -> list[bytes]:
    """Events with one string in every place that takes one."""
    whole = ('"ts": %f, "prediction": 1' % (BEGIN + 50), '"ts": %f' % (BEGIN + 50))
    rows = [
        f'{{{whole[0]}, "version": {text}}}',
        f'{{{whole[0]}, "version": "7", "id": {text}, "trace_id": {text}}}',
        f'{{{whole[0]}, "version": "7", "model": {text}}}',
        f'{{{whole[0]}, "version": "7", "features": {{{text}: 1.5}}}}',
        f'{{{whole[0]}, "version": "7", "features": {{"plan": {text}}}}}',
        f'{{{whole[1]}, "version": "7", "prediction": {text}}}',
        f'{{{whole[1]}, "version": "7", "prediction": {{{text}: 2.5}}}}',
        f'{{{whole[0]}, "version": "7", {text}: 3}}',
        f'{{{whole[0]}, "version": "7", "segment": {{{text}: {text}}}}}',
    ]
    return [row.encode("utf-8") + b"\n" for row in rows]


@pytest.mark.parametrize("reference", ["", '[reference]\nfrom = "first"\nevents = 500\n'])
def test_poison_in_every_place_breaks_no_commit_no_page_and_no_restart(
    tmp_path: Path, reference: str
) -> None:
    rows = [row for text in POISON.values() for row in poisoned(text)]
    config = configure(tmp_path, more=reference)
    write(tmp_path, 500)

    with running(config) as kedge:
        kedge.counted(500)
        append(tmp_path / "predictions.jsonl", b"".join(rows))
        write(tmp_path, 1_000, after=500)
        kedge.counted(1_500 + len(rows))
        eventually(
            lambda: len(kedge.get("/api/v1/windows?version=7")["windows"]) >= 8, what="windows"
        )
        pages = [
            kedge.page(path)
            for path in ("/", "/metrics", "/api/v1/status", "/api/v1/windows", "/api/v1/incidents")
        ]
        measured = kedge.get("/api/v1/measurements?limit=1000")["measurements"]
        totals = kedge.totals()
        kedge.kill()
    with running(config) as kedge:
        again = kedge.totals()

    families = {family.name for family in text_string_to_metric_families(pages[1])}
    assert "kedge_predictions" in families
    assert not any("forged" in name for name in families)
    assert {row["column"] for row in measured} >= {None, "prediction"}
    assert all(len(row["column"] or "") <= TEXT_CHARS_MAX for row in measured)
    assert all(len(row["version"]) <= TEXT_CHARS_MAX for row in json.loads(pages[2])["versions"])
    assert totals["events"] + totals["rejected"] == 1_500 + len(rows)
    assert again == totals
