"""A receiver of OTLP over HTTP: decodes what comes, as a collector does."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """What has come: the metrics of the last export by name, and every span."""

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {}
        self.resource: dict[str, str] = {}
        self.spans: list[Span] = []
        self.url = ""
        #: While it is not set, whoever sends something waits.
        self.answers = Event()
        self.answers.set()

    def take(self, path: str, body: bytes) -> int:
        if path == "/v1/metrics":
            metrics = ExportMetricsServiceRequest.FromString(body)
            (of,) = metrics.resource_metrics
            self.resource = {one.key: one.value.string_value for one in of.resource.attributes}
            self.metrics = {one.name: one for s in of.scope_metrics for one in s.metrics}
            return 200
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            for of_one in traces.resource_spans:
                self.spans += [span for s in of_one.scope_spans for span in s.spans]
            return 200
        return 404


@contextlib.contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.answers.wait()
            self.send_response(receiver.take(self.path, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
