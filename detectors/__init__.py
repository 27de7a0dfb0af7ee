"""Pure statistics: counts, panes and windows of them, references, measurements, rules.

From the ground up: `numerics`; `columns` and `joint`, one column and several; `performance`;
`reference`; `statistics`, a file each, and `paired` for two versions; `windows`; `rules`, and
:mod:`detectors.cause`. :mod:`detectors.kinds` is the table of all metrics. `change` watches rows
one by one.

Nothing here does I/O, looks at a clock, logs or awaits; import-linter holds it to that.
Reading a table into a reference belongs in :mod:`monitor.references`.
"""
