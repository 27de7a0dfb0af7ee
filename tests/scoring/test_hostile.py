"""Requests that nobody sends in good faith, to a real server: told what is wrong, in time.

After each the server still scores, in the memory that it had and what the request itself takes.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.scoring.served import Served, ask, serving, until

pytestmark = pytest.mark.real

ROW = {
    "dataframe_split": {
        "columns": ["age", "income", "city", "member"],
        "data": [[40, 1.5, "Rome", True]],
    }
}
MILLION = 1_000_000
#: Above what the server takes at rest: bodies of 16 MB, and what Python makes of them.
MEMORY_MAX_BYTES = 1_000_000_000
#: The head of a request that is read to its end, whatever it is.
TOLD_BYTES_MAX = 8192
MODELS = ("mixed", "unsigned", "tensor")


def _names(count: int = MILLION) -> list[str]:
    return [f"c{number}" for number in range(count)]


def _wide() -> dict[str, bytes]:
    names, row = _names(), b",".join([b"1"] * MILLION)
    named = json.dumps(names).encode()
    cells = b",".join(b'"%s":1' % name.encode() for name in names)
    lists = b",".join(b'"%s":[1]' % name.encode() for name in names)
    return {
        "split": b'{"dataframe_split":{"columns":%s,"data":[[%s]]}}' % (named, row),
        "split without names": b'{"dataframe_split":{"data":[[%s]]}}' % row,
        "records": b'{"dataframe_records":[{%s}]}' % cells,
        "inputs": b'{"inputs":{%s}}' % lists,
        "instances": b'{"instances":[{%s}]}' % cells,
    }


def _sparse() -> dict[str, bytes]:
    """Return small requests for large tables, all of whose other cells would be filled up."""
    long_row = b"[" + b",".join([b"1"] * MILLION) + b"]"
    column = b'"age":[%s]' % b",".join([b"1"] * MILLION)
    return {
        "one long row": b'{"instances":[%s%s]}' % (b"[1,2]," * MILLION, long_row),
        "one long row in a split": b'{"dataframe_split":{"data":[%s%s]}}'
        % (b"[1]," * MILLION, long_row),
        "each record its own key": b'{"dataframe_records":[%s]}'
        % b",".join(b'{"c%d":1}' % number for number in range(90_000)),
        "one long column": b'{"inputs":{%s,%s}}'
        % (column, b",".join(b'"c%d":1' % number for number in range(50_000))),
    }


def _deep() -> dict[str, bytes]:
    deep, less = 100_000, 900
    nested = b"[" * less + b"1" + b"]" * less
    return {
        "arrays": b'{"instances":' + b"[" * deep + b"]" * deep + b"}",
        "objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "a cell": b'{"inputs":{"age":[%s]}}' % nested,
        "a row": b'{"instances":[%s]}' % nested,
    }


@pytest.fixture(scope="module", params=MODELS)
def served(
    request: pytest.FixtureRequest, model_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    with serving(folder, model_uri=str(model_folders / request.param)) as served:
        yield served
        assert served.process.poll() is None
        assert "Traceback" not in served.errors.read_text(), served.errors.read_text()[:3000]


def memory_bytes(served: Served) -> int:
    """Return the most that the process has taken so far."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak) * 1024


@pytest.mark.parametrize("kind", [_wide, _sparse, _deep], ids=["wide", "sparse", "deep"])
def test_what_is_too_much_is_refused_with_a_reason(
    served: Served, kind: object, subtests: pytest.Subtests
) -> None:
    assert callable(kind)
    for name, body in kind().items():
        with subtests.test(name):
            reply = ask(f"{served.url}/invocations", body)

            assert reply.status == 400, reply.body[:200]
            assert reply.json()["message"]
    assert memory_bytes(served) < MEMORY_MAX_BYTES
    assert ask(f"{served.url}/ping").status == 200


@pytest.mark.parametrize(
    "text",
    [
        ",".join(_names()) + "\n" + ",".join("1" * MILLION) + "\n",
        ",".join(_names(15_000)) + "\n" + "1\n" * 1_000_000,
    ],
    ids=["a million columns", "lines without cells"],
)
def test_so_is_a_csv_file(served: Served, text: str) -> None:
    reply = ask(f"{served.url}/invocations", text.encode(), content_type="text/csv")

    assert reply.status == 400
    assert memory_bytes(served) < MEMORY_MAX_BYTES


def test_so_is_a_small_parquet_file_of_many_cells(served: Served, tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet  # noqa: PLC0415 - as above

    rows = pa.nulls(40_000_000, pa.int32())
    pyarrow.parquet.write_table(pa.table({"age": rows}), tmp_path / "bomb.parquet")

    reply = ask(
        f"{served.url}/invocations",
        (tmp_path / "bomb.parquet").read_bytes(),
        content_type="application/vnd.apache.parquet",
    )

    assert reply.status == 400
    assert memory_bytes(served) < MEMORY_MAX_BYTES


def sent(served: Served, data: bytes, *, hangs_up: bool = False) -> bytes:
    """Send bytes over a connection of its own; return what comes until the server closes it."""
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if hangs_up:
                return b""
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
        return received


def with_head(*lines: bytes, body: bytes = b"{}") -> bytes:
    head = [
        b"POST /invocations HTTP/1.1",
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "head",
    {
        "64 KiB of a header": [b"X-Long: " + b"x" * 65_536],
        "1,000 headers": [b"X-%d: x" % number for number in range(1000)],
        "a NUL": [b"X-Bad: a\x00b"],
        "a lone line feed": [b"X-Bad: a\nX-Other: b\r"],
        "a name with a space": [b"X Bad: a"],
        "no colon": [b"nonsense"],
        "two lengths": [b"Content-Length: 7"],
        "a length and chunks": [b"Transfer-Encoding: chunked"],
        "a length that is none": [b"Content-Length: -1"],
    }.values(),
    ids=lambda lines: lines[0][:20].decode(errors="replace"),
)
def test_a_head_that_is_none_is_refused(served: Served, head: list[bytes]) -> None:
    answer = sent(served, with_head(*head))

    # A connection that is closed while the caller still writes may lose the answer.
    assert answer.split()[1:2] in ([b"400"], [b"431"], [])
    assert answer or sum(map(len, head)) > TOLD_BYTES_MAX
    assert b"Traceback" not in answer
    assert ask(f"{served.url}/ping").status == 200


def test_callers_that_hang_up_at_any_place_leave_nothing_behind(served: Served) -> None:
    whole = with_head(body=json.dumps(ROW).encode() * 2000)
    process = psutil.Process(served.process.pid)
    ask(f"{served.url}/ping")
    before = process.num_fds()

    for place in range(1, len(whole), len(whole) // 40):
        sent(served, whole[:place], hangs_up=True)

    assert ask(f"{served.url}/ping").status == 200
    until(lambda: process.num_fds() <= before + 1)
