"""The book builds without a warning, and what is built asks no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("book")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", DOCS, out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_every_page_is_built(built: Path) -> None:
    sources = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    pages = {path.relative_to(built).with_suffix("") for path in built.rglob("*.html")}

    assert sorted(map(str, sources - pages)) == []


def test_the_pages_load_nothing_from_another_host(built: Path) -> None:
    loaded = re.compile(
        r"<(?:script|img|iframe|source|embed)\b[^>]*\ssrc=\"(https?:)?//"
        r"|<link\b(?![^>]*rel=\"canonical\")[^>]*\shref=\"(https?:)?//"
        r"|(?:@import|url\()\s*[\"']?(?:https?:)?//"
    )
    files = [path for path in built.rglob("*") if path.suffix in {".html", ".css", ".svg"}]

    asking = [str(path) for path in files if loaded.search(path.read_text(encoding="utf-8"))]

    assert asking == []


def test_the_readme_links_to_what_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_pages_of_the_built_book_were_generated_there(built: Path) -> None:
    assert "rollback-machine.svg" in (built / "generated" / "rollback-machine.html").read_text(
        encoding="utf-8"
    )
