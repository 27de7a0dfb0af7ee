"""Inflating gives back what was compressed, or says why not, in whatever pieces it was made."""

from __future__ import annotations

import gzip
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.request_body import TooLargeError, inflate


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Bytes that compress well, or not at all, up to some pieces long."""
    size = draw(st.sampled_from((1, 1000, 65_535, 65_536, 65_537, 300_000)))
    noise = random.Random(draw(st.integers(0, 99))).randbytes(size)
    return draw(st.sampled_from((noise, bytes(size), noise[: size // 2] + bytes(size // 2))))


@given(texts(), st.integers(1, 20))
def test_what_was_compressed_comes_back_also_from_several_members(text: bytes, parts: int) -> None:
    cuts = [len(text) * part // parts for part in range(parts + 1)]
    members = [gzip.compress(text[a:b]) for a, b in itertools.pairwise(cuts)]

    assert inflate(b"".join(members), len(text)) == text


@given(texts())
def test_one_byte_more_than_allowed_is_too_large(text: bytes) -> None:
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(text), len(text) - 1)


@given(texts(), st.integers(1, 20))
def test_a_text_cut_short_is_told_from_a_whole_one(text: bytes, missing: int) -> None:
    with pytest.raises(ValueError, match=r"too early|empty"):
        inflate(gzip.compress(text)[:-missing], len(text))


def test_noise_behind_a_member_is_refused() -> None:
    with pytest.raises(ValueError, match="header"):
        inflate(gzip.compress(b"{}") + b"noise", 100)
