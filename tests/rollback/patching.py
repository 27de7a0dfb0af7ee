"""What the API server does with a patch: RFC 6902, RFC 7396, and strategic merge in small."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeAlias

#: Anything that JSON can say.
Json: TypeAlias = Any

#: How strategic merge tells the elements of a list apart.
MERGE_KEYS = ("name", "containerPort", "port", "type", "uid")


class PatchFailedError(Exception):
    """A test did not hold, or a path is not there: 422."""


def json_patch(target: Json, operations: list[dict[str, Any]]) -> Json:
    result = deepcopy(target)
    for operation in operations:
        parent, key = _walk(result, operation["path"])
        _apply(parent, key, operation)
    return result


def _walk(document: Json, path: str) -> tuple[Any, Any]:
    parts = [p.replace("~1", "/").replace("~0", "~") for p in path.split("/")[1:]]
    for part in parts[:-1]:
        document = _child(document, part)
    last: Json = parts[-1]
    if isinstance(document, list) and last != "-":
        last = int(last)
    return document, last


def _child(document: Json, part: str) -> Json:
    try:
        return document[int(part)] if isinstance(document, list) else document[part]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PatchFailedError(f"path not found: {part}") from error


def _apply(parent: Json, key: Json, operation: dict[str, Any]) -> None:
    kind = operation["op"]
    if kind == "add":
        if isinstance(parent, list):
            parent.insert(len(parent) if key == "-" else key, deepcopy(operation["value"]))
        else:
            parent[key] = deepcopy(operation["value"])
        return
    present = _child(parent, str(key))
    if kind == "test":
        if present != operation["value"]:
            raise PatchFailedError(f"testing value {operation['path']} failed: test failed")
    elif kind == "replace":
        parent[key] = deepcopy(operation["value"])
    elif kind == "remove":
        del parent[key]
    else:
        raise PatchFailedError(f"unexpected kind: {kind}")


def merge_patch(target: Json, patch: Json) -> Json:
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Json, patch: Json) -> Json:
    if isinstance(patch, list) and isinstance(target, list):
        return _merged_lists(target, patch)
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return merge_patch(target, patch)
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic_patch(result.get(key), value)
    return result


def _merged_lists(target: list[Any], patch: list[Any]) -> list[Any]:
    elements = [*target, *patch]
    key = next((k for k in MERGE_KEYS if all(isinstance(e, dict) and k in e for e in elements)), "")
    if not key:
        return deepcopy(patch)
    result = {e[key]: e for e in target}
    for element in patch:
        result[element[key]] = strategic_patch(result.get(element[key], {}), element)
    return list(result.values())
