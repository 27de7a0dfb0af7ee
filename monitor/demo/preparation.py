"""A process that trains both versions and registers them: `python -m monitor.demo.preparation`.

A process of its own, so that training goes on while the registry starts, and scikit-learn and
MLflow do not stay in memory. It says on standard output, one JSON object a line, what is done:

1. ``{"step": "trained", "versions": {"1": {"columns": […], "errors": {…}}, …}}``, with the rows
   for the references written to ``reference-rows/<version>.parquet``;
2. once it was told the registry's address on standard input,
   ``{"step": "registered", "versions": {"1": "1", …}}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import mlflow
import mlflow.sklearn
import pandas as pd
import sklearn
from mlflow.models import infer_signature

from monitor.demo import rows, training
from monitor.demo.configuration import REFERENCE_ROWS
from monitor.demo.models import ALIAS, MODEL_NAME, VERSION_1, VERSION_2, Version
from monitor.demo.training import Model

#: What the error of each version is measured on, besides the rows that it is served later.
SPANS: Final = {"reference": rows.REFERENCE, "quiet": rows.QUIET, "drifted": rows.DRIFTED}


def train_both(table: pd.DataFrame) -> dict[Version, Model]:
    """Fit both versions on the same rows."""
    return {version: training.train(version, table) for version in (VERSION_1, VERSION_2)}


def errors(version: Version, model: Model) -> dict[str, float]:
    """Return the version's error ratio, by the labels, in each part of the rows.

    ``drifted`` is the drift of the set's own; ``shifted`` has the fault on top of it, as the
    demo's traffic does.
    """
    tables = {name: rows.load(span) for name, span in SPANS.items()}
    tables["shifted"] = rows.in_cents(tables["drifted"])
    return {
        name: training.error_ratio(training.predict(version, model, table), table)
        for name, table in tables.items()
    }


def write_reference_rows(version: Version, model: Model, folder: Path) -> Path:
    """Write rows held out from training, as the version would answer them, as Parquet."""
    table = rows.load(rows.REFERENCE)
    # Only what the version reads: the scoring server logs no other column.
    features = table[list(version.columns)]
    path = folder / f"{version.number}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    features.assign(prediction=training.predict(version, model, table)).to_parquet(
        path, index=False
    )
    return path


def register(
    tracking_uri: str,
    trained: dict[Version, Model],
    held_out: dict[Version, float],
    table: pd.DataFrame,
) -> dict[str, str]:
    """Log and register the versions in order, and point the alias to the last.

    Parameters
    ----------
    held_out
        Error ratio of each version on rows that it was not trained on, for its run's page.

    Returns
    -------
    dict
        Our number of the version to the registry's.
    """
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment(MODEL_NAME)
    numbers: dict[str, str] = {}
    for version, model in trained.items():
        inputs = table[list(version.columns)]
        with mlflow.start_run(run_name=f"{MODEL_NAME} version {version.number}"):
            mlflow.log_param("columns", ", ".join(version.columns))
            mlflow.log_metric("error_ratio_held_out", held_out[version])
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(inputs, training.predict(version, model, table)),
                input_example=inputs.head(2),
                registered_model_name=MODEL_NAME,
                # Named here, because MLflow finds them out by loading the model elsewhere.
                pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
            )
        numbers[version.number] = str(info.registered_model_version)
    client = mlflow.MlflowClient()
    # As it comes about in life: version 1 served, then version 2 was promoted.
    for number in numbers.values():
        client.set_registered_model_alias(MODEL_NAME, ALIAS, number)
    return numbers


def main() -> None:
    """Train, say so, wait for the registry's address, register, say so."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # MLflow prints to standard output, which is ours to talk on.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(step: str, versions: dict[str, Any]) -> None:
        print(json.dumps({"step": step, "versions": versions}), file=answers, flush=True)

    table = rows.load(rows.TRAINING)
    trained = train_both(table)
    measured = {version: errors(version, model) for version, model in trained.items()}
    for version, model in trained.items():
        write_reference_rows(version, model, Path(REFERENCE_ROWS))
    say(
        "trained",
        {v.number: {"columns": v.columns, "errors": error} for v, error in measured.items()},
    )
    tracking_uri = sys.stdin.readline().strip()
    if not tracking_uri:
        sys.exit("no registry address came on standard input")
    held_out = {version: error["reference"] for version, error in measured.items()}
    say("registered", register(tracking_uri, trained, held_out, table))


if __name__ == "__main__":
    main()
