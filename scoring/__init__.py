"""The scoring server: MLflow's protocol, hot swap, and the prediction log it writes.

A request's way: `server` takes it, `score` has `protocol` read it, a `plan` make a `table` of it
and the `model` answer, and `prediction_log` writes it down. `serving` puts the parts
of a process together, `workers` keeps processes running; when an alias moves, `swap` has them
replaced. What a window is, and what drifted, is not known here.
"""
