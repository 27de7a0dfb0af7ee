"""`kedge reference`: tables and logs become the profiles that the daemon compares with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from detectors.reference.reference import CategoryProfile, NumberProfile, Reference
from detectors.reference.reference_file import load
from monitor.cli import cli
from monitor.references import csv_rows as reference_csv
from monitor.references import tables as reference_tables
from monitor.whole_file import write_whole

Writer: TypeAlias = Callable[[Path], Path]

AGE: list[float | None] = [30.0, 40.0, None, 40.0, 25.5]
PLAN = ["gold", "free", "free", None, "gold"]
ACTIVE = [True, None, False, True, True]


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


def built(folder: Path, *tables: Path, **options: str) -> Reference:
    """Build a reference through the command line and read it back."""
    out = folder / "reference.kedge"
    more = [part for name, value in options.items() for part in (f"--{name}", value)]
    result = kedge("reference", "build", "--from", *tables, "--out", out, "--force", *more)
    assert result.exception is None, result.exception
    return load(out.read_bytes())


def parquet(path: Path) -> Path:
    table = pa.table(
        {
            "age": AGE,
            "plan": pa.array(PLAN).dictionary_encode(),
            "active": ACTIVE,
            "prediction": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    )
    pq.write_table(table, path)
    return path


def csv(path: Path) -> Path:
    pd.DataFrame(
        {
            "age": AGE,
            "plan": PLAN,
            "active": ACTIVE,
            "prediction": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    ).to_csv(path, index=False)
    return path


def rows() -> list[dict[str, Any]]:
    predictions = [0.1, 0.2, 0.3, 0.4, 0.5]
    return [
        {"age": age, "plan": plan, "active": active, "prediction": prediction}
        for age, plan, active, prediction in zip(AGE, PLAN, ACTIVE, predictions, strict=True)
    ]


def flat_lines(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def events(path: Path) -> Path:
    lines = []
    for number, row in enumerate(rows()):
        prediction = row.pop("prediction")
        event = {"ts": 1_772_618_400 + number, "model": "m", "features": row}
        lines.append(json.dumps({**event, "prediction": prediction}) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    "write", [parquet, csv, flat_lines, events], ids=["Parquet", "CSV", "JSON lines", "events"]
)
def test_the_same_rows_make_the_same_profiles_from_every_format(
    tmp_path: Path, write: Writer
) -> None:
    reference = built(tmp_path, write(tmp_path / f"table.{write.__name__}"))

    age, plan, active = (reference.columns[name] for name in ("age", "plan", "active"))
    assert reference.rows == 5
    assert set(reference.columns) == {"age", "plan", "active", "prediction"}
    assert isinstance(age, NumberProfile)
    assert age.points.tolist() == [25.5, 30.0, 40.0]
    assert age.counts.tolist() == [1, 1, 2]
    assert (age.missing, age.invalid) == (1, 0)
    assert isinstance(plan, CategoryProfile)
    assert dict(zip(plan.values, plan.counts.tolist(), strict=True)) == {"gold": 2, "free": 2}
    assert plan.missing == 1
    assert isinstance(active, CategoryProfile)
    assert dict(zip(active.values, active.counts.tolist(), strict=True)) == {"true": 3, "false": 1}


def test_several_files_add_up(tmp_path: Path) -> None:
    reference = built(tmp_path, parquet(tmp_path / "a.parquet"), events(tmp_path / "b.jsonl"))

    age = reference.columns["age"]
    assert isinstance(age, NumberProfile)
    assert reference.rows == 10
    assert age.counts.sum() == 8
    assert reference.origin == "a.parquet, b.jsonl"


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    for write in (parquet, csv, flat_lines, events):
        table = write(tmp_path / f"table.{write.__name__}")

        reference = built(tmp_path, table, columns="age,prediction")

        assert set(reference.columns) == {"age", "prediction"}


@pytest.mark.parametrize("write", [parquet, csv, flat_lines])
def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path, write: Writer) -> None:
    table = write(tmp_path / f"table.{write.__name__}")

    result = kedge(
        "reference", "build", "--from", table, "--out", tmp_path / "r", "--columns", "plam"
    )

    assert 'has no column "plam"; did you mean "plan"?' in str(result.exception)
    assert not (tmp_path / "r").exists()


def test_a_csv_column_is_told_by_its_values(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        "number,country,flag,code\n1,NA,TRUE,007\n,DE,false,x1\nnull,,True,12\nNaN,NA,,3\ninf,DE,TRUE,4\n"
    )

    columns = built(tmp_path, file).columns

    number, country, flag = columns["number"], columns["country"], columns["flag"]
    assert isinstance(number, NumberProfile)
    assert (number.points.tolist(), number.missing, number.invalid) == ([1.0], 3, 1)
    assert isinstance(country, CategoryProfile)
    assert sorted(country.values) == ["DE", "NA"]
    assert isinstance(flag, CategoryProfile)
    assert sorted(flag.values) == ["false", "true"]
    assert columns["code"].kind == "category"


def test_a_late_text_in_a_csv_column_of_numbers_is_a_wrong_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,\n2,\n3,\nfour,5\n")
    monkeypatch.setattr(reference_csv, "ROWS_AT_ONCE", 2)

    columns = built(tmp_path, file).columns

    a, b = columns["a"], columns["b"]
    assert isinstance(a, NumberProfile)
    assert (a.points.tolist(), a.missing, a.invalid) == ([1.0, 2.0, 3.0], 0, 1)
    assert isinstance(b, NumberProfile)
    assert (b.points.tolist(), b.missing) == ([5.0], 3)


def test_rows_read_in_pieces_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 50, 1_000).astype(float)
    pq.write_table(pa.table({"x": values}), tmp_path / "t.parquet")
    monkeypatch.setattr(reference_tables, "ROWS_AT_ONCE", 7)

    profile = built(tmp_path, tmp_path / "t.parquet").columns["x"]

    assert isinstance(profile, NumberProfile)
    points, counts = np.unique(values, return_counts=True)
    assert profile.points.tolist() == points.tolist()
    assert profile.counts.tolist() == counts.tolist()


def test_what_a_log_cannot_hold_is_left_out_and_named(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2], "at": pa.array([1, 2], pa.timestamp("ms")), "tags": [["a"], []]})
    pq.write_table(table, tmp_path / "t.parquet")
    out = tmp_path / "r.kedge"

    result = kedge("reference", "build", "--from", tmp_path / "t.parquet", "--out", out)

    assert set(load(out.read_bytes()).columns) == {"x"}
    assert "left out column at: a prediction log holds no timestamp[ms]" in result.stderr
    assert "left out column tags" in result.stderr


def test_lines_that_cannot_be_used_and_shadow_answers_are_left_out(tmp_path: Path) -> None:
    log = events(tmp_path / "log.jsonl")
    shadow = {"ts": 1_772_618_400, "role": "shadow", "features": {"age": 99}, "prediction": 9.0}
    log.write_text(log.read_text() + "{broken\n\n" + json.dumps(shadow) + "\n")
    out = tmp_path / "r.kedge"

    result = kedge("reference", "build", "--from", log, "--out", out)

    assert load(out.read_bytes()).rows == 5
    assert "left out 1 lines: malformed" in result.stderr
    assert "left out 1 rows: answers of a shadow" in result.stderr


def test_rows_of_failed_requests_are_left_out_as_in_windows(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [
        {"ts": 1_772_618_400 + n, "status": 500 if n % 3 == 0 else 200, "prediction": n / 10}
        | {"label": n % 2, "features": {"age": 1e6 if n % 3 == 0 else 40 + n}}
        for n in range(90)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "r.kedge"

    result = kedge("reference", "build", "--from", log, "--out", out)

    reference = load(out.read_bytes())
    age = reference.columns["age"]
    assert isinstance(age, NumberProfile)
    assert (reference.rows, age.missing, float(age.points.max())) == (60, 0, 129.0)
    assert "left out 30 rows: their requests failed" in result.stderr


def test_a_line_that_may_be_an_event_or_a_row_is_not_guessed_at(tmp_path: Path) -> None:
    flat = tmp_path / "flat.jsonl"
    flat.write_text('{"ts": 1772618400, "age": 40, "prediction": 0.5}\n' * 3)
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"ts": 1772618400, "version": "7", "prediction": 0.5}\n' * 3)
    out = tmp_path / "r.kedge"

    either = kedge("reference", "build", "--from", flat, "--out", out)
    table = kedge("reference", "build", "--from", flat, "--time-column", "ts", "--out", out)
    columns = set(load(out.read_bytes()).columns)
    kedge("reference", "build", "--from", bare, "--out", tmp_path / "bare.kedge")

    assert "cannot tell whether" in str(either.exception)
    assert '"age", which no event has; say "--time-column ts"' in str(either.exception)
    assert table.exception is None
    assert columns == {"age", "prediction"}
    assert set(load((tmp_path / "bare.kedge").read_bytes()).columns) == {"prediction"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.jsonl", b"", "it is empty"),
        ("t.jsonl", b'[{"a": 1}]', "it is a JSON array"),
        ("t.csv.gz", b"\x1f\x8b\x08\x00", "it is compressed"),
        ("t.xlsx", b"PK\x03\x04", "neither Parquet, nor JSON lines, nor .csv"),
        ("t.parquet", b"PAR1 and then nothing", "as Parquet"),
        ("t.csv", b"a,b\n1,2,3\n4,5\n6,7,8,9\n", "as CSV"),
        ("t.csv", b"a\n\xff\n", "as CSV"),
        ("t.csv", b"a,b\n", "there is no usable row"),
        ("t.jsonl", b'{"ts": "soon", "prediction": 1}\n', "no line can be used"),
    ],
)
def test_a_file_of_no_use_says_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)

    result = kedge("reference", "build", "--from", tmp_path / name, "--out", tmp_path / "r")

    assert name in str(result.exception)
    assert reason in str(result.exception)
    assert not (tmp_path / "r").exists()


def test_a_reference_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    (tmp_path / "r.kedge").write_text("precious")

    result = kedge(
        *("reference", "build", "--from", parquet(tmp_path / "t.parquet")),
        *("--out", tmp_path / "r.kedge"),
    )

    assert "exists; --force replaces it" in str(result.exception)
    assert (tmp_path / "r.kedge").read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"KEDGE"], ids=str)
def test_show_names_the_file_that_is_no_reference(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "r.kedge"
    file.write_bytes(content)

    result = kedge("reference", "show", file)

    assert str(result.exception).startswith(f"{file}: ")


def test_a_file_that_cannot_be_written_is_named_and_not_the_one_beside_it() -> None:
    out = Path("/proc/r.kedge")  # a folder in which nobody makes files

    with pytest.raises(OSError, match="No such file") as raised:
        write_whole(out, b"")

    assert raised.value.filename == str(out)


def test_a_progress_bar_is_drawn_only_where_asked_for(tmp_path: Path) -> None:
    table, out = parquet(tmp_path / "table.parquet"), tmp_path / "r.kedge"
    command = ("reference", "build", "--from", table, "--out", out, "--force")

    quiet, shown = kedge(*command), kedge(*command, "--progress")

    assert quiet.stderr == ""
    assert "table.parquet" in shown.stderr


def test_show_describes_every_column(tmp_path: Path) -> None:
    built(tmp_path, parquet(tmp_path / "t.parquet"))

    data = json.loads(kedge("reference", "show", tmp_path / "reference.kedge", "--json").stdout)
    text = kedge("reference", "show", tmp_path / "reference.kedge").stdout

    assert data["rows"] == 5
    assert data["columns"]["age"] == {
        "kind": "number",
        "rows": 4,
        "missing": 1,
        "invalid": 0,
        "distinct": 3,
        "design_effect": None,
        "min": 25.5,
        "quartiles": [25.5, 30.0, 40.0],
        "max": 40.0,
        "rank_error": 0.0,
    }
    assert data["columns"]["active"]["top"] == {"true": 3, "false": 1}
    assert "5 rows of t.parquet" in text
    assert "gold (2)" in text


def test_show_tells_how_many_columns_no_correlations_are_watched_of(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((200, 66))
    names = [f"c{number:02}" for number in range(66)]
    pd.DataFrame(values, columns=names).to_parquet(tmp_path / "t.parquet")
    built(tmp_path, tmp_path / "t.parquet")

    data = json.loads(kedge("reference", "show", tmp_path / "reference.kedge", "--json").stdout)
    text = kedge("reference", "show", tmp_path / "reference.kedge").stdout

    assert data["correlations"] == {
        "columns": names[:64],
        "left_out": 2,
        "independent_rows": True,
    }
    assert "correlations of 2 number columns, the last by name, are not watched" in text


def sessions(path: Path) -> Path:
    """Write a log's table in which ten rows in a row are of one user."""
    random = np.random.default_rng(1)
    users = random.standard_normal(1_000).repeat(10)
    pd.DataFrame({"user": users, "own": random.standard_normal(10_000)}).to_parquet(path)
    return path


def test_columns_that_vary_with_the_order_of_rows_are_named(tmp_path: Path) -> None:
    table, out = sessions(tmp_path / "t.parquet"), tmp_path / "r.kedge"

    result = kedge("reference", "build", "--from", table, "--out", out)

    columns = json.loads(kedge("reference", "show", out, "--json").stdout)["columns"]
    assert "windows of user vary more" in result.stderr
    assert "--any-order" in result.stderr
    assert columns["own"]["design_effect"] == {"rows": 1_000, "cumulative": 1.0, "bins": 1.0}
    assert columns["user"]["design_effect"]["bins"] == pytest.approx(10, rel=0.4)


def test_of_a_table_in_any_order_nothing_is_learned(tmp_path: Path) -> None:
    table, out = sessions(tmp_path / "t.parquet"), tmp_path / "r.kedge"

    result = kedge("reference", "build", "--from", table, "--out", out, "--any-order")

    columns = json.loads(kedge("reference", "show", out, "--json").stdout)["columns"]
    assert result.stderr == ""
    assert [column["design_effect"] for column in columns.values()] == [None, None]
