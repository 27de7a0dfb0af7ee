"""pygal, imported where something is drawn: 3 MB that a daemon nobody looks at does without."""

from __future__ import annotations

import functools
import sys
from typing import Any


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
