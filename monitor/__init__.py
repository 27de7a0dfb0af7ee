"""The daemon. Start reading at :mod:`monitor.loop`; :mod:`monitor.composition` has every part.

Rooms, from the ground up; none knows those behind it, and import-linter holds them to that:

* `settings`; `traffic`, `metrics`, `pictures`: what everything else stands on;
* `store`: the database; `references`: what windows are compared with;
* `judging`: what a window means; `labels`, `shadow`: what else is known of it;
* `deciding`: going back, and who may; `notifications`: who is told;
* `resources`, `publishing`; `counting`: the turn that all of this is called from;
* `page`, `web`, `telemetry`: for people and programs;
* `replay`, `reports`, `demo`, `cli`: what is run beside a daemon.
"""
