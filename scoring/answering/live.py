"""The version that answers now, and the one place where it is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from scoring.answering.batch import rows_are_independent
from scoring.answering.warm import check_example, warm
from scoring.flavours.model import Model, load_model

#: Below this, a request is scored on the event loop: handing it to a thread costs a third of
#: the throughput, and other requests wait no longer than the model takes.
INLINE_MS_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded version of a model, as the server uses it.

    Parameters
    ----------
    name, version
        For the log, the metrics and the headers.
    warm_ms
        What a small request takes, in milliseconds; None where that is not known.
    batches
        Whether plain requests may be scored together.
    """

    name: str
    version: str
    model: Model
    warm_ms: float | None
    batches: bool = False

    @property
    def inline(self) -> bool:
        """Whether small requests are scored on the event loop."""
        return self.warm_ms is not None and self.warm_ms < INLINE_MS_MAX

    def headers(self) -> dict[str, str]:
        """Return what says who answered; names outside ASCII are percent-encoded."""
        return {
            "X-Kedge-Model": quote(self.name, safe=" !#$&'()*+,/:;=?@[]~"),
            "X-Kedge-Version": quote(self.version, safe=" :/"),
        }


def load_served(
    folder: Path, name: str, version: str, *, checked: bool, accidents: bool = False
) -> Served:
    """Load and warm the model in a folder. It takes seconds: run it off the event loop.

    Parameters
    ----------
    checked
        Whether the model must score its own input example.
    accidents
        Whether MLflow's accidents are repeated; see docs/scoring.md.

    Raises
    ------
    ModelLoadError, ModelCheckError
        It does not load, or does not score its own example.
    """
    model = load_model(folder, accidents=accidents)
    if checked:
        check_example(model)
    warm_ms = warm(model)
    reader = model.reader
    batches = model.by_row and reader is not None and rows_are_independent(model, reader)
    return Served(name, version, model, warm_ms, batches)


class Live:
    """Holds the version that answers. A request takes it once, and keeps it to its end."""

    def __init__(self, served: Served) -> None:
        self.current = served

    def replace(self, served: Served) -> None:
        """Answer with another version from the next request on."""
        self.current = served
