"""What a reference looks like, as data and as tables."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from detectors.columns.profile import (
    CategoryProfile,
    NumberProfile,
    Profile,
    ScalarProfile,
    VectorProfile,
    design_effect,
)
from monitor.cli.screen import texts
from monitor.references.references import season_of

if TYPE_CHECKING:
    from detectors.reference.reference import Reference

#: Category values that are shown of a column.
TOP_VALUES: Final = 5
#: Length of the windows whose design effects are shown.
WINDOW_ROWS: Final = 1_000
#: Columns that are named in a sentence.
_NAMED: Final = 5
_QUARTILES: Final = (0.25, 0.5, 0.75)


def as_data(reference: Reference) -> dict[str, Any]:
    """Return what JSON says of a reference; a number that is not finite is null."""
    return {
        "rows": reference.rows,
        "created": _time(reference.created),
        "origin": reference.origin,
        "digest": reference.digest,
        "season": season_of(reference),
        "segments": {name: one.rows for name, one in reference.segments.items()},
        "columns": {name: _profile(profile) for name, profile in reference.columns.items()},
        "correlations": _correlations(reference),
    }


def as_tables(reference: Reference) -> list[Table]:
    """Return a table of the columns of each kind, where there are any."""
    numbers = _table("numbers", "min", "25 %", "median", "75 %", "max", "design effect", "kept")
    categories = _table("categories", "most frequent", "design effect", "kept")
    categories.columns[-3].justify = "left"
    vectors = Table(box=SIMPLE_HEAD, pad_edge=False)
    vectors.add_column("vectors", overflow="fold")
    for heading in ("missing", "dimensions", "spread", "kept", "sampled"):
        vectors.add_column(heading, justify="right", overflow="fold")
    for name, profile in reference.columns.items():
        if isinstance(profile, VectorProfile):
            sizes = (f"{size:,}" for size in (profile.axes.kept, len(profile.sample)))
            dimensions, spread = f"{profile.axes.dimensions:,}", f"{_spread(profile):.5g}"
            vectors.add_row(*texts(name, _missing(profile), dimensions, spread, *sizes))
            continue
        common = (name, _missing(profile), f"{_distinct(profile):,}")
        if isinstance(profile, NumberProfile):
            five = (f"{value:.5g}" for value in _five(profile))
            numbers.add_row(*texts(*common, *five, _effect(profile), _kept(profile)))
        else:
            top = ", ".join(f"{value} ({count:,})" for value, count in _top(profile).items())
            categories.add_row(*texts(*common, top, _effect(profile), _kept(profile)))
    return [table for table in (numbers, categories, vectors) if table.row_count]


def varying(reference: Reference) -> str:
    """Name the columns whose rows are not independent; nothing where there are none."""
    names = [
        name
        for name, profile in reference.columns.items()
        if profile.dispersion is not None and not profile.dispersion.independent
    ]
    more = f" and {len(names) - _NAMED} more columns" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def headline(reference: Reference) -> str:
    """Say in a line what a reference is of."""
    return f"{reference.rows:,} rows of {reference.origin}, built {_time(reference.created)}"


def beyond(reference: Reference) -> int:
    """Count the number columns whose correlations are not watched because there are too many."""
    return reference.joint.left_out if reference.joint else 0


def _correlations(reference: Reference) -> dict[str, Any] | None:
    joint = reference.joint
    if joint is None:
        return None
    return {
        "columns": list(joint.tables.names),
        "left_out": joint.left_out,
        "independent_rows": joint.independent,
    }


def _table(kind: str, *headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(kind, overflow="fold")
    for heading in ("missing", "distinct", *headings):
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _missing(profile: Profile) -> str:
    wrong = f" + {profile.invalid:,} of a wrong type" if profile.invalid else ""
    return f"{profile.missing:,}{wrong}"


def _profile(profile: Profile) -> dict[str, Any]:
    common: dict[str, Any] = {
        "kind": profile.kind,
        "rows": profile.rows,
        "missing": profile.missing,
        "invalid": profile.invalid,
    }
    if isinstance(profile, VectorProfile):
        return {
            **common,
            "dimensions": profile.axes.dimensions,
            "spread": _spread(profile),
            "kept": profile.axes.kept,
            "sampled": len(profile.sample),
        }
    common |= {
        "distinct": _distinct(profile),
        "design_effect": _effects(profile),
    }
    if isinstance(profile, NumberProfile):
        low, *quartiles, high = map(_finite, _five(profile))
        return {
            **common,
            "min": low,
            "quartiles": quartiles,
            "max": high,
            "rank_error": profile.rank_error,
        }
    return {**common, "top": _top(profile), "other": profile.other}


def _effects(profile: Profile) -> dict[str, float] | None:
    if profile.dispersion is None:
        return None
    effect = design_effect(profile, WINDOW_ROWS)
    return {"rows": WINDOW_ROWS, "cumulative": effect.cumulative, "bins": effect.bins}


def _effect(profile: Profile) -> str:
    return f"{design_effect(profile, WINDOW_ROWS).bins:.3g}" if profile.dispersion else "-"


def _five(profile: NumberProfile) -> list[float]:
    if not profile.points.size:
        return [math.nan] * 5
    quartiles = [profile.quantile(share) for share in _QUARTILES]
    return [float(profile.points[0]), *quartiles, float(profile.points[-1])]


def _top(profile: CategoryProfile) -> dict[str, int]:
    return dict(zip(profile.values[:TOP_VALUES], map(int, profile.counts), strict=False))


def _spread(profile: VectorProfile) -> float:
    """Root of the mean square of the distances from the mean, in units of the column."""
    return float(np.sqrt(np.trace(profile.covariance))) * profile.axes.step


def _distinct(profile: ScalarProfile) -> int:
    return int(profile.counts.size)


def _kept(profile: ScalarProfile) -> str:
    if isinstance(profile, CategoryProfile):
        return f"all but {profile.other:,} rows" if profile.other else "exact"
    return f"thinned, {profile.rank_error:.1g}" if profile.rank_error else "exact"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
