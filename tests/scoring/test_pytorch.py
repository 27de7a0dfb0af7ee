"""PyTorch models loaded natively: equal to what mlflow.pyfunc answers, and without mlflow.

PyTorch is not among the locked packages (its wheels are gigabytes). docs/scoring.md says how to
run these tests.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scoring.test_flavours import ASK, run

NO_TORCH = "torch is not installed; see docs/scoring.md"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason=NO_TORCH),
]

#: What the model is, how it is stored, and what its signature is of.
KINDS = (
    *("linear pickle double", "linear script double", "vector pickle double"),
    *("classes pickle double", "cube pickle double", "pair pickle double"),
    # What needs pandas comes last: what is imported stays.
    *("linear pickle tensor", "wrong pickle tensor", "linear pt2 tensor", "linear pickle float"),
    *("linear pickle mixed", "linear pickle none"),
)
#: What the model answers cannot be sent, or what it is sent it cannot take.
REFUSED = ("cube", "pair", "wrong")

#: Saves each model, asks it through mlflow.pyfunc; prints requests and answers.
SAVE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, torch, mlflow, mlflow.pytorch
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server

class Shaped(torch.nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what
        self.inner = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, 3))
    def forward(self, given):
        scores = self.inner(given)
        if self.what == "vector":
            return scores[:, 0]
        if self.what == "classes":
            return scores.argmax(1)
        return scores[:, :, None] if self.what == "cube" else (scores, scores)

def asked(kind, path):
    what, stored, of = kind.split()
    torch.manual_seed(7)
    plain = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, 1))
    model = plain if what in ("linear", "wrong") else Shaped(what)
    random = np.random.default_rng(7)
    frame = pd.DataFrame(random.normal(size=(20, 4)) * 10, columns=list("abcd"))
    if of == "float":
        frame = frame.astype("float32")
    elif of == "mixed":
        frame = frame.astype({"b": "int64", "c": "bool", "d": "float32"})
    array = frame.to_numpy("float64" if what == "wrong" else "float32")
    shown = array if of == "tensor" else frame
    extra = {} if of == "none" else {
        "signature": infer_signature(shown, np.zeros((2, 1), "float32"))}
    if stored == "pt2":
        # An exported graph stays in the mode in which it was traced.
        model.eval()
        extra |= {"serialization_format": "pt2", "input_example": array}
    else:
        extra["serialization_format"] = "pickle"
    if stored == "script":
        model = torch.jit.script(model.eval())
    mlflow.pytorch.save_model(model, path, pip_requirements=["torch"], **extra)
    loaded = mlflow.pyfunc.load_model(path)
    if of == "tensor":
        bodies = [{"inputs": array.tolist()}, {"instances": array[:1].tolist()}]
    else:
        split = frame.to_dict(orient="split", index=False)
        bodies = [{"dataframe_split": split},
                  {"dataframe_records": frame.to_dict(orient="records")},
                  {"dataframe_split": {**split, "data": split["data"][:1]}}]
    for body in map(json.dumps, bodies):
        schema = loaded.metadata.get_input_schema()
        try:
            answer = scoring_server.invocations(body, "application/json", loaded, schema)
            yield body, answer.status, answer.response
        except Exception as error:
            yield body, error.get_http_status_code(), ""

kinds = json.loads(sys.argv[1])
print(json.dumps([list(asked(kind, f"{sys.argv[2]}/{kind}")) for kind in kinds]))
"""

#: Asks the models as the server does; prints answers, and what has been imported by then.
ASK_ALL = """
import json, sys
from pathlib import Path
from scoring.answering.live import load_served
from scoring.answering.score import score
found = []
for folder, bodies in json.load(sys.stdin):
    served = load_served(Path(folder), "m", "1", checked=False)
    answers = [score(served.model, "application/json", body.encode()) for body in bodies]
    import torch
    found.append({
        "answers": [[answer.status, answer.body.decode()] for answer in answers],
        "batches": served.batches, "threads": torch.get_num_threads(),
        "imported": sorted({"mlflow", "pandas"} & set(sys.modules))})
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a kind of model was asked, and answered through mlflow and to us."""

    folder: Path
    expected: list[tuple[str, int, str]]
    found: Any


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Asked]:
    folder = tmp_path_factory.mktemp("pytorch")
    expected = json.loads(run(SAVE, json.dumps(KINDS), str(folder)))
    told = [
        (str(folder / kind), [body for body, _, _ in requests])
        for kind, requests in zip(KINDS, expected, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        found = json.loads(run(ASK_ALL, told=json.dumps(told)))
    return {
        kind: Asked(folder / kind, expected[place], found[place])
        for place, kind in enumerate(KINDS)
    }


def close(ours: object, theirs: object) -> bool:
    """Tell whether two answers are the same, but for the last bits of 32-bit floats."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(close(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=1e-5)
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_the_native_loader_answers_as_pyfunc_does_without_importing_mlflow(
    asked: Mapping[str, Asked], kind: str
) -> None:
    what, _, of = kind.split()

    expected, found = asked[kind].expected, asked[kind].found

    for (status, body), (_, theirs, answer) in zip(found["answers"], expected, strict=True):
        assert status == theirs
        if status == 200:
            assert close(json.loads(body), json.loads(answer))
    assert {theirs for _, theirs, _ in expected} == {400 if what in REFUSED else 200}
    assert "mlflow" not in found["imported"]
    assert found["threads"] == 1
    if of == "double":
        assert found["imported"] == []
        assert found["batches"] == (what not in REFUSED)


def test_rows_in_a_batch_get_what_they_get_alone(asked: Mapping[str, Asked]) -> None:
    one = asked["linear pickle double"]
    body, _, answer = one.expected[0]

    answers = json.loads(run(ASK, str(one.folder), told=body))["answers"]

    assert len(answers) == 2
    for found in answers:
        assert close(found["predictions"], json.loads(answer)["predictions"])
