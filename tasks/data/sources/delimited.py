"""CSV into records (RFC 4180; comma, or semicolon or tab where the header has no comma).

A record that can't be read costs its first line only: reading goes on with the next one. So a quote that is never
closed doesn't take the rest of the file with it.
"""

import csv
from collections.abc import Iterator

from tasks.data.records import Broken, Record
from tasks.data.sources.framing import Lines, Tail
from tasks.data.sources.objects import KEPT_BYTES, Caps

_DELIMITERS = ",;\t"

# a quoted text of so many lines, all of them with the header's number of fields: rows that a stray quote has swallowed
_SWALLOWED_LINES = 20

Part = Lines | Broken | Tail


def csv_records(parts: Iterator[Part], caps: Caps) -> Iterator[Record | Broken]:
    """Rows by the header; ``line`` is the line that a row begins in, and the header is the first that isn't blank.

    A header that can't be read, or names a column twice, makes the whole object one Broken of line 0.
    """
    csv.field_size_limit(caps.line_bytes)  # Python's own, of the whole process
    feed = _Feed(parts, caps.line_bytes)
    header = _header(feed)
    if isinstance(header, Broken):
        yield header
    if not isinstance(header, _Header):
        return
    reader = csv.reader(feed, delimiter=header.delimiter, strict=True)
    names, width = header.names, len(header.names)
    while True:
        feed.begin()
        try:
            row = next(reader)
        except StopIteration:
            if not (yield from feed.between()):
                return
            continue
        except csv.Error as error:
            if feed.cut and not feed.swallowed(width, header.delimiter):
                yield from feed.between()
                return
            yield feed.fails("a quote that opens here is never closed" if feed.open else f"not CSV: {error}")
            continue
        if feed.fault:
            yield feed.all_of_it(feed.fault)
        elif len(row) != width:
            if row:
                yield feed.fails(f"{len(row)} fields, and the header has {width}")
        elif feed.swallowed(width, header.delimiter):
            yield feed.fails("a quote that opens here is closed only many rows later")
        else:
            yield Record(dict(zip(names, row, strict=True)), feed.raw(), feed.line)


class _Header:
    def __init__(self, names: list[str], delimiter: str) -> None:
        self.names, self.delimiter = names, delimiter


def _header(feed: "_Feed") -> _Header | Broken | None:
    """The column names; None where there is no line at all."""
    names: list[str] = []
    delimiter = ","
    while not names:
        feed.begin()
        first = feed.peek()
        if first is None:
            for end in feed.between():
                return Broken(end.raw, 0, f"its header can't be read: {end.error}")
            return None
        delimiter = next((one for one in _DELIMITERS if one.encode() in first), ",")
        try:
            names = next(csv.reader(feed, delimiter=delimiter, strict=True))
        except (csv.Error, StopIteration) as error:
            return Broken(first[:KEPT_BYTES], 0, f"its header can't be read: {error}")
    raw = feed.raw()[:KEPT_BYTES]
    if feed.fault:
        return Broken(raw, 0, f"its header can't be read: {feed.fault}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        return Broken(raw, 0, f"its header names the column {twice[0]!r:.80} twice")
    return _Header(names, delimiter)


class _Feed:
    """Physical lines for ``csv.reader``, which takes as many as a record has; they can be given a second time.

    Attributes:
        line: number of the line that the record begins in.
        fault: what is wrong with the record's bytes, or empty.
        open: the reader wanted another line and got none.
        cut: it got none because the object ends there: by damage, or because it grows.
    """

    def __init__(self, parts: Iterator[Part], longest: int) -> None:
        self.parts, self.longest = parts, longest
        self.lines: list[bytes] = []
        self.first = 1  # number of lines[0]
        self.start = self.at = 0  # where the record begins, and the next line
        self.held: Broken | Tail | None = None  # what comes after the lines
        self.begin()

    def begin(self) -> None:
        self.start = self.at
        self.size, self.fault, self.open, self.cut = 0, "", False, False

    @property
    def line(self) -> int:
        return self.first + self.start

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if (self.at == len(self.lines) and not self._more()) or self.size > self.longest:
            self.open = self.at > self.start
            self.cut = self.size <= self.longest and isinstance(self.held, Tail) and self._cut(self.held)
            raise StopIteration
        line = self.lines[self.at]
        self.at += 1
        self.size += len(line) + 1
        if b"\0" in line:
            self.fault = "it holds a NUL byte"
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self.fault = f"not UTF-8: {error.reason} at byte {error.start + 1} of line {self.first + self.at - 1}"
            return line.decode("utf-8", "surrogateescape") + "\n"

    def peek(self) -> bytes | None:
        return self.lines[self.at] if self.at < len(self.lines) or self._more() else None

    def raw(self) -> bytes:
        return b"\n".join(self.lines[self.start : self.at]).rstrip(b"\r")

    def fails(self, reason: str) -> Broken:
        """The record's first line is broken; what the reader took after it is given again."""
        self.at = self.start + 1
        return self.all_of_it(reason)

    def all_of_it(self, reason: str) -> Broken:
        return Broken(self.raw()[:KEPT_BYTES], self.line, reason)

    def swallowed(self, width: int, delimiter: str) -> bool:
        """Whether the record's lines but the first and the last look like rows of their own."""
        inner = self.lines[self.start + 1 : self.at - 1]
        if len(inner) < _SWALLOWED_LINES or width < 2:
            return False
        texts = (line.decode("utf-8", "replace") for line in inner)
        return all(len(text.split(delimiter)) == width for text in texts)

    def between(self) -> "Iterator[Broken]":
        """What stands between two records and is none; returns whether anything may come after it."""
        held, self.held = self.held, None
        if isinstance(held, Broken):
            self.first, self.lines, self.start, self.at = held.line + 1, [], 0, 0
            yield held
            return True
        if isinstance(held, Tail) and held.damage is not None:
            whole = self.lines[self.start :] + [held.rest] * bool(held.rest)
            yield Broken(b"\n".join(whole)[:KEPT_BYTES], 0, f"{held.damage}; read up to line {self.line - 1}")
        return False

    def _more(self) -> bool:
        """Get further lines; those of finished records are let go."""
        if self.held is not None:
            return False
        part = next(self.parts)  # a tail comes at last, and is held
        if isinstance(part, Lines):
            self._drop()
            self.lines += part.lines
            return True
        self.held = part
        if isinstance(part, Tail) and part.rest and not self._cut(part):
            self._drop()
            self.lines.append(part.rest)
            return True
        return False

    def _drop(self) -> None:
        del self.lines[: self.start]
        self.first += self.start
        self.at -= self.start
        self.start = 0

    @staticmethod
    def _cut(tail: Tail) -> bool:
        return tail.growing or tail.damage is not None
