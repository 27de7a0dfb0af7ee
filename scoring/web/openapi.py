"""The description of the scoring server's API, as OpenAPI 3.1: served, and tested against."""

from __future__ import annotations

from typing import Any, Final

from scoring.protocol.protocol import CSV_TYPE, JSON_TYPE, PARQUET_TYPE

_TEXT: Final = {"type": "string"}
_ANY: Final[dict[str, Any]] = {}
_NAMES: Final = {"type": "array", "items": {"type": ["string", "integer"]}}
_SHAPE: Final = {"type": "array", "items": {"type": "integer"}}
_PARAMS: Final = {"params": {"type": ["object", "null"]}}

#: What each way of sending rows looks like; a request has exactly one of them.
_ROWS: Final[dict[str, dict[str, Any]]] = {
    "dataframe_split": {
        "type": "object",
        "properties": {
            "columns": _NAMES,
            "index": {"type": "array"},
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "required": ["data"],
        "additionalProperties": False,
    },
    "dataframe_records": {"type": "array", "items": {"type": "object"}},
    "instances": {"type": ["array", "object"]},
    "inputs": {"type": ["array", "object"]},
}
_TENSOR: Final = {
    "type": "object",
    "properties": {"name": _TEXT, "shape": _SHAPE, "datatype": _TEXT, "data": {"type": "array"}},
    "required": ["name", "shape", "datatype", "data"],
}
_STATED: Final = {
    "type": "object",
    "properties": {"name": _TEXT, "shape": _SHAPE, "datatype": _TEXT},
    "required": ["name", "shape", "datatype"],
}


def description(version: str, example: object = None) -> dict[str, Any]:
    """Return the OpenAPI document.

    Parameters
    ----------
    version
        Of the server.
    example
        The body of a request, JSON, that the model that is served takes; None: none is known.
    """
    model = "/v2/models/{name}"
    name = [_in_path("name")]
    of_version = [*name, _in_path("version")]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kedge's scoring server", "version": version},
        "paths": {
            # MLflow labels these two as JSON, though they are a line break and a bare word.
            **{path: {"get": _get("Alive", JSON_TYPE)} for path in ("/ping", "/health")},
            "/version": {"get": _get("MLflow's version", JSON_TYPE)},
            "/metrics": {"get": _get("Prometheus metrics", "text/plain")},
            "/openapi.json": {"get": _get("This description", JSON_TYPE, {"type": "object"})},
            "/invocations": {"post": _invocations(example)},
            "/v2": {
                "get": _get(
                    "The server",
                    JSON_TYPE,
                    _object({"name": _TEXT, "version": _TEXT, "extensions": {"type": "array"}}),
                )
            },
            **{
                f"/v2/health/{what}": {
                    "get": _get("It is", JSON_TYPE, _object({what: {"const": True}}))
                }
                for what in ("live", "ready")
            },
            **_of_model(model, name),
            **_of_model(model + "/versions/{version}", of_version),
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        },
    }


def _invocations(example: object) -> dict[str, Any]:
    rows = [_object({field: schema, **_PARAMS}, field) for field, schema in _ROWS.items()]
    error = _object(
        dict.fromkeys(("error_code", "message", "sqlstate", "error_class"), _TEXT)
        | {"stack_trace": _TEXT},
        *("error_code", "message", "sqlstate", "error_class"),
    )
    json_body: dict[str, Any] = {"schema": {"oneOf": rows}}
    if example is not None:
        json_body["example"] = example
    return {
        "summary": "Score rows, as `mlflow models serve` does",
        **_SECURITY,
        "requestBody": {
            "required": True,
            "content": {
                JSON_TYPE: json_body,
                CSV_TYPE: {"schema": _TEXT},
                PARQUET_TYPE: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _answer("The predictions", JSON_TYPE, _object({"predictions": _ANY})),
            **_refusals(error),
            "415": _answer("A content type that is not served", "text/plain", _TEXT),
            # MLflow's words, which are no JSON whatever it calls them.
            "504": _answer("It took too long", JSON_TYPE),
        },
    }


def _of_model(path: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    said = _object({"error": _TEXT})
    unknown = {"404": _answer("Not the model that is served", JSON_TYPE, said)}
    described = _object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            **{way: {"type": "array", "items": _STATED} for way in ("inputs", "outputs")},
        }
    )
    is_ready = _object({"name": _TEXT, "ready": {"type": "boolean"}})
    request = _object(
        {
            "id": _TEXT,
            "parameters": {"type": ["object", "null"]},
            "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
            "outputs": {"type": ["array", "null"], "items": _object({"name": _TEXT})},
        },
        "inputs",
    )
    answer = _object(
        {
            **dict.fromkeys(("model_name", "model_version", "id"), _TEXT),
            "outputs": {"type": "array", "items": _TENSOR},
        },
        *("model_name", "model_version", "outputs"),
    )
    infer = {
        "summary": "Score tensors: the Open Inference Protocol",
        **_SECURITY,
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": request}}},
        "responses": {
            "200": _answer("The outputs", JSON_TYPE, answer),
            **_refusals(said),
            **unknown,
            "504": _answer("It took too long", JSON_TYPE, said),
        },
    }
    stated = _get("The signature", JSON_TYPE, described)
    ready = _get("Whether it answers", JSON_TYPE, is_ready)
    for one in (stated, ready):
        one["responses"] |= unknown
    return {
        path: {"parameters": parameters, "get": stated},
        f"{path}/ready": {"parameters": parameters, "get": ready},
        f"{path}/infer": {"parameters": parameters, "post": infer},
    }


#: With or without a key: the server may ask for none.
_SECURITY: Final[dict[str, Any]] = {"security": [{}, {"bearer": []}, {"key": []}]}


def _refusals(schema: dict[str, Any]) -> dict[str, Any]:
    texts = {
        "400": "Not of the protocol, or not what the model takes",
        "401": "No valid key",
        "408": "The body did not come in time",
        "413": "The body is too long",
        "429": "Too many requests of this key",
        "503": "Too many requests wait",
    }
    return {status: _answer(text, JSON_TYPE, schema) for status, text in texts.items()}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _get(summary: str, content_type: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _answer("Yes", content_type, schema)}}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _answer(text: str, content_type: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {} if schema is None else {"schema": schema}
    return {"description": text, "content": {content_type: content}}
