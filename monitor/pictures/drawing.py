"""pygal, imported where something is drawn: 3 MB that a daemon nobody looks at does without.

And what every picture of it goes through: of what it writes only form, place and text are kept.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Set as AbstractSet
from typing import Any, Final
from xml.etree import ElementTree as ET

SVG: Final = "http://www.w3.org/2000/svg"
#: What pygal writes and a page does without.
_LEFT_OUT: Final = frozenset({"style", "script", "defs", "title", "desc", "metadata"})


@functools.cache
def pygal() -> Any:  # noqa: ANN401 - it has no types
    """Return the library, without the hook that it puts into Python's imports.

    The hook finds maps that other packages bring. It is of a kind that Python has given up: it
    warns of it at each import of something that is not there, and those warnings are errors to
    some programs.
    """
    import pygal as library  # noqa: PLC0415 - see above

    hook = library.PluginImportFixer
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, hook)]
    return library


def spare(
    element: Any,  # noqa: ANN401 - comments have no tag that is a text
    left_out: AbstractSet[str],
    kept: AbstractSet[str],
) -> None:
    """Leave out all that is not form, place or text, here and below.

    Parameters
    ----------
    left_out
        Classes of elements that go.
    kept
        Attributes that stay.
    """
    for child in list(element):
        stays = isinstance(child.tag, str) and child.tag.rpartition("}")[2] not in _LEFT_OUT
        if stays and left_out.isdisjoint(child.get("class", "").split()):
            spare(child, left_out, kept)
        else:
            element.remove(child)
    for name in set(element.attrib) - kept:
        del element.attrib[name]


def written(root: Any, said: str) -> str:  # noqa: ANN401 - pygal has no types
    """Return a picture as text; `said` is what it shows, in words."""
    root.set("role", "img")
    root.set("aria-label", said)
    ET.register_namespace("", SVG)
    return str(ET.tostring(root, encoding="unicode"))
