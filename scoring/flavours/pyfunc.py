"""Models that mlflow asks: their requests are read by mlflow too, so that no rule is missed.

Type hints, nested columns and language models have rules of their own there. mlflow is loaded
for such a model anyway.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from scoring.flavours.model_error import told
from scoring.protocol.frame import frame_of_parquet
from scoring.protocol.plan import ColumnPlan, Plan
from scoring.protocol.protocol import (
    Arrays,
    Csv,
    Language,
    Parquet,
    Records,
    RequestData,
    ScoringError,
    Split,
)
from scoring.protocol.signature import ColumnSpec, Signature
from scoring.protocol.size import check_columns, check_csv, check_frame
from scoring.protocol.table import Table, table_of

#: Settings of MLflow's server: what a model is loaded with, and whether it serves.
_CONFIG: Final = "SERVING_MODEL_CONFIG"
_SERVES: Final = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"


class PyfuncModel:
    """A model loaded by mlflow, called like any other."""

    def __init__(self, folder: Path) -> None:
        config = os.environ.get(_CONFIG)
        settings: dict[str, Any] = {"model_config": json.loads(config)} if config else {}
        self._model = mlflow.pyfunc.load_model(str(folder), **settings)
        os.environ[_SERVES] = "true"

    @property
    def schema(self) -> Any:  # noqa: ANN401 - mlflow's Schema, or None
        """What mlflow knows of the inputs."""
        return self._model.metadata.get_input_schema()

    def __call__(self, table: Table, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the model
        """Return the model's answer.

        Raises
        ------
        ScoringError
            mlflow refused the input or the parameters; the model's code raises what it likes.
        """
        try:
            return self._model.predict(table.model_input(), params=params)
        except MlflowException as error:
            raise _as_told(error) from error


class PyfuncPlan:
    """Reads requests with mlflow; rows of doubles, sent as such, are read without."""

    frame_columns: Any = None

    def __init__(self, signature: Signature, schema: Any) -> None:  # noqa: ANN401 - see above
        columns = tuple(spec for spec in signature.inputs if isinstance(spec, ColumnSpec))
        self._plain = ColumnPlan(columns, arrays=False) if columns else None
        self._schema = schema

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.protocol.plan.Plan`."""
        block = self._plain.block(data) if self._plain is not None else None
        if block is not None:
            return block
        if isinstance(data, Parquet):
            return table_of(frame_of_parquet(data))
        try:
            return table_of(self._read(data))
        except ScoringError:
            raise
        except MlflowException as error:
            raise _as_told(error) from error
        except Exception as error:  # what mlflow does not foresee is 500 there
            raise ScoringError(f"cannot read the request: {told(error)}") from error

    def _read(self, data: Split | Records | Arrays | Csv | Language) -> Any:  # noqa: ANN401 - as mlflow
        if isinstance(data, Language):
            return dict(data.value)
        if isinstance(data, Csv):
            check_csv(data)
            return scoring_server.parse_csv_input(StringIO(data.text), schema=self._schema)
        if isinstance(data, Arrays):
            check_columns(data.value)
            sent = {"instances" if data.by_row else "inputs": data.value}
        elif isinstance(data, Split):
            check_frame(data)
            split = {"data": data.rows, "columns": data.columns, "index": data.index}
            sent = {"dataframe_split": split}
        else:
            check_frame(data)
            sent = {"dataframe_records": data.rows}
        return scoring_server.infer_and_parse_data(sent, self._schema)


class HintedPlan:
    """The plan of a model of type hints, which check the input themselves."""

    frame_columns: Any = None

    def __init__(self, otherwise: Plan) -> None:
        self._otherwise = otherwise

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.protocol.plan.Plan`."""
        return table_of(data.value) if isinstance(data, Arrays) else self._otherwise.table(data)


def _as_told(error: MlflowException) -> ScoringError:
    """Return an error of mlflow's as it is answered, without the caller's data."""
    return ScoringError(
        told(str(error.message).rpartition("Error: ")[2]),
        code=str(error.error_code),
        status=int(error.get_http_status_code()),  # type: ignore[no-untyped-call] # mlflow's
        classes=(str(error.sqlstate), str(error.error_class)),
    )
