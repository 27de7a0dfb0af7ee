"""The description of the API, as OpenAPI 3.1: served by the daemon, and tested against it."""

from __future__ import annotations

from typing import Any

from monitor.version import VERSION

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_NUMBER = {"type": ["number", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_COUNT_IF_KEPT = {"type": ["integer", "null"], "minimum": 0}
_OPTIONAL = {"type": ["string", "null"]}

_MEASUREMENT = {
    **dict.fromkeys(("window_start", "window_end"), _TIME),
    **dict.fromkeys(("model", "version", "metric"), _TEXT),
    # Null for all traffic of the version.
    **dict.fromkeys(("column", "segment"), _OPTIONAL),
    # Of a shadow, in the place of a column: the version that it is compared with.
    "live": _TEXT,
    **dict.fromkeys(("value", "low", "high", "p_value", "threshold"), _NUMBER),
    "n": _COUNT,
    "verdict": {"enum": ["ok", "breach", "unknown"]},
    # An hour is what is left of windows that retention has taken: the mean of their values, the
    # lowest low, the highest high; with it come windows, breaches, value_min and value_max.
    "resolution": {"enum": ["raw", "1h"]},
}
_WINDOW = {
    **dict.fromkeys(("window_start", "window_end"), _TIME),
    **dict.fromkeys(("model", "version"), _TEXT),
    "segment": _OPTIONAL,
    # Of an hour, which is what is left of windows that retention has taken: the mean number of
    # events in a window, or null, and no other counts; with it comes the number of windows.
    "events": _NUMBER,
    **dict.fromkeys(("requests", "errors", "rejected", "late"), _COUNT_IF_KEPT),
    "resolution": {"enum": ["raw", "1h"]},
}
#: Where a breach is likely to come from.
_CAUSE = {
    "type": "object",
    "properties": {
        "origin": {"enum": ["world", "model", "data", "platform", "unknown"]},
        "because": _TEXT,
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(("column", "fault"), _TEXT),
                    "share": {"type": "number", "minimum": 0, "maximum": 1},
                    "verdict": {"enum": ["ok", "breach", "unknown"]},
                    "value": _NUMBER,
                },
            },
        },
    },
}
_INCIDENT = {
    "id": _COUNT,
    "segment": _OPTIONAL,
    "at": _TIME,
    **dict.fromkeys(("kind", "model"), _TEXT),
    **dict.fromkeys(("version", "rule", "rollback"), _OPTIONAL),
    "evidence": {"type": "object", "properties": {"cause": _CAUSE}},
}
_ROLLBACK = {
    **dict.fromkeys(("id", "model", "state", "from", "reason"), _TEXT),
    "to": _OPTIONAL,
    "dry_run": {"type": "boolean"},
    **{key: {"type": "array"} for key in ("gates", "steps")},
    "timings": {"type": "object"},
}
_EVENT: dict[str, Any] = {"type": "object"}
_JSON_EVENT = "application/cloudevents+json"
#: Bodies that are taken, by path, where the model is called so.
_EXAMPLES: dict[str, Any] = {
    "/api/v1/predictions": [
        {"id": "r1", "ts": 1767225600, "features": {"distance": 513}, "prediction": 0.5}
    ],
    "/api/v1/labels": [{"id": "r1", "label": 1, "ts": 1767225660}],
    "/api/v1/cloudevents": {
        "specversion": "1.0",
        "id": "r1",
        "source": "http://localhost:9081/",
        "type": "org.kubeflow.serving.inference.request",
        "time": "2026-01-01T00:00:00Z",
        "data": {"instances": [[513]]},
    },
    "/api/v1/holds": {"model": "flight-delay", "for": "4h", "reason": "a holiday"},
    "/api/v1/blessings": {"model": "flight-delay", "version": "7"},
    "/api/v1/quarantines": {
        "model": "flight-delay",
        "version": "8",
        "for": "7d",
        "reason": "trained on a broken table",
    },
    "/api/v1/rollbacks": {"model": "flight-delay", "reason": "too many delays", "dry_run": True},
}
_EVENTS = {"type": "array", "items": _EVENT}


def description() -> dict[str, Any]:
    """Return the OpenAPI document."""
    document = _document()
    for path, example in _EXAMPLES.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]
        content[_JSON_EVENT if _JSON_EVENT in content else "application/json"]["example"] = example
    return document


