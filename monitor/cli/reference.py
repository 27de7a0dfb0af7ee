"""``kedge reference``: what healthy traffic looks like, as one file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options import force_option, json_option
from monitor.cli.output import refuse_existing
from monitor.cli.reference_shelf import shelf_of
from monitor.whole_file import write_whole

if TYPE_CHECKING:
    from detectors.reference.reference import Reference
    from detectors.reference.season import Season, SeasonKind
    from monitor.references.building import Building
    from monitor.references.tables import Notes


#: Segments that are named in a sentence.
_NAMED = 5


@click.group("reference")
def command() -> None:
    """Build or show a reference.

    A reference says what the columns of a model look like when all is well; current traffic is
    compared with it.
    """


@command.command("build")
@click.option(
    "--from",
    "first",
    metavar="FILE...",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Tables or prediction logs of healthy days.",
)
@click.argument(
    "more", nargs=-1, metavar="", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="The reference file to write."
)
@click.option(
    "--model",
    metavar="URI",
    help="Store it with this version in the registry: models:/NAME/7 or models:/NAME@ALIAS.",
)
@click.option("--tracking-uri", help="The MLflow server.  [default: MLFLOW_TRACKING_URI]")
@click.option(
    "--columns",
    metavar="NAMES",
    multiple=True,
    help="Only these columns, separated by commas.  [default: all]",
)
@click.option(
    "--label",
    metavar="NAME",
    default="",
    help="Column of a table that says what came true; events have a label of their own.",
)
@click.option(
    "--points-max",
    type=click.IntRange(1),
    default=500_000,
    show_default=True,
    help="Distinct values kept over all number columns, 16 bytes each.",
)
@click.option(
    "--any-order",
    is_flag=True,
    help="The rows are not in the order of the traffic: learn nothing from it.",
)
@click.option(
    "--season",
    type=click.Choice(["hour-of-day", "hour-of-week"]),
    help="Keep the same hours apart, for windows to be compared with.",
)
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="In which hours are counted, such as Europe/Berlin.",
)
@click.option(
    "--time-column",
    default="",
    metavar="NAME",
    help="Column of a table with its rows' times.  [default: those of prediction events]",
)
@click.option(
    "--segments",
    metavar="KEYS",
    multiple=True,
    help="Keep a reference of each segment too, by these keys of [segments].",
)
@click.option(
    "--max-segments",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Values of one key that have a reference of their own, those that come first.",
)
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Show a progress bar.  [default: on a terminal]",
)
@force_option
@json_option
def build(
    *,
    first: tuple[Path, ...],
    more: tuple[Path, ...],
    out: Path | None,
    model: str | None,
    tracking_uri: str | None,
    columns: tuple[str, ...],
    label: str,
    points_max: int,
    any_order: bool,
    season: SeasonKind | None,
    timezone: str,
    time_column: str,
    segments: tuple[str, ...],
    max_segments: int,
    progress: bool | None,
    force: bool,
    as_json: bool,
) -> None:
    """Build a reference from tables or prediction logs.

    Reads Parquet, CSV with a header line, and JSON lines (prediction events, or flat objects).
    Rows whose request failed are left out, as in windows. Numbers are compared as numbers, strings
    and booleans as categories. A table of features needs a column "prediction" for the model's
    answers.

    With --model it becomes an artifact of that version, and `kedge run` with [reference]
    from = "registry" fetches it when the version is seen.

    With labels (--label, or in the events) performance can be estimated where none are known yet.

    From the order of the rows Kedge learns how much healthy traffic varies by itself: over the day,
    from user to user. Of a table that was shuffled or sorted say --any-order.

    \b
    Examples:
      kedge reference build --from training.parquet --out reference.kedge
      kedge reference build --from logs/*.jsonl --out reference.kedge --columns age,plan,prediction
      kedge reference build --from training.parquet --model models:/flight-delay/7
      kedge reference build --from logs/*.jsonl --out reference.kedge --season hour-of-week
    """  # noqa: D301 - \b is click's mark
    from monitor.references.building import Building  # noqa: PLC0415 - not to print help

    paths = [*first, *more]
    wanted = [name for part in columns for name in part.split(",") if name]
    if out is None and model is None:
        raise click.UsageError("name a file with --out, a version with --model, or both")
    if out is not None:
        refuse_existing(out, force=force)
    shelf = None if model is None else shelf_of(model, tracking_uri, force=force)
    building = Building(
        paths,
        wanted,
        points_max,
        in_order=not any_order,
        season=season,
        zone=timezone,
        time_column=time_column,
        label=label,
        segments=[key for part in segments for key in part.split(",") if key],
        segments_max=max_segments,
    )
    shown = sys.stderr.isatty() if progress is None else progress
    _build(building, out, shelf, shown=shown, as_json=as_json)


def _build(
    building: Building,
    out: Path | None,
    shelf: Callable[[bytes], str] | None,
    *,
    shown: bool,
    as_json: bool,
) -> None:
    """Build a reference, put it where it belongs, and tell what it is like."""
    from detectors.reference.reference_file import dump  # noqa: PLC0415 - it brings in numpy
    from monitor.cli.reference_view import varying  # noqa: PLC0415 - not to print help
    from monitor.references.building import build_reference  # noqa: PLC0415 - the same
    from monitor.references.tables import Notes  # noqa: PLC0415 - the same

    notes = Notes()
    with _progress(building.paths, shown=shown) as advance:
        reference = build_reference(building, notes, advance)
    data = dump(reference)
    _tell(notes)
    if out is not None:
        write_whole(out, data)
    stored = None if shelf is None else shelf(data)
    if as_json:
        _print_json(reference, out, stored)
    else:
        for place in ([f"wrote {out}"] if out else []) + ([f"stored {stored}"] if stored else []):
            click.echo(f"{place}: {reference.rows:,} rows, {_columns(reference)}")
    if reference.segments:
        click.echo(f"{len(reference.segments)} segments have a reference of their own", err=True)
    if reference.season is not None:
        click.echo(_season(reference.season), err=True)
    if names := varying(reference):
        click.echo(
            f"healthy windows of {names} vary more than independent rows would, and are judged "
            "accordingly; say --any-order if the files are not in the order of the traffic",
            err=True,
        )


def _print_json(reference: Reference, out: Path | None, stored: str | None) -> None:
    import json  # noqa: PLC0415 - not to print help

    from monitor.cli.reference_view import as_data  # noqa: PLC0415 - the same

    where = {"wrote": None if out is None else str(out), "stored": stored}
    click.echo(json.dumps(where | as_data(reference), indent=2))


@contextlib.contextmanager
def _progress(paths: Sequence[Path], *, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """Show how much of each file was read; nothing where nobody looks."""
    if not shown:
        yield lambda _number, _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import Progress  # noqa: PLC0415 - only for a terminal

    with Progress(console=Console(stderr=True, force_terminal=True), transient=True) as bar:
        tasks = [bar.add_task(path.name, total=1.0) for path in paths]
        yield lambda number, share: bar.update(tasks[number], completed=share)


def _tell(notes: Notes) -> None:
    for name, kind in notes.left_out.items():
        click.echo(f"left out column {name}: a prediction log holds no {kind}", err=True)
    for reason, lines in notes.rejected.items():
        click.echo(f"left out {lines:,} lines: {reason}", err=True)
    if notes.failed:
        click.echo(f"left out {notes.failed:,} rows: their requests failed", err=True)
    if notes.shadow:
        click.echo(f"left out {notes.shadow:,} rows: answers of a shadow", err=True)
    if notes.small_segments:
        names = ", ".join(notes.small_segments[:_NAMED])
        more = " and others" if len(notes.small_segments) > _NAMED else ""
        click.echo(f"too few rows for a reference of {names}{more}", err=True)
    if notes.folded:
        click.echo(f"{notes.folded:,} rows are of segments past --max-segments", err=True)


def _season(season: Season) -> str:
    from detectors.reference.season import SLOTS  # noqa: PLC0415 - not to print help
    from detectors.reference.season_builder import SLOT_ROWS_MIN  # noqa: PLC0415 - it brings in numpy

    slots = SLOTS[season.kind]
    few = slots - len(season.slots)
    rest = f"; {few} have too few ({SLOT_ROWS_MIN} are needed)" if few else ""
    return f"{len(season.slots)} of {slots} hours have a reference of their own{rest}"


def _columns(reference: Reference) -> str:
    kinds = [profile.kind for profile in reference.columns.values()]
    found = [f"{kinds.count('number')} of numbers", f"{kinds.count('category')} of categories"]
    if "vector" in kinds:
        found.append(f"{kinds.count('vector')} of vectors")
    return f"{len(kinds)} columns ({', '.join(found)})"


@command.command("show")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@json_option
def show(*, file: Path, as_json: bool) -> None:
    """Show what is in a reference.

    "exact" means that every distinct value was kept; a thinned column states the largest error
    of its distribution function, as a share of the rows. "design effect" says by how much healthy
    windows of 1,000 rows vary more than independent rows would, for PSI; "-" where too few rows
    could not tell.

    \b
    Example:
      kedge reference show reference.kedge
    """  # noqa: D301 - \b is click's mark
    from detectors.reference.reference_file import ReferenceError as BadReference  # noqa: PLC0415 - numpy
    from detectors.reference.reference_file import load  # noqa: PLC0415 - it brings in numpy
    from monitor.cli.reference_view import (  # noqa: PLC0415 - not to print help
        as_data,
        as_tables,
        beyond,
        headline,
    )

    try:
        reference = load(file.read_bytes())
    except BadReference as error:
        raise BadReference(f"{file}: {error}") from error
    if as_json:
        import json  # noqa: PLC0415 - not to print help

        click.echo(json.dumps(as_data(reference), indent=2))
        return
    from monitor.cli.screen import fitting, screen  # noqa: PLC0415 - only to print a table

    click.echo(f"{file}: {headline(reference)}")
    if left_out := beyond(reference):
        click.echo(f"correlations of {left_out} number columns, the last by name, are not watched")
    for table in as_tables(reference):
        console = screen()
        console.print(fitting(table, console))
