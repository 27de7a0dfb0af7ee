"""Real NGINX and real Envoy as processes, set up as docs/taps.md says, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_BESIDE = Path(__file__).parents[2] / ".venv-deploy" / "bin"
_PATH = os.pathsep.join([str(_BESIDE), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
NGINX = shutil.which("nginx", path=_PATH)
ENVOY = shutil.which("envoy", path=_PATH)
NO_NGINX = "nginx is not installed; on Debian: apt-get install nginx-light"
NO_ENVOY = "envoy is neither in .venv-deploy nor on PATH: see requirements/deploy.txt"

_NGINX_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  access_log off;
  map $http_x_request_id $kedge_id {{ default $http_x_request_id; "" $request_id; }}
  log_format kedge escape=json '{{"msec":$msec,"request_id":"$kedge_id","status":$status,'
    '"method":"$request_method","upstream_response_time":"$upstream_response_time"}}';
  server {{
    listen 127.0.0.1:{port};
    location /invocations {{
      mirror /kedge;
      proxy_pass {upstream};
      proxy_set_header X-Request-Id $kedge_id;
      access_log {log} kedge;
    }}
    location = /kedge {{
      internal;
      proxy_pass {mirror}$request_uri;
      proxy_set_header X-Request-Id $kedge_id;
      proxy_connect_timeout 200ms;
      proxy_read_timeout 1s;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.asynccontextmanager
async def nginx(folder: Path, upstream: str, mirror: str, log: Path) -> AsyncIterator[str]:
    """Run NGINX before `upstream`, with copies to `mirror`; yield its address."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX_CONFIG.format(folder=folder, port=port, upstream=upstream, mirror=mirror, log=log)
    )
    async with _running([str(NGINX), "-e", "stderr", "-c", str(config)], port) as url:
        yield url


@contextlib.asynccontextmanager
async def envoy(folder: Path, upstream: str, mirror: str, log: Path) -> AsyncIterator[str]:
    """Run Envoy before `upstream`, with copies to `mirror`; yield its address."""
    port = free_port()
    config = folder / "envoy.json"
    config.write_text(json.dumps(_envoy_config(port, upstream, mirror, log)))
    options = ["--base-id", str(port), "--concurrency", "1", "--log-level", "warning"]
    async with _running([str(ENVOY), "-c", str(config), *options], port) as url:
        yield url


@contextlib.asynccontextmanager
async def _running(command: list[str], port: int) -> AsyncIterator[str]:
    with subprocess.Popen(command) as process:  # noqa: ASYNC220 - starting it takes no time
        try:
            async with asyncio.timeout(30):
                while True:
                    assert process.poll() is None, f"{command[0]} ended"
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        break
                    await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _envoy_config(port: int, upstream: str, mirror: str, log: Path) -> dict[str, Any]:
    known = "type.googleapis.com/envoy.extensions"
    fields = {
        "start_time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "response_code": "%RESPONSE_CODE%",
        "duration": "%DURATION%",
        "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    }
    access_log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{known}.access_loggers.file.v3.FileAccessLog",
            "path": str(log),
            "log_format": {"json_format": fields},
        },
    }
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "server", "request_mirror_policies": [{"cluster": "kedge"}]},
    }
    manager = {
        "@type": f"{known}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [access_log],
        "preserve_external_request_id": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{known}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "in",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [_cluster("server", upstream), _cluster("kedge", mirror)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _cluster(name: str, url: str) -> dict[str, Any]:
    place = urlsplit(url)
    endpoint = {"endpoint": {"address": _address(place.hostname or "", place.port or 0)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
