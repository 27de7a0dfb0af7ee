"""An incident in one line, for the log and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told(incident: Mapping[str, Any]) -> str:
    """Return an incident of a rule as a line.

    Examples
    --------
    >>> told({"rule": "drift", "kind": "opened", "version": "7", "evidence": {"column": "age"}})
    'rule drift opened: version 7, column age'
    """
    evidence = incident["evidence"]
    of = f", column {evidence['column']}" if evidence.get("column") else ""
    why = f"; {told_cause(evidence['cause'])}" if evidence.get("cause") else ""
    return f"rule {incident['rule']} {incident['kind']}: version {incident['version']}{of}{why}"


def told_cause(cause: Mapping[str, Any]) -> str:
    """Return where a breach comes from as a part of a line.

    Examples
    --------
    >>> told_cause({"origin": "model", "because": "the inputs are stable", "columns": []})
    'likely the model: the inputs are stable'
    """
    origin = cause["origin"]
    likely = "cause unknown" if origin == "unknown" else f"likely the {origin}"
    return f"{likely}: {cause['because']}"
