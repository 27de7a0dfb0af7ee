"""Logs as container runtimes leave them: wrapped lines, pieces, and symbolic links."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.tail.framing import Framing, recognise, unwrap
from tests.collectors.following import Following, append, found, ids

TIME = "2026-03-04T10:00:00.123456789Z"


def cri(text: str, *, output: str = "stdout", tag: str = "F") -> str:
    return f"{TIME} {output} {tag} {text}"


def docker(text: str, *, output: str = "stdout", end: str = "\n") -> str:
    return json.dumps({"log": text + end, "stream": output, "time": TIME})


@pytest.mark.parametrize("wrap", [cri, docker])
def test_the_wrapping_of_a_runtime_is_taken_off(
    log: Path, follow: Callable[..., Following], wrap: Callable[[str], str]
) -> None:
    append(log, *(wrap(line) for line in ids(0, 50)))
    following = follow(log)
    following.look()
    append(log, *(wrap(line) for line in ids(50, 100)))
    following.restart()
    following.look()

    assert following.lines == [line.encode() for line in ids(0, 100)]


@pytest.mark.parametrize(
    ("framing", "line", "handed_out"),
    [
        ("auto", '{"ts": 1, "prediction": 2}', '{"ts": 1, "prediction": 2}'),
        ("auto", '{"log": 5}', '{"log": 5}'),
        ("lines", cri("{}"), cri("{}")),
        ("cri", cri("{}", tag="F:more:tags"), "{}"),
        ("cri", "not wrapped", "not wrapped"),
        ("docker", docker("two\nlines"), "two lines"),
        ("docker", "not wrapped", "not wrapped"),
        ("auto", f"{TIME}+01:00 stderr F  spaces  ", " spaces  "),
    ],
)
def test_lines_are_taken_for_what_the_framing_says(
    log: Path, follow: Callable[..., Following], framing: str, line: str, handed_out: str
) -> None:
    append(log, line)

    assert follow(log, framing=framing).look() == [handed_out.encode()]


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_pieces_of_a_line_are_joined_over_polls_and_restarts(
    log: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    following = follow(log)
    for text in (
        cri("a-one,", tag="P"),
        cri("e-one,", output="stderr", tag="P"),
        cri("a-two,", tag="P"),
        cri("e-two", output="stderr"),
        cri("a-three"),
        cri("whole"),
    ):
        append(log, text)
        following.look()
        if down:
            following.restart()

    assert following.lines == [b"e-one,e-two", b"a-one,a-two,a-three", b"whole"]


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_pieces_are_joined_over_the_rotation_between_them(
    log: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    append(log, cri("before"), cri("begun,", tag="P"))
    following = follow(log, linger_s=0.0)
    following.look()
    if down:
        following.tail.close()

    log.rename(f"{log}.20260304-100000")
    append(log, cri("continued,", tag="P"))
    if down:
        following.restart()
    following.look()
    log.rename(f"{log}.20260304-100010")
    append(log, cri("ended"), cri("after"))
    for path in log.parent.glob("*.2026*"):
        path.unlink()
    following.restart()
    following.look()
    log.rename(f"{log}.20260304-100020")
    append(log, cri("later"))
    following.look()

    assert following.lines == [b"before", b"begun,continued,ended", b"after", b"later"]


def test_a_line_that_becomes_too_long_is_dropped_to_its_end_and_told_of_once(
    log: Path, follow: Callable[..., Following]
) -> None:
    following = follow(log, max_event_bytes=200)
    for _ in range(50):
        append(log, cri("x" * 50, tag="P"))
        following.look()
        following.restart()
        assert all(len(str(one)) < 2_000 for one in following.positions.values())
    append(log, cri("its end"), cri("after"))
    following.look()

    assert following.lines == [b"after"]
    assert len(following.skipped) == 1


@given(data=st.data())
def test_however_lines_are_cut_in_pieces_they_are_joined_again(data: st.DataObject) -> None:
    framing: Framing = data.draw(st.sampled_from(["cri", "docker"]))
    rng = random.Random(data.draw(st.integers()))
    written: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    pieces = []
    for number in range(rng.randrange(1, 20)):
        output = rng.choice(("stdout", "stderr"))
        text = f"{number}" + "ab " * rng.randrange(10)
        written[output].append(text.encode())
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(3)))
        for begin, end in zip([0, *cuts], [*cuts, None], strict=True):
            last = end is None
            if framing == "cri":
                pieces.append(cri(text[begin:end], output=output, tag="F" if last else "P"))
            else:
                pieces.append(docker(text[begin:end], output=output, end="\n" if last else ""))
    assert recognise((pieces[0] + "\n").encode()) == framing

    lines: list[bytes] = []
    state = unwrap(framing, b"", {}, line_bytes_max=1_000)
    while pieces:
        now, pieces = pieces[: (some := rng.randrange(1, 9))], pieces[some:]
        block = "".join(piece + "\n" for piece in now).encode()
        state = unwrap(framing, block, state.pieces, line_bytes_max=1_000)
        lines += state.lines.splitlines()

    assert sorted(lines) == sorted([*written["stdout"], *written["stderr"]])
    assert dict(state.pieces) == {}


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_behind_a_link_the_old_target_is_drained_and_the_new_one_read_from_its_start(
    tmp_path: Path, follow: Callable[..., Following], *, down: bool
) -> None:
    # As the kubelet lays it out: /var/log/containers -> /var/log/pods -> the runtime's own.
    pods, containers = tmp_path / "pods" / "pod" / "main", tmp_path / "containers"
    pods.mkdir(parents=True)
    containers.mkdir()
    target, link = pods / "0.log", containers / "pod_main.log"
    append(target, *map(cri, ids(0, 10)))
    link.symlink_to(target)
    following = follow(containers / "*.log")
    following.look()

    append(target, *map(cri, ids(10, 20)))
    if down:
        following.tail.close()
    target.rename(pods / "0.log.20260304-100000")
    append(target, *map(cri, ids(20, 30)))
    if down:
        following.restart()
    following.look()
    new = pods / "1.log"
    append(target, *map(cri, ids(30, 40)))
    append(new, *map(cri, ids(40, 50)))
    (containers / "new").symlink_to(new)
    (containers / "new").rename(link)
    following.look()

    assert sorted(found(following)) == list(range(50))


def test_pods_that_come_and_go_are_followed_by_a_pattern(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    following = follow(tmp_path / "*" / "main" / "*.log", linger_s=0.0)
    following.look()

    for pod in range(8):
        folder = tmp_path / f"ns_pod-{pod}" / "main"
        folder.mkdir(parents=True)
        append(folder / "0.log", *map(cri, ids(20 * pod, 20 * pod + 10)))
        following.look()
        append(folder / "1.log", *map(cri, ids(20 * pod + 10, 20 * pod + 20)))
        following.look()
        for path in (folder / "0.log", folder / "1.log"):
            path.unlink()
        folder.rmdir()

    assert sorted(found(following)) == list(range(160))
