"""What is exported of the shape of columns: the last window beside its reference, bar by bar.

The bars are those of the status page. Their ends and names come from the reference, so they stay
while the reference does; values that it does not know are one bar, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from detectors.side_by_side import Bin, SideBySide
from monitor.last_windows import last_window
from monitor.metrics import Metrics

#: Columns that are exported, the prediction first and then by name: some thirty series each.
COLUMNS_MAX: Final = 100
_PREDICTION: Final = "prediction"


class ColumnPublisher:
    """Exports the columns of the version that serves; those of the one before leave the page."""

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._shown: bytes | None = None
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """The most columns that a window had beyond those that are exported."""
        return self._left_out

    def show(self, encoded: Mapping[str, bytes], live: str | None) -> None:
        """Export the last window of a version, if it is not what was exported last."""
        data = encoded.get(live or "")
        window = last_window(encoded, live or "")
        if live is None or data is self._shown or window is None:
            return
        self._shown = data
        names = sorted(window.columns, key=lambda name: (name != _PREDICTION, name))
        self._left_out = max(self._left_out, len(names) - COLUMNS_MAX)
        self._metrics.column_share.replace(
            {
                (
                    self._model,
                    self._metrics.version(live),
                    self._metrics.column(name),
                    bar,
                    of,
                ): share
                for name in names[:COLUMNS_MAX]
                for bar, before, now in shares_of(window.columns[name])
                for of, share in (("reference", before), ("window", now))
            }
        )


def shares_of(column: SideBySide) -> Iterable[tuple[str, float, float]]:
    """Return each bar of a column with its share of the rows, in the reference and in the window.

    Missing values are the last bar, and have their share too.

    Examples
    --------
    >>> bins = (Bin(None, 1.0, None, 30, 1), Bin(1.0, None, None, 10, 1))
    >>> list(shares_of(SideBySide("number", bins, 0, 2)))
    [('01 up to 1', 0.75, 0.25), ('02 over 1', 0.25, 0.25), ('03 missing', 0.0, 0.5)]
    """
    bars: dict[str, list[int]] = {}
    for one in column.bins:
        both = bars.setdefault(_name(one, column.kind), [0, 0])
        both[0] += one.reference
        both[1] += one.current
    bars["missing"] = [column.reference_missing, column.current_missing]
    before, now = (sum(both[side] for both in bars.values()) for side in (0, 1))
    for place, (name, both) in enumerate(bars.items(), start=1):
        yield f"{place:02d} {name}", both[0] / max(1, before), both[1] / max(1, now)


def _name(one: Bin, kind: str) -> str:
    if one.value is not None:
        # What the reference does not know is named by the data, which no label may be.
        known = kind == "number" or one.reference > 0
        return f"{one.value:g}" if isinstance(one.value, float) else one.value if known else "new"
    match one.low, one.high:
        case None, None:
            return "others"
        case None, high:
            return f"up to {high:g}"
        case low, None:
            return f"over {low:g}"
        case low, high:
            return f"{low:g} to {high:g}"
    raise AssertionError(one)
