"""Where predictions come from: sources (`tail`, `spool`, `taps`) and formats (`formats`).

Bytes go in, :class:`collectors.batch.PredictionBatch` comes out. Of a meter (`resources`) come
samples of what serves the model uses; `registry` asks MLflow which versions there are.
What a window is, what drifted and what to do about it belongs further down.
"""
