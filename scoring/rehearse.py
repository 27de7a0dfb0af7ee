"""Whether a model loads and answers: ``python -m scoring.rehearse MODEL_URI``.

In a process of its own, because loading a model runs its code. Where the registry is, and how to
sign in there, comes from the environment, as MLflow's own clients are told. One line of JSON goes
out: ``{"ok": true, "detail": "…"}``; exit status 0 if it loads and answers, 1 otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from collectors.registry.client import RegistryError
from scoring.answering.warm import ModelCheckError, check_example, warm
from scoring.artifacts.artifact import ArtifactCache, ArtifactError
from scoring.artifacts.target import Target, TargetError, registered, resolve, unregistered
from scoring.artifacts.tracking import Tracking
from scoring.flavours.model import ModelLoadError, load_model


async def rehearse(model_uri: str) -> str:
    """Fetch, load and try a model; return what was seen, in words.

    Raises
    ------
    TargetError, RegistryError, ArtifactError, ModelLoadError, ModelCheckError
        It would not serve; says why.
    """
    tracking = Tracking.of(None)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kedge-drill-") as folder:
        target = await _target(model_uri, tracking)
        path = await ArtifactCache(Path(folder), tracking).fetch(target.source)
        fetched = time.perf_counter()
        model = load_model(path)
        loaded = time.perf_counter()
        check_example(model)
        answers_ms = warm(model)
    tried = (
        f"answers {'its example' if model.example else 'a made-up row'} in {answers_ms:.1f} ms"
        if answers_ms is not None
        else "has no example, and a made-up row is refused"
    )
    return f"fetched in {fetched - began:.1f} s, loaded in {loaded - fetched:.1f} s; {tried}"


async def _target(model_uri: str, tracking: Tracking | None) -> Target:
    model = registered(model_uri)
    if model is None:
        return unregistered(model_uri)
    if tracking is None:
        raise TargetError("no registry is known: set MLFLOW_TRACKING_URI")
    async with tracking.registry() as registry:
        return await resolve(model, registry)


def main(arguments: list[str]) -> int:
    """Rehearse the model that the arguments name; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m scoring.rehearse MODEL_URI\n")
        return 2
    # What a model prints must not be taken for our line.
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        ok, detail = True, asyncio.run(rehearse(arguments[0]))
    except (
        *(TargetError, RegistryError, ArtifactError, ModelLoadError, ModelCheckError),
        *(OSError, ValueError),
    ) as error:
        ok, detail = False, " ".join(str(error).split())
    ours.write(json.dumps({"ok": ok, "detail": detail}) + "\n")
    ours.flush()
    return 0 if ok else 1


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # At once: threads that a model's code left behind would keep the process from ending.
    os._exit(status)
