"""Column types that let no value through which one of the databases refuses.

Postgres takes neither a NUL nor half a surrogate pair in a text, nor a text longer than its
column, nor NaN in JSON; SQLite takes half of these and differs in the rest. Names come from
other people's logs, so what arrives is made fit here, once, for rows and for queries alike.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

#: The same 64 bits in both: SQLite's own key is INTEGER and nothing else.
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_UNFIT = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_DIGEST_CHARACTERS = 8


def fit(text: str, characters_max: int | None = None) -> str:
    r"""Return a text that every database takes.

    NULs and lone surrogates become U+FFFD. A text that is too long is cut, and ends in a digest
    of the whole, so that two long names stay two.

    Examples
    --------
    >>> fit("a\0b"), fit("abc" * 100, 12)
    ('a�b', 'abc~d9f5aeb0')
    """
    if characters_max is not None and len(text) > characters_max:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        kept = characters_max - _DIGEST_CHARACTERS - 1
        text = f"{text[:kept]}~{digest[:_DIGEST_CHARACTERS]}"
    if text.isascii() and "\0" not in text:
        return text
    return _UNFIT.sub(_REPLACEMENT, text)


def fit_document(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return JSON that every database takes: texts made fit, NaN and the infinities null."""
    if isinstance(value, str):
        return fit(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {fit(str(key)): fit_document(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [fit_document(one) for one in value]
    return value


class Name(sa.TypeDecorator[str]):
    """Free text of at most so many characters: names of models, versions, columns."""

    impl = sa.String
    cache_ok = True

    def __init__(self, characters_max: int) -> None:
        super().__init__(characters_max)
        self.characters_max = characters_max

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Make the text fit."""
        return None if value is None else fit(value, self.characters_max)


class Figure(sa.TypeDecorator[float]):
    """A measured number; NaN, which says that there is none, is NULL."""

    impl = sa.Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: sa.Dialect) -> float | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Make NaN NULL, and a number of numpy's one of Python's."""
        return None if value is None or math.isnan(value) else float(value)


class Document(sa.TypeDecorator[Any]):
    """JSON that people will read: evidence, journal records."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """Make its texts and numbers fit."""
        return fit_document(value)
