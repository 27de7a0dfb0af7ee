"""Model folders that MLflow wrote: which load, how they score, what is said of the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scoring.answering.live import load_served
from scoring.answering.score import score
from scoring.answering.warm import ModelCheckError, warm
from scoring.flavours.model import ModelLoadError, load_model
from scoring.protocol.table import Block
from tests.scoring.served import ROOT

ROWS = [[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, 3.0, 4.0]]
SPLIT = {"dataframe_split": {"columns": list("abcd"), "data": ROWS}}


def predictions(folder: Path, body: object) -> list[Any]:
    answer = score(load_model(folder), "application/json", json.dumps(body).encode())
    assert answer.status == 200, answer.body
    values: list[Any] = json.loads(answer.body)["predictions"]
    return values


@pytest.mark.parametrize("name", ["plain", "framed", "unsigned"])
def test_a_classifier_is_scored_however_it_was_trained(model_folders: Path, name: str) -> None:
    assert predictions(model_folders / name, SPLIT) == [1, 0]


def test_a_model_trained_without_names_takes_an_array(model_folders: Path) -> None:
    answer = score(
        load_model(model_folders / "plain"), "application/json", json.dumps(SPLIT).encode()
    )

    assert isinstance(answer.table, Block)
    assert answer.table.frame_columns is None


def test_the_predict_function_that_was_stored_is_called(model_folders: Path) -> None:
    answered = predictions(model_folders / "tensor", {"inputs": ROWS})

    assert [[share > 0.5 for share in pair] for pair in answered] == [[False, True], [True, False]]


def test_columns_of_several_types_reach_a_pipeline(model_folders: Path) -> None:
    rome = {"age": 40, "income": 1.5, "city": "Rome", "member": True}
    oslo = {"member": False, "city": "Oslo", "income": None, "age": "41"}

    assert predictions(model_folders / "mixed", {"dataframe_records": [rome]}) == [1]
    answer = score(
        load_model(model_folders / "mixed"),
        "application/json",
        json.dumps({"dataframe_records": [rome, oslo]}).encode(),
    )
    assert answer.status == 400
    assert b"NaN" in answer.body


def test_an_answer_that_is_no_number_is_null(model_folders: Path) -> None:
    assert predictions(model_folders / "nan", SPLIT) == [None, None]


def test_a_model_that_is_warm_says_how_long_it_takes(model_folders: Path) -> None:
    quick = warm(load_model(model_folders / "plain"))
    slow = load_served(model_folders / "slow", "slow", "1", checked=True)

    assert quick is not None
    assert quick > 0
    assert not slow.inline


def test_a_model_that_fails_its_own_example_is_refused(model_folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folders / "plain", tmp_path / "model")
    (folder / "serving_input_example.json").write_text('{"dataframe_records": [{"a": 1}]}')

    load_served(folder, "m", "1", checked=False)
    with pytest.raises(ModelCheckError, match="400"):
        load_served(folder, "m", "1", checked=True)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("MLmodel", None, "no MLflow model"),
        ("MLmodel", "{", "not YAML"),
        ("MLmodel", "[1]", "names no flavors"),
        ("MLmodel", "flavors: {sklearn: {pickled_model: x}, python_function: {}}", "cannot load"),
        (
            "MLmodel",
            (
                "flavors: {sklearn: {pickled_model: ../x}, "
                "python_function: {loader_module: mlflow.sklearn}}"
            ),
            "outside",
        ),
        ("model.skops", "no zip", "cannot load"),
        ("model.skops", None, "cannot load"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_named(
    model_folders: Path, tmp_path: Path, file: str, content: str | None, said: str
) -> None:
    folder = shutil.copytree(model_folders / "plain", tmp_path / "model")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)

    with pytest.raises(ModelLoadError, match=said):
        load_model(folder)


def test_types_that_a_skops_file_may_not_hold_are_refused(
    model_folders: Path, tmp_path: Path
) -> None:
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415 - slow to import
    from skops.io import dump  # noqa: PLC0415 - the same

    folder = shutil.copytree(model_folders / "plain", tmp_path / "model")
    dump(FunctionTransformer(func=shutil.rmtree), folder / "model.skops")

    with pytest.raises(ModelLoadError, match="rmtree"):
        load_model(folder)


def test_another_flavour_goes_through_mlflow_with_its_parameters(model_folders: Path) -> None:
    program = (
        "import sys, json; from pathlib import Path\n"
        "from scoring.flavours.model import load_model; from scoring.answering.score import score\n"
        "model = load_model(Path(sys.argv[1]))\n"
        "for body in sys.argv[2:]:\n"
        "    print(score(model, 'application/json', body.encode()).body.decode())\n"
    )
    bodies = [
        '{"dataframe_records": [{"a": 3}]}',
        '{"dataframe_records": [{"a": 3}], "params": {"factor": 5}}',
        '{"dataframe_records": [{"a": 3}], "params": {"factor": "x"}}',
    ]

    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(model_folders / "scale"), *bodies],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout

    default, given, wrong = (json.loads(line) for line in output.splitlines())
    assert default == {"predictions": [{"a": 6.0}]}
    assert given == {"predictions": [{"a": 15.0}]}
    assert wrong["error_code"] == "INVALID_PARAMETER_VALUE"


def test_the_server_imports_nothing_heavy() -> None:
    heavy = {"pandas", "sklearn", "mlflow", "scipy", "skops", "yaml", "sqlalchemy"}
    program = "import sys, scoring.web.server, scoring.processes.serving; print(*sys.modules)"

    modules = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()

    assert not heavy & set(modules)
