"""Cutting a batch into the rows of each pane, without those that no pane can take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import PredictionBatch


def not_ahead(
    batch: PredictionBatch, now: float, ahead_max_s: float
) -> tuple[PredictionBatch, int]:
    """Return the rows, those from too far in the future as of now, and how many those are."""
    is_ahead = batch.ts > now + ahead_max_s
    ahead = int(np.count_nonzero(is_ahead))
    if ahead:
        batch = replace(batch, ts=np.where(is_ahead, now, batch.ts))
    return batch, ahead


def not_late(batch: PredictionBatch, slide: float, boundary: int) -> tuple[PredictionBatch, int]:
    """Return the rows of panes that are not closed, and how many others there are."""
    # Written so that an event time of NaN is late too.
    in_time = np.floor(batch.ts / slide) >= boundary
    if in_time.all():
        return batch, 0
    kept = np.flatnonzero(in_time)
    return batch.pick(kept), batch.rows - kept.size


def cut_by_time(batch: PredictionBatch, slide: float) -> Iterator[tuple[int, PredictionBatch]]:
    """Yield each pane's index with its rows; panes are `slide` seconds long."""
    index = np.floor(batch.ts / slide).astype(np.int64)
    if index[0] == index[-1] and (index == index[0]).all():
        yield int(index[0]), batch
        return
    if (index[1:] < index[:-1]).any():
        order = index.argsort(kind="stable")
        index, batch = index[order], batch.pick(order)
    starts = np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1]))).tolist()
    for start, stop in zip(starts, [*starts[1:], batch.rows], strict=True):
        yield int(index[start]), batch.take(slice(start, stop))


def cut_by_events(
    batch: PredictionBatch, before: int, slide: int
) -> Iterator[tuple[int, PredictionBatch]]:
    """Yield each pane's index with its rows; panes hold `slide` rows, and `before` came before."""
    start = 0
    while start < batch.rows:
        index, filled = divmod(before + start, slide)
        stop = min(batch.rows, start + slide - filled)
        yield index, batch.take(slice(start, stop))
        start = stop
