"""Pure statistics: counts, panes and windows of them, references, measurements, rules.

Nothing here does I/O, looks at a clock, logs or awaits; import-linter holds it to that.
Reading a table into a reference belongs in :mod:`monitor`.
"""
