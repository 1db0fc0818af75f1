"""Gzip and zstd, unpacked in bounded pieces: everything that stands before a damage comes out, then the damage.

zlib and zstd give nothing of a call in which they find damage. So the object is then read a second time, its last piece
byte by byte.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tasks.data.sources.objects import Caps

PIECE = 1 << 18

# packed bytes of one call: what is read again byte by byte after a damage
_PART = 1 << 16

# a small object may unpack to this whatever its ratio
_HARMLESS = 16 << 20


class Damaged(Exception):
    """The bytes end, or can't be read on, here."""


class Codec(NamedTuple):
    name: str
    new: Callable[[], Any]
    feed: Callable[[Any, bytes], Iterator[bytes]]
    error: type[Exception]


class _Bad(Exception):
    def __init__(self, place: int) -> None:
        self.place = place


def unpacked(chunks: Callable[[], Iterator[bytes]], codec: str, caps: Caps) -> Iterator[bytes]:
    """The unpacked bytes, at most 256 KiB at a time, of one or several gzip members or zstd frames.

    Args:
        chunks: gives the packed bytes, from the first each time.
        codec: ``gzip`` or ``zstd``.

    Raises:
        Damaged: says what is wrong and after how many bytes; all that stands before was given.
    """
    given = 0
    try:
        for piece in _pieces(chunks(), _codec(codec), caps, None):
            given += len(piece)
            yield piece
        return
    except _Bad as bad:
        place = bad.place
    for piece in _pieces(chunks(), _codec(codec), caps, place):
        fresh = piece[given:]
        given -= len(piece) - len(fresh)
        if fresh:
            yield fresh
    raise Damaged(f"the {codec} data was damaged when it was first read, and is not any more")


def _pieces(chunks: Iterator[bytes], codec: Codec, caps: Caps, bytewise_from: int | None) -> Iterator[bytes]:
    machine, taken, given, ended = None, 0, 0, False
    for chunk in chunks:
        for part in _parts(chunk, None if bytewise_from is None else bytewise_from - taken):
            taken += len(part)
            data = part
            while data:
                if machine is None:
                    data = data.lstrip(b"\0") if ended else data  # tapes pad with zeros
                    if not data:
                        break
                    machine = codec.new()
                try:
                    for piece in codec.feed(machine, data):
                        given += len(piece)
                        _check(given, taken, codec.name, caps)
                        yield piece
                except codec.error as error:
                    if bytewise_from is None:
                        raise _Bad(taken - len(part)) from error
                    raise Damaged(f"the {codec.name} data is damaged at byte {taken:,}: {_words(error)}") from error
                data = machine.unused_data if machine.eof else b""
                if machine.eof:
                    machine, ended = None, True
    if machine is not None or not taken:
        raise Damaged(f"the {codec.name} data ends after {taken:,} bytes, before its end")


def _parts(chunk: bytes, bytewise_from: int | None) -> Iterator[bytes]:
    """The chunk in small parts, from the given place on byte by byte."""
    whole = len(chunk) if bytewise_from is None else min(max(bytewise_from, 0), len(chunk))
    for start in range(0, whole, _PART):
        yield chunk[start : min(start + _PART, whole)]
    for start in range(whole, len(chunk)):
        yield chunk[start : start + 1]


def _check(given: int, taken: int, name: str, caps: Caps) -> None:
    if given > caps.object_bytes:
        raise Damaged(f"it unpacks to more than {caps.object_bytes:,} bytes; the rest of the {name} data was not read")
    if given > caps.ratio * taken + _HARMLESS:
        raise Damaged(
            f"its first {taken:,} bytes unpack to {given:,}, more than {caps.ratio:g} times as much; "
            f"the rest of the {name} data was not read"
        )


def _words(error: Exception) -> str:
    text = str(error)
    if "incorrect data check" in text or "checksum" in text:
        return "its checksum is wrong, so any of its rows may have been altered"
    return text


def _feed_gzip(machine: Any, data: bytes) -> Iterator[bytes]:
    while True:
        piece = machine.decompress(data, PIECE)
        if piece:
            yield piece
        data = machine.unconsumed_tail
        if machine.eof or (not data and len(piece) < PIECE):
            return


def _feed_zstd(machine: Any, data: bytes) -> Iterator[bytes]:
    while True:
        piece = machine.decompress(data, PIECE)
        if piece:
            yield piece
        data = b""
        if machine.eof or machine.needs_input:
            return


def _codec(name: str) -> Codec:
    if name == "gzip":
        return Codec(name, lambda: zlib.decompressobj(31), _feed_gzip, zlib.error)
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return Codec(name, zstd.ZstdDecompressor, _feed_zstd, zstd.ZstdError)
