"""Settings of the book: Sphinx over the Markdown of this folder (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
# The generated pages are made from this checkout, whatever else is installed.
sys.path.insert(0, str(HERE.parent))

from docs.generate import write_pages  # noqa: E402 - found by the line above
from monitor.version import VERSION  # noqa: E402 - found by the line above

write_pages(HERE / "generated")

project = "Kedge"
author = "The Kedge authors"
copyright = author  # noqa: A001 - Sphinx's name
release = version = VERSION

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
# Links to headings are checked down to this level.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = f"Kedge {VERSION}"
html_static_path = ["_static"]
html_css_files = ["kedge.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "tango"
