"""What the limits of the counting have cost by now, by name: the label of a metric."""

from __future__ import annotations

from collections.abc import Mapping

from detectors.windows.window import Windows
from monitor.counting.comparing import Comparing
from monitor.counting.keeping import Rejected
from monitor.counting.streams import Streams
from monitor.judging.changes import ChangeWatch
from monitor.labels.labels import LabelJoin
from monitor.shadow.watch import ShadowWatch
from monitor.traffic.segments import Segments
from monitor.traffic.versions import Versions


def costs_of(
    *,
    windows: Windows,
    changes: ChangeWatch,
    versions: Versions,
    comparing: Comparing,
    segments: Segments,
    streams: Streams,
    quarantine: Rejected,
    labels: LabelJoin | None,
    shadow: ShadowWatch | None,
) -> Mapping[str, int]:
    """Collect the costs from the parts of the counting."""
    costs = {
        "skipped_windows": windows.skipped,
        "evicted_versions": windows.evicted_versions,
        "evicted_panes": windows.evicted_panes,
        "evicted_change_versions": changes.evicted,
        "forgotten_versions": versions.forgotten,
        "evicted_references": comparing.evicted,
        "folded_segments": segments.folded,
        "unkept_rejections": quarantine.dropped,
    }
    if labels is not None:
        costs["evicted_label_panes"] = labels.evicted_panes
    if shadow is not None:
        costs["evicted_shadow_panes"] = shadow.evicted_panes
    return {**costs, **streams.costs()}
