"""The scoring server: MLflow's protocol, hot swap, and the prediction log it writes.

A request's way: `web` takes it, `answering` has `protocol` read it and the model of `flavours`
answer, and `log` writes it down. `artifacts` fetches models, `processes` starts those that score,
keeps them running and replaces them when an alias moves; `shadow` is one that only Kedge asks.
What a window is, and what drifted, is not known here.
"""