def _document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kedge", "version": VERSION},
        "paths": {
            "/healthz": {"get": _probe("Counting goes on")},
            "/readyz": {"get": _probe("Ready: sources are open and the store takes commits")},
            "/metrics": {"get": {"summary": "Prometheus metrics", "responses": _ok("text/plain")}},
            "/api/v1/status": {
                "get": {
                    "summary": "Model, versions, rules and their state, totals",
                    "responses": _ok("application/json", {"type": "object"}),
                }
            },
            "/api/v1/measurements": _list(
                "measurements", _MEASUREMENT, "model", "version", "segment", "column", "metric"
            ),
            "/api/v1/windows": _list("windows", _WINDOW, "model", "version", "segment"),
            "/api/v1/incidents": _list("incidents", _INCIDENT, "model", "version", "segment"),
            "/api/v1/rollbacks": {
                **_list("rollbacks", _ROLLBACK, "model"),
                "post": _request_rollback(),
            },
            **steering(),
            "/api/v1/columns": _columns(),
            "/api/v1/columns/{column}": _column(),
            "/api/v1/changes": {
                "get": {
                    "summary": "Server-sent events, one whenever there is something new to see",
                    "responses": _ok("text/event-stream", {}) | _problems("503"),
                }
            },
            "/api/v1/alerts": {"post": _alerts()},
            "/api/v1/predictions": _ingest(
                "Send prediction events: one a line, or an array of them",
                {"application/x-ndjson": _TEXT, "application/json": _EVENTS},
            ),
            "/api/v1/labels": _ingest(
                "Send labels that are known now, for predictions of any time",
                {"application/x-ndjson": _TEXT, "application/json": _EVENTS},
            ),
            "/api/v1/cloudevents": _ingest(
                "Send a CloudEvent, in binary, structured or batch mode",
                {
                    "application/json": {},
                    "application/cloudevents+json": _EVENT,
                    "application/cloudevents-batch+json": _EVENTS,
                },
            ),
            "/api/v1/rollbacks/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}],
                "get": {
                    "summary": "One rollback with its transitions",
                    "responses": _ok("application/json", _object(_ROLLBACK)) | _problems("404"),
                },
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _list(name: str, row: dict[str, Any], *parameters: str) -> dict[str, Any]:
    kinds = dict.fromkeys(parameters, _TEXT) | {
        "since": _TEXT,
        "until": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    }
    body = _object({name: {"type": "array", "items": _object(row)}})
    return {
        "get": {
            "summary": f"The newest {name} first",
            "parameters": [
                {"name": key, "in": "query", "schema": kind} for key, kind in kinds.items()
            ],
            "responses": _ok("application/json", body) | _problems("400"),
        }
    }


_BIN = {
    # Numbers in ``(from, to]``, open where it is null; or one value; or all others.
    **dict.fromkeys(("from", "to"), _NUMBER),
    "value": {"type": ["number", "string", "null"]},
    **dict.fromkeys(("reference", "current"), _COUNT),
    "label": _TEXT,
    # Whether it holds categories that the reference does not know.
    "new": {"type": "boolean"},
}
_OF_LAST_WINDOW = {
    "model": _TEXT,
    "version": _OPTIONAL,
    "segment": _TEXT,
    **dict.fromkeys(("window_start", "window_end"), _OPTIONAL),
}
_OF_WHICH = [{"name": key, "in": "query", "schema": _TEXT} for key in ("version", "segment")]


def _pictured() -> dict[str, Any]:
    # Rows with a value, and without one: of the reference, and of the last window; and those with
    # a value that the reference has none like.
    rows = {"rows": _COUNT, "missing": _COUNT}
    sides = {"reference": _object(rows), "current": _object({**rows, "new": _COUNT})}
    return {"column": _TEXT, "kind": {"enum": ["number", "category"]}, **sides}


def _columns() -> dict[str, Any]:
    rows = {"type": "array", "items": _object(_pictured())}
    body = _object({**_OF_LAST_WINDOW, "columns": rows})
    return {
        "get": {
            "summary": "The columns of a version's last window that have a reference",
            "parameters": _OF_WHICH,
            "responses": _ok("application/json", body) | _problems("400"),
        }
    }


def _column() -> dict[str, Any]:
    bins = {"type": "array", "items": _object(_BIN)}
    body = _object({**_OF_LAST_WINDOW, **_pictured(), "bins": bins})
    return {
        "parameters": [{"name": "column", "in": "path", "required": True, "schema": _TEXT}],
        "get": {
            "summary": "A column of a version's last window beside its reference, in few bins",
            "parameters": _OF_WHICH,
            "responses": _ok("application/json", body) | _problems("400", "404"),
        },
    }


def _request_rollback() -> dict[str, Any]:
    wanted = {"model": _TEXT, "reason": _TEXT, "to_version": _OPTIONAL, "by": _TEXT}
    body = _object({**wanted, "dry_run": {"type": "boolean"}}, "model", "reason")
    summary = "Ask for a rollback by hand; it goes through the same gates"
    return _change(summary, body, "202", _object({"id": _TEXT}))


def steering() -> dict[str, Any]:
    """Return the paths by which a person steers the rollback."""
    ends = {"for": {"type": ["string", "number"]}, "until": {"type": ["string", "number"]}}
    said = {"model": _TEXT, "reason": _TEXT, "by": _TEXT}
    of_version = {**said, "version": _TEXT}
    held = {**said, "until": _TIME}
    hold = _object({**said, **ends}, "model", "reason")
    bless = _change(
        "Call a version a fit target", _object(of_version, "model", "version"), made=of_version
    )
    unfit = _object({**of_version, **ends}, "model", "version", "reason")
    return {
        "/api/v1/holds": {
            "get": {
                "summary": "Holds that are in force",
                "responses": _ok(
                    "application/json",
                    _object({"holds": {"type": "array", "items": _object(held)}}),
                ),
            },
            "post": _change("Stop automatic action", hold, made=held),
        },
        "/api/v1/holds/{model}": {
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": _TEXT}],
            "delete": {
                "summary": "Let automatic action go on, also after an escalation",
                "security": [{"token": []}],
                "parameters": [
                    {"name": key, "in": "query", "schema": _TEXT} for key in ("reason", "by")
                ],
                "responses": {
                    "204": {"description": "It goes on"},
                    **_problems("400", "401", "403", "404", "409", "503"),
                },
            },
        },
        "/api/v1/blessings": {"post": bless},
        "/api/v1/quarantines": {
            "post": _change("Call a version unfit", unfit, made={**of_version, "until": _TIME})
        },
    }


def _alerts() -> dict[str, Any]:
    body = _object({"alerts": {"type": "array", "items": _EVENT}})
    counts = _object({"alerts": {"type": "object", "additionalProperties": _COUNT}})
    summary = "Send the webhook of Alertmanager (version 4) or Grafana (version 1)"
    return _change(summary, body, "202", counts)


def _change(
    summary: str,
    body: dict[str, Any],
    status: str = "201",
    answer: dict[str, Any] | None = None,
    *,
    made: dict[str, Any] | None = None,
) -> dict[str, Any]:
    schema = answer or _object(made or {})
    return {
        "summary": summary,
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            status: _answer("application/json", schema, "Written down"),
            **_problems("400", "401", "403", "404", "408", "409", "413", "415", "429", "503"),
        },
    }


