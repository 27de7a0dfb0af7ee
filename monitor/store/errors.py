"""What can go wrong with the store, told apart by what can be done about it.

::

    StoreError
    ├── StoreInUse        another Kedge holds this store, or has taken it over
    ├── StoreSchemaError  made by another version of Kedge, or not a Kedge store at all
    │   └── StoreOutdated made by an older one; `kedge db upgrade` brings it up to date
    ├── StoreCorrupt      the database file is damaged; it is never silently made anew
    └── StoreUnavailable  this commit failed and may succeed later (locked, disk full, away)
"""

from __future__ import annotations


class StoreError(RuntimeError):
    """The store cannot be used; the message says which, why, and what to do."""


class StoreInUse(StoreError):  # noqa: N818 - a state, named as such
    """Another Kedge works on the same store."""


class StoreSchemaError(StoreError):
    """The store's tables are not those of this version."""


class StoreOutdated(StoreSchemaError):  # noqa: N818 - a state, named as such
    """The store's tables are those of an older version."""


class StoreCorrupt(StoreError):  # noqa: N818 - a state, named as such
    """The database is damaged."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state, named as such
    """A transaction was rolled back; the same change may be tried again."""
