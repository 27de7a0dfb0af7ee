"""The file of a report: a template of ours, filled by Jinja, with everything it needs in it.

Every value is escaped by Jinja, and text in pictures by the XML writer. The page asks for nothing:
its policy forbids scripts and every address, and the one style sheet is named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from monitor.page.status_page import PAGES
from monitor.reports.figures import Cell
from monitor.reports.view import report
from monitor.reports.words import moment
from monitor.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Template

    from monitor.reports.facts import Facts


def html(facts: Facts) -> bytes:
    """Return a report of facts as a page that stands by itself."""
    style = PAGES.joinpath("charts.css").read_text("utf-8") + _read("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = _template().render(
        report=report(facts),
        facts=facts,
        made=moment(facts.made),
        kedge_version=VERSION,
        style=style,
        digest=digest,
    )
    # A lone surrogate is a legal Python string that UTF-8 cannot carry.
    return text.encode("utf-8", "replace")


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only where a report is made
    from markupsafe import Markup  # noqa: PLC0415 - as above

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    def cell(value: object) -> Any:  # noqa: ANN401 - text that is or is not markup
        if isinstance(value, Cell):
            return Markup('<data value="{}">{}</data>').format(value.value, value)
        return value

    environment.filters["cell"] = cell
    # Pictures and the style sheet are of our own making, and escaped where they were made.
    environment.filters["ours"] = Markup
    return environment.from_string(_read("report.html.jinja"))


def _read(name: str) -> str:
    return files("monitor.reports").joinpath("templates", name).read_text("utf-8")
