"""Reports: one HTML file about a stretch of time, to send and to keep.

:mod:`monitor.reports.facts` is what a report is made of, gathered from a store
(:mod:`monitor.reports.from_store`) or from a replay (:mod:`monitor.reports.from_replay`).
:mod:`monitor.reports.view` makes words and tables of it, and is pure;
:mod:`monitor.reports.page` makes the file, with the pictures of :mod:`monitor.reports.charts`.

What does not belong here: anything that measures or judges. A report says what was said.
"""
