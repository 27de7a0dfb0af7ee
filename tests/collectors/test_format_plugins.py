"""A format of somebody else's package: found by its entry point, loaded when it is asked for."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.kinds import ENTRY_POINTS_MAX, FORMATS, FormatLoadError
from monitor.settings.settings import ConfigurationError, load
from tests.collectors.decoding import TS, columns, make, reasons, rows

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


def block(language: str, containing: str) -> str:
    """A code block of the documentation."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [one for one in blocks if containing in one]
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose package `acme` is importable; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def install(folder: Path, entry_points: str, **modules: str) -> None:
    info = folder / "acme_logs-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-logs\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[kedge.formats]\n{entry_points}\n")
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)


def test_the_format_of_the_documentation_runs(installed: Path) -> None:
    code = block("python", "acme")
    (entry_point,) = re.findall(r'^(acme = ".*")$', block("toml", "entry-points"), re.MULTILINE)
    install(installed, entry_point.replace('"', ""), acme_format=code)
    line = block("json", '"when"').encode()

    decoded = make("acme").decode(line + b'{"when": "soon", "in": {}, "out": 1}\n{"when": 1}\n')

    assert columns(decoded) == [{"age": 41, "plan": "gold", "prediction": 0.83}]
    assert rows(decoded, "ts", "version", "latency_ms", "status") == [
        {"ts": TS, "version": "7", "latency_ms": 12.5, "status": 200}
    ]
    assert list(reasons(decoded)) == ["bad_time", "wrong_type"]
    assert len(code.splitlines()) <= 30
    assert "acme" in FORMATS


def test_a_format_that_fails_costs_its_line_and_nothing_else(installed: Path) -> None:
    code = block("python", "acme").replace("    yield", "    1 / line.answer\n    yield", 1)
    install(installed, "acme = acme_format:acme", acme_format=code)
    line = block("json", '"when"').encode()

    decoded = make("acme").decode(line.replace(b"0.83", b"0") + line)

    assert list(reasons(decoded)) == ["not_mapped"]
    assert len(columns(decoded)) == 1


@pytest.mark.parametrize(
    ("entry_point", "why"),
    [
        ("acme = acme_missing:acme", "ModuleNotFoundError"),
        ("acme = acme_broken:acme", "ZeroDivisionError"),
        ("acme = acme_other:NUMBER", "is no format"),
    ],
    ids=["missing", "broken", "of another kind"],
)
def test_a_format_that_cannot_be_loaded_is_named_with_its_package(
    installed: Path, entry_point: str, why: str
) -> None:
    install(installed, entry_point, acme_broken="1 / 0\n", acme_other="NUMBER = 5\n")
    config = installed / "kedge.toml"
    config.write_text('[model]\nname="m"\n[[collect]]\ntype="tail"\npath="x"\nformat="acme"\n')

    with pytest.raises(FormatLoadError) as direct:
        FORMATS["acme"]
    with pytest.raises(ConfigurationError) as checked:
        load(config, {})

    for error in (direct, checked):
        assert "acme-logs 1.2" in str(error.value)
        assert why in str(error.value)
    assert "collect[0].format" in str(checked.value)


def test_names_are_bounded_and_kedge_s_own_cannot_be_taken(installed: Path) -> None:
    many = "\n".join(f"acme{i} = acme_none:x" for i in range(2 * ENTRY_POINTS_MAX))
    install(installed, f"kserve = acme_none:x\nA bad name = acme_none:x\n{many}")

    names = list(FORMATS)

    assert names.count("kserve") == 1
    assert len([name for name in names if name.startswith("acme")]) == ENTRY_POINTS_MAX
    assert "A bad name" not in names
    make("kserve")


def test_an_unknown_format_is_a_key_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        FORMATS["nonsense"]
