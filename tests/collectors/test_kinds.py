from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

from collectors.kinds import FORMATS, METERS, SOURCES
from tests.collectors.events import event, lines


def test_what_a_configuration_names_reads_a_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(lines(event(), event()))
    settings = SOURCES["tail"](path=str(tmp_path / "log.jsonl"))  # type: ignore[call-arg] # its own keys
    source = settings.build("main")
    source.restore({})

    chunk, *_ = source.poll()
    decoded = FORMATS[settings.format]("credit-default").decode(chunk.lines)
    source.close()

    assert [batch.rows for batch in decoded.batches] == [2]


def test_every_key_of_every_source_says_what_it_means() -> None:
    for settings in [*SOURCES.values(), *METERS.values()]:
        source = inspect.getsource(settings)
        for field in dataclasses.fields(settings):  # type: ignore[arg-type] # a dataclass by contract
            declared = source.index(f"    {field.name}: ")
            assert source[source.index("\n", declared) :].lstrip().startswith('"""'), field.name
