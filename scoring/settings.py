"""What `kedge serve` is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
#: Rows and requests that are scored together at most.
BATCH_ROWS_MAX: Final = 256
#: Connections of callers to one process at a time.
CONNECTIONS_MAX: Final = 2_000
#: How long a request may take, queue and model together: MLflow's own default.
REQUEST_TIMEOUT_S: Final = 60.0
#: How long the next version may take to load, to be checked and to be warmed.
LOAD_TIMEOUT_S: Final = 300.0
#: How long the prediction log may take to write what is left.
LOG_CLOSE_S: Final = 5.0
#: How long a process that has handed its port over goes on for callers who stay with it.
LINGER_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of the scoring server.

    Parameters
    ----------
    model_uri
        ``models:/NAME@ALIAS`` (the alias is followed), ``models:/NAME/VERSION``,
        ``runs:/RUN/PATH``, a local path, or any other address that MLflow can download.
    port
        0 takes a free one.
    workers
        Processes that share the port; each loads the model.
    tracking_uri
        The MLflow server; by default ``MLFLOW_TRACKING_URI`` of the environment.
    log
        File for the prediction log; None: no log.
    log_bytes_max
        Size from which on the log is moved aside; None: never.
    log_keep
        Logs that were moved aside and are kept, at least 1.
    poll_s
        How often the registry is asked where the alias points to.
    load_timeout_s
        A version that is not ready after this is not swapped in.
    cache
        Folder for downloaded models; by default one that is removed at the end.
    drain_s
        How long requests in flight may take once the server is told to stop.
    body_bytes_max
        A longer body is answered 413.
    batch_rows_max
        Rows of several requests that are scored together at most; 1: each request by itself.
    request_timeout_s
        A request that takes longer is answered 504.
    connections_max
        Connections to each worker at a time; further ones are answered 503 and closed.
    api_keys
        File of the hashes of API keys; None: everybody may ask.
    rate_limit
        Requests a second of each key, or of all callers where there are no keys; each of several
        workers lets its share of it in. None: no limit.
    allowed_sources
        Folders and beginnings of addresses that models may be loaded from; empty: any.
    mlflow_accidents
        Answer as MLflow does where it does by accident; see docs/scoring.md.
    """

    model_uri: str
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 1
    tracking_uri: str | None = None
    log: Path | None = None
    log_bytes_max: int | None = None
    log_keep: int = 5
    poll_s: float = 2.0
    load_timeout_s: float = LOAD_TIMEOUT_S
    cache: Path | None = None
    drain_s: float = 20.0
    body_bytes_max: int = BODY_BYTES_MAX
    batch_rows_max: int = BATCH_ROWS_MAX
    request_timeout_s: float = REQUEST_TIMEOUT_S
    connections_max: int = CONNECTIONS_MAX
    api_keys: Path | None = None
    rate_limit: float | None = None
    allowed_sources: tuple[str, ...] = ()
    mlflow_accidents: bool = False

    def __post_init__(self) -> None:
        limits = {
            "workers": (self.workers, 1, 256),
            "port": (self.port, 0, 65535),
            "log_keep": (self.log_keep, 1, 1000),
            "connections_max": (self.connections_max, 1, 1_000_000),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise ValueError(f"{name} must be between {least} and {most}; got {value}")
        if self.rate_limit is not None and self.rate_limit <= 0:
            raise ValueError(f"rate limit must be above 0; got {self.rate_limit:g}")
        if self.batch_rows_max < 1 or self.request_timeout_s <= 0 or self.body_bytes_max < 1:
            raise ValueError("limits of body, batch and time must be above 0")
        if self.load_timeout_s <= 0:
            raise ValueError(f"load timeout must be above 0 s; got {self.load_timeout_s:g}")
        if self.poll_s <= 0:
            raise ValueError(f"poll must be longer than 0 s; got {self.poll_s:g}")
