"""What is exported of the shape of columns: the last window beside its reference, bar by bar.

The bars are those of the status page. Their ends and names come from the reference, so they stay
while the reference does; values that it does not know are one bar, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from detectors.columns.side_by_side import SideBySide
from monitor.metrics.catalogue import Metrics
from monitor.pictures.last_windows import Held

#: Columns that are exported, the prediction first and then by name: some thirty series each.
COLUMNS_MAX: Final = 100
_PREDICTION: Final = "prediction"


class ColumnPublisher:
    """Exports the columns of the version that serves; those of the one before leave the page."""

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._shown: Held | None = None
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """The most columns that a window had beyond those that are exported."""
        return self._left_out

    def show(self, held: Mapping[str, Held], live: str | None) -> None:
        """Export the last window of a version, if it is not what was exported last."""
        latest = held.get(live or "")
        if live is None or latest is None or latest is self._shown:
            return
        self._shown = latest
        columns = latest.distribution.columns()
        names = sorted(columns, key=lambda name: (name != _PREDICTION, name))
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
                for bar, before, now in shares_of(columns[name])
                for of, share in (("reference", before), ("window", now))
            }
        )


def shares_of(column: SideBySide) -> Iterable[tuple[str, float, float]]:
    """Return each bar of a column with its share of the rows, in the reference and in the window.

    Missing values are the last bar, and have their share too. New categories are one bar: they are
    named by the data, which no label may be.

    Examples
    --------
    >>> from detectors.columns.side_by_side import Bars, Counted, beside
    >>> bars = Bars("ranges", (1.0,), (30, 10), 0)
    >>> list(shares_of(beside(bars, Counted((1, 1), 2, 0))))
    [('01 up to 1', 0.75, 0.25), ('02 above 1', 0.25, 0.25), ('03 missing', 0.0, 0.5)]
    """
    bars = [(one.label, one.reference, one.current) for one in column.bins if not one.new]
    if column.kind == "category":
        bars.append(("new", 0, sum(one.current for one in column.bins if one.new)))
    bars.append(("missing", column.reference_missing, column.current_missing))
    before = max(1, sum(rows for _, rows, _ in bars))
    now = max(1, sum(rows for _, _, rows in bars))
    for place, (label, reference, current) in enumerate(bars, start=1):
        yield f"{place:02d} {label}", reference / before, current / now
