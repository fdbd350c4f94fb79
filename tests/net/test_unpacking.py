"""Packed bodies, whole and in pieces."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from poe_proxy.net.http1 import ProtocolError
from poe_proxy.net.unpacking import AT_ONCE, Unpacker

TEXT = bytes(range(256)) * 40


def raw(data: bytes) -> bytes:
    """Deflate without a head, as some servers send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def unpacked(coding: str, packed: bytes, size: int) -> bytes:
    """What is in *packed*, that comes in pieces of this size."""
    unpacker = Unpacker(coding)
    out = b""
    for at in range(0, len(packed), size):
        unpacker.feed(packed[at : at + size])
        while unpacker.has_more:
            out += unpacker.take()
    assert b"" == unpacker.take()
    unpacker.end()
    return out


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), (" X-GZip", gzip.compress), ("deflate", zlib.compress),
     ("deflate", raw)],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_what_is_packed_comes_out(coding: str, pack: Callable[[bytes], bytes], size: int) -> None:
    """Whatever it is packed with, and in whatever pieces it comes."""
    assert TEXT == unpacked(coding, pack(TEXT), size)
    assert b"" == unpacked(coding, pack(b""), size)
    assert b"" == unpacked(coding, b"", size)


def test_no_more_comes_out_than_a_piece() -> None:
    """However much is in it; and what is not asked for is not unpacked."""
    unpacker = Unpacker("gzip")
    unpacker.feed(gzip.compress(b"0" * 10_000_000))
    assert unpacker.has_more
    sizes = []
    while unpacker.has_more:
        sizes.append(len(unpacker.take()))
    unpacker.end()

    assert 10_000_000 == sum(sizes)
    assert AT_ONCE == max(sizes)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, identity", "", "x"])
def test_a_coding_that_is_not_known(coding: str) -> None:
    """Several are not, either: packed twice, a kilobyte can be a terabyte."""
    with pytest.raises(ProtocolError):
        Unpacker(coding)


@pytest.mark.parametrize(
    "packed",
    [
        b"not packed",
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[:-8] + bytes(8),
        gzip.compress(TEXT)[:5],
        gzip.compress(TEXT) + b"x",
        gzip.compress(TEXT) + gzip.compress(TEXT),
        zlib.compress(TEXT),
    ],
    ids=["not at all", "cut off", "a wrong sum", "a head", "and more", "twice", "in another way"],
)
def test_what_is_broken(packed: bytes) -> None:
    """Another packing, one that is cut off or does not add up, or more than one."""
    for size in (1, 100, 1_000_000):
        with pytest.raises(ProtocolError):
            unpacked("gzip", packed, size)