def _ingest(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    counts = _object({"accepted": _COUNT, "rejected": _COUNT})
    text = "On disk; an event that was sent before counts as accepted, and is counted once"
    return {
        "post": {
            "summary": summary,
            "security": [{"token": []}],
            "parameters": [
                {
                    "name": "Content-Encoding",
                    "in": "header",
                    "schema": {"enum": ["gzip", "identity"]},
                }
            ],
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": schema} for kind, schema in content.items()},
            },
            "responses": {
                "202": _answer("application/json", counts, text),
                **_problems("400", "401", "403", "408", "409", "413", "415", "429", "503"),
            },
        }
    }


def _probe(summary: str) -> dict[str, Any]:
    body = _object({"status": _TEXT, "reason": _TEXT}, "status")
    return {
        "summary": summary,
        "responses": {
            status: _answer("application/json", body, text)
            for status, text in (("200", "Yes"), ("503", "No, with the reason"))
        },
    }


def _ok(content_type: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"200": _answer(content_type, _TEXT if schema is None else schema)}


def _answer(content_type: str, schema: dict[str, Any], text: str = "Done") -> dict[str, Any]:
    return {"description": text, "content": {content_type: {"schema": schema}}}


def _problems(*statuses: str) -> dict[str, Any]:
    problem = _object({"title": _TEXT, "status": _COUNT, "detail": _TEXT}, "title", "status")
    return {s: _answer("application/problem+json", problem, "Refused") for s in statuses}
