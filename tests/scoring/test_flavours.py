"""Flavours with a native loader: equal to what mlflow.pyfunc answers, and without mlflow."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scoring.served import ROOT

KINDS = {
    "lightgbm-booster": "lightgbm",
    "lightgbm-classifier": "lightgbm",
    "xgboost-booster": "xgboost",
    "xgboost-classifier": "xgboost",
    "onnx-columns": "onnx",
    "onnx-tensor": "onnx",
}

#: Saves a model, asks it through mlflow.pyfunc, prints the request and the answer.
SAVE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, mlflow
from mlflow.models import infer_signature
kind, path = sys.argv[1:]
random = np.random.default_rng(7)
frame = pd.DataFrame(random.normal(size=(200, 4)), columns=list("abcd"))
labels = (frame["a"] + frame["b"] > 0).astype(int)
extra = {"pip_requirements": ["numpy"], "signature": infer_signature(frame, labels.to_numpy())}
if kind.startswith("lightgbm"):
    import lightgbm, mlflow.lightgbm
    settings = {"num_leaves": 7, "verbose": -1}
    if kind.endswith("booster"):
        settings["objective"] = "binary"
        model = lightgbm.train(settings, lightgbm.Dataset(frame, labels), 20)
    else:
        model = lightgbm.LGBMClassifier(n_estimators=20, **settings).fit(frame, labels)
        extra["serialization_format"] = "cloudpickle"
    mlflow.lightgbm.save_model(model, path, **extra)
elif kind.startswith("xgboost"):
    import xgboost, mlflow.xgboost
    if kind.endswith("booster"):
        model = xgboost.train({"max_depth": 3}, xgboost.DMatrix(frame, labels), 20)
    else:
        model = xgboost.XGBClassifier(n_estimators=20, max_depth=3).fit(frame, labels)
    mlflow.xgboost.save_model(model, path, **extra)
else:
    import onnx, mlflow.onnx
    from onnx import TensorProto, helper, numpy_helper
    weights = numpy_helper.from_array(random.normal(size=(4, 1)).astype("float32"), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if kind.endswith("tensor"):
        extra["signature"] = infer_signature(frame.to_numpy("float32"), np.zeros((1, 1), "float32"))
    mlflow.onnx.save_model(model, path, **extra)
from mlflow.pyfunc import scoring_server
loaded = mlflow.pyfunc.load_model(path)
rows = random.normal(size=(30, 4)).tolist()
body = json.dumps({"inputs": rows} if kind.endswith("tensor") else
                  {"dataframe_split": {"columns": list("abcd"), "data": rows}})
answer = scoring_server.invocations(
    body, "application/json", loaded, loaded.metadata.get_input_schema())
print(json.dumps([body, answer.response]))
"""

#: Asks the model as the server does: all rows at once, and in batches of single rows.
ASK = """
import json, sys
from pathlib import Path
from scoring.answering.batch import score_rows
from scoring.answering.live import load_served
from scoring.answering.score import score
served = load_served(Path(sys.argv[1]), "m", "1", checked=False)
body = sys.stdin.buffer.read()
answers = [json.loads(score(served.model, "application/json", body).body)]
reader = served.model.reader
if reader is not None:
    split = json.loads(body)["dataframe_split"]
    singles = [reader.read(json.dumps({"dataframe_split": {**split, "data": [row]}}).encode())
               for row in split["data"]]
    together = score_rows(served.model, reader, singles)
    rows = [json.loads(answer.body)["predictions"] for answer in together]
    answers.append({"predictions": [row for [row] in rows]})
print(json.dumps({"answers": answers, "batches": served.batches, "arrays":
                  served.model.plan.frame_columns is None, "mlflow": "mlflow" in sys.modules}))
"""


def run(program: str, *arguments: str, told: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        input=told,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS)
def test_a_native_loader_answers_as_mlflow_does(kind: str, tmp_path: Path) -> None:
    needed = [KINDS[kind]] + (["onnxruntime"] if KINDS[kind] == "onnx" else [])
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    body, expected = json.loads(run(SAVE, kind, str(tmp_path / "model")))

    found = json.loads(run(ASK, str(tmp_path / "model"), told=body))

    assert not found["mlflow"]
    assert found["answers"][0] == json.loads(expected)
    if kind != "onnx-tensor":
        assert found["batches"]
        assert found["answers"][1] == json.loads(expected)
