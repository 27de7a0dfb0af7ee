"""Where predictions come from: sources (one file each) and formats (one file each).

Bytes go in, :class:`collectors.batch.PredictionBatch` comes out. Of a meter
(:mod:`collectors.resources`) come samples of what serves the model uses.
What a window is, what drifted and what to do about it belongs further down.
"""
