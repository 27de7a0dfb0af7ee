"""``kedge serve``: the scoring server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve")
@click.argument("model_uri", metavar="MODEL_URI")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=5000,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share the port; each loads the model.",
)
@click.option("--tracking-uri", help="The MLflow server.  [default: MLFLOW_TRACKING_URI]")
@click.option(
    "--log", metavar="FILE", type=click.Path(path_type=Path), help="Write a prediction log."
)
@click.option(
    "--log-size-max",
    metavar="SIZE",
    help='Move the log aside from this size on, such as "64MiB".  [default: never]',
)
@click.option(
    "--log-keep",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Logs moved aside that are kept.",
)
@click.option(
    "--poll",
    metavar="DURATION",
    default="2s",
    show_default=True,
    help="How often to ask the registry where the alias points.",
)
@click.option(
    "--load-timeout",
    metavar="DURATION",
    default="5m",
    show_default=True,
    help="A next version that is not ready after this is not swapped in.",
)
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for downloaded models.  [default: one that is removed at the end]",
)
@click.option(
    "--api-keys",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Ask callers for a key; the file holds NAME:SHA256 lines.  [default: anybody may ask]",
)
@click.option(
    "--rate-limit",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second of each key, or of all callers where there are no keys.",
)
@click.option(
    "--body-max",
    metavar="SIZE",
    default="16MiB",
    show_default=True,
    help="A longer body is answered 413.",
)
@click.option(
    "--batch-rows-max",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    help="Rows of several requests that are scored together; 1: each request by itself.",
)
@click.option(
    "--timeout",
    metavar="DURATION",
    default="1m",
    show_default=True,
    help="A request that takes longer is answered 504.",
)
@click.option(
    "--connections-max",
    type=click.IntRange(1, 1_000_000),
    default=2000,
    show_default=True,
    help="Connections to each worker at a time; further ones are answered 503 and closed.",
)
@click.option(
    "--allow-source",
    metavar="PREFIX",
    multiple=True,
    help="Load models from below this folder or address only; may be repeated.",
)
@click.option(
    "--mlflow-accidents",
    is_flag=True,
    help="Repeat what MLflow does by accident: see docs/scoring.md.",
)
def command(
    *,
    model_uri: str,
    host: str,
    port: int,
    workers: int,
    tracking_uri: str | None,
    log: Path | None,
    log_size_max: str | None,
    log_keep: int,
    poll: str,
    load_timeout: str,
    cache: Path | None,
    api_keys: Path | None,
    rate_limit: float | None,
    body_max: str,
    batch_rows_max: int,
    timeout: str,
    connections_max: int,
    allow_source: tuple[str, ...],
    mlflow_accidents: bool,
) -> int:
    """Serve a model: the scoring server.

    Speaks MLflow's scoring protocol (POST /invocations). MODEL_URI is models:/NAME@ALIAS, which
    is followed when the alias moves, models:/NAME/VERSION, runs:/RUN/PATH, or a local path.
    Loading a model runs its code: serve only what you trust.

    \b
    Examples:
      kedge serve models:/flight-delay@champion --log logs/predictions.jsonl
      kedge serve ./model --port 8080 --workers 2
    """  # noqa: D301 - \b is click's mark
    from scoring.settings import (  # noqa: PLC0415 - not to print help
        BODY_BYTES_MAX,
        ServeSettings,
    )

    settings = ServeSettings(
        model_uri,
        host=host,
        port=port,
        workers=workers,
        tracking_uri=tracking_uri,
        log=log,
        log_bytes_max=_size("--log-size-max", log_size_max),
        log_keep=log_keep,
        poll_s=_duration("--poll", poll),
        load_timeout_s=_duration("--load-timeout", load_timeout),
        cache=cache,
        api_keys=api_keys,
        rate_limit=rate_limit,
        body_bytes_max=_size("--body-max", body_max) or BODY_BYTES_MAX,
        batch_rows_max=batch_rows_max,
        request_timeout_s=_duration("--timeout", timeout),
        connections_max=connections_max,
        allowed_sources=allow_source,
        mlflow_accidents=mlflow_accidents,
    )
    from collectors import log_output  # noqa: PLC0415 - not for wrong use

    log_output.configure_alike(service="kedge-serve")
    from scoring.serve import run  # noqa: PLC0415 - not for wrong use

    return run(settings)


def _size(option: str, text: str | None) -> int | None:
    from monitor.settings.quantities import parse_size  # noqa: PLC0415 - not to print help

    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        message = f'{option}: expected a size such as "64MiB", got "{text}"'
        raise click.UsageError(message) from error


def _duration(option: str, text: str) -> float:
    from monitor.settings.quantities import parse_duration  # noqa: PLC0415 - not to print help

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        message = f'{option}: expected a duration such as "2s", got "{text}"'
        raise click.UsageError(message) from error
    if not seconds:
        raise click.UsageError(f"{option}: expected a duration above 0s")
    return seconds
