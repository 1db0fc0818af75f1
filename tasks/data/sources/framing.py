"""Bytes into lines: byte order marks, UTF-16, lines without end, and what stands after the last line end."""

import codecs
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tasks.data.records import Broken
from tasks.data.sources.objects import KEPT_BYTES
from tasks.data.sources.unpacking import Damaged

_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Lines(NamedTuple):
    """Whole lines without their line feeds.

    Attributes:
        first: the first one's number, from 1.
        text: the lines as they lie there (some bytes more may follow), to look at all of them at once.
    """

    first: int
    lines: list[bytes]
    text: bytes


class Tail(NamedTuple):
    """The end of an object.

    Attributes:
        rest: what stands after the last line feed, where it isn't longer than a line may be.
        line: its number.
        growing: the object was longer by then than it was read: the rest may be half a line.
        damage: why what follows couldn't be read, or None.
    """

    rest: bytes
    line: int
    growing: bool
    damage: str | None


def as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Without its byte order mark, and UTF-16 that has one as UTF-8.

    Half a surrogate pair stays what it is, so that its line alone is no UTF-8.

    Raises:
        Damaged: from ``chunks``, or the object ends in half a character.
    """
    head, damage = b"", None
    try:
        for chunk in chunks:
            head += chunk
            if len(head) >= 3:
                break
    except Damaged as error:
        damage = error
    encoding = _UTF16.get(head[:2])
    if encoding is None:
        yield head.removeprefix(codecs.BOM_UTF8)
        if damage:
            raise damage
        yield from chunks
        return
    decode = codecs.getincrementaldecoder(encoding)("surrogatepass").decode
    yield decode(head[2:]).encode("utf-8", "surrogatepass")
    if damage:
        raise damage
    for chunk in chunks:
        yield decode(chunk).encode("utf-8", "surrogatepass")
    try:
        decode(b"", final=True)
    except UnicodeDecodeError:
        raise Damaged("it ends in half a UTF-16 character") from None


def framed(chunks: Iterator[bytes], longest: int, growing: Callable[[], bool]) -> Iterator[Lines | Broken | Tail]:
    """Lines, in bundles; a line longer than ``longest`` bytes as its first 64 KiB; at last the tail.

    Args:
        growing: asked at the end (``Raw.growing``).
    """
    number, rest, damage = 1, _Rest(longest), None
    try:
        for chunk in chunks:
            if b"\n" not in chunk:
                rest.add(chunk)
                continue
            first, _, after = chunk.partition(b"\n")
            rest.add(first)
            yield rest.broken(number) if rest.over else Lines(number, [line := rest.taken()], line)
            number += 1
            lines = after.split(b"\n")
            rest = _Rest(longest)
            rest.add(lines.pop())
            if lines and len(max(lines, key=len)) > longest:
                yield from _cut(number, lines, longest)
            elif lines:
                yield Lines(number, lines, after)
            number += len(lines)
    except Damaged as error:
        damage = str(error)
    more = growing()
    if rest.over and not more:
        yield rest.broken(number)
    # a packed object that grows ends in the middle by rights
    yield Tail(b"" if rest.over else rest.taken(), number, more, None if more else damage)


def _cut(number: int, lines: list[bytes], longest: int) -> Iterator[Lines | Broken]:
    for place, line in enumerate(lines, number):
        yield Lines(place, [line], line) if len(line) <= longest else _too_long(line, place, longest)


def _too_long(start: bytes, line: int, longest: int) -> Broken:
    return Broken(
        start[:KEPT_BYTES], line, f"a line of more than {longest:,} bytes; at most its first {KEPT_BYTES:,} are kept"
    )


class _Rest:
    """A line that hasn't ended yet; of one that is too long only the beginning."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.parts: list[bytes] = []
        self.size = 0

    @property
    def over(self) -> bool:
        return self.size > self.longest

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if not self.over:
            self.parts.append(part)
        elif self.parts or self.size == len(part):
            start = b"".join([*self.parts, part])[:KEPT_BYTES]
            self.parts = []
            self.start = start

    def taken(self) -> bytes:
        return b"".join(self.parts)

    def broken(self, line: int) -> Broken:
        return _too_long(self.start, line, self.longest)
