"""PDF (by pypdf) as blocks: lines put together by their place and size on the page.

A PDF has no paragraphs and no headings, only glyphs at places. What is larger or bolder than most of the text, or
numbered, on a line of its own is taken for a heading; what repeats at the edge of most pages is left out.
"""

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from pypdf import PdfReader, apply_configuration
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from tasks.data.documents.read_text import heading_level
from tasks.data.documents.sections import Block

MOST_BYTES = 64 << 20
MOST_PAGES = 2000
MOST_OPERATIONS = 3_000_000  # of all pages; a page of text has some thousand
MOST_UNPACKED = 32 << 20  # of one page's drawing operations
MOST_CHARACTERS = 16 << 20
_LARGER = 1.08  # times the size of most of the text
_GAP = 1.3  # times the usual distance of two lines: a new paragraph
_LONGEST = 140  # characters of a heading
_LONGEST_PARAGRAPH = 20_000
_ITEM = re.compile(r"^[-*•–◦▪‣·●○■]\s*(?=\S)")


class Line(NamedTuple):
    text: str
    size: float
    bold: bool
    y: float
    page: int


def pdf_blocks(data: bytes) -> list[Block]:
    """Headings and paragraphs with their pages.

    Raises:
        ValueError: damaged, encrypted, a scan, or larger than the bounds above; names the page where there is one.
    """
    pages = [_lines_of(read, number) for number, read in enumerate(_pages(data), 1)]
    bare = sum(1 for page in pages if not any(char.isalnum() for line in page for char in line.text))
    if bare * 2 >= len(pages):
        raise ValueError(
            f"{bare} of {len(pages)} pages have no text: a scan? Run text recognition over it (OCR), or give the text"
        )
    return _blocks(_without_edges(pages))


Read = Callable[[Callable[..., None], Callable[..., None]], None]


def _pages(data: bytes) -> Iterator[Read]:
    """For each page what extracts its text into two visitors; all that can go wrong in there as a ValueError."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"{len(data):,} bytes; a PDF may have {MOST_BYTES:,}: split it")
    if not data[:1024].lstrip().startswith(b"%PDF-"):
        raise ValueError(f"no PDF: it begins with {data[:8]!r}; give it the ending of what it is")
    if b"%%EOF" not in data[-2048:]:
        raise ValueError("cut off: no %%EOF at the end of the PDF; copy the file again")
    with _readable("the file as a whole"):
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise FileNotDecryptedError
        count = len(reader.pages)
    if not 0 < count <= MOST_PAGES:
        raise ValueError(f"{count:,} pages; a PDF may have 1 … {MOST_PAGES:,}: split it")
    operations = characters = 0
    for number in range(count):

        def read(on_text: Callable[..., None], on_operation: Callable[..., None], number: int = number) -> None:
            nonlocal operations, characters
            inside = 0

            def counted(*found: Any) -> None:
                nonlocal operations, inside
                operations, inside = operations + 1, inside + 1
                if operations > MOST_OPERATIONS:
                    raise LimitReachedError(f"more than {MOST_OPERATIONS:,} drawing operations")
                on_operation(*found)

            with _readable(f"page {number + 1}"):
                text = reader.pages[number].extract_text(visitor_operand_before=counted, visitor_text=on_text)
                if text.count("\ufffd") * 100 > len(text):
                    raise ValueError("its font doesn't say which signs it draws")
                characters += len(text)
                if characters > MOST_CHARACTERS:
                    raise LimitReachedError(f"more than {MOST_CHARACTERS:,} characters")

        yield read


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """pypdf raises whatever a damaged file makes Python raise, and only logs what it leaves out."""
    heard = _Heard()
    logger = logging.getLogger("pypdf")
    logger.addHandler(heard)
    before, logger.propagate = logger.propagate, False
    try:
        with apply_configuration(zlib_maximum_output_length=MOST_UNPACKED, lzw_maximum_output_length=MOST_UNPACKED):
            yield
    except FileNotDecryptedError:
        raise ValueError("encrypted: save it without a password") from None
    except DependencyError as error:
        raise ValueError(f"{where} can't be read: {error}") from None
    except LimitReachedError as error:
        raise ValueError(f"{where} unpacks to more than is allowed ({_short(error)}): print it to a new PDF") from None
    except ValueError as error:
        raise ValueError(f"{where} is damaged ({_short(error)}): print it to a new PDF") from None
    except Exception as error:  # noqa: BLE001  nothing of it is ours, and all of it means the same
        raise ValueError(
            f"{where} is damaged ({type(error).__name__}: {_short(error)}): print it to a new PDF"
        ) from None
    finally:
        logger.propagate = before
        logger.removeHandler(heard)
    if heard.lost:
        raise ValueError(f"{where} can't be read as a whole ({heard.lost[0][:120]}): print it to a new PDF")


# pypdf notes many harmless things (a wrong offset that it finds right): these are what it goes on without
_LOST = re.compile(
    r"Impossible to decode|Exceeded|Detected cyclic form|Pdf(?:Read|Stream)Error|ParseError|Object \d+ \d+ not defined"
    r"|Error -\d+ while decompressing"
)


class _Heard(logging.Handler):
    """What pypdf says that it leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if _LOST.match(text):
            self.lost.append(text)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def _lines_of(read: Read, page: int) -> list[Line]:
    """A page's lines from its pieces of text: each has its size, its font, and its place."""
    lines: list[Line] = []
    pieces: list[tuple[str, float, bool, float]] = []

    def end() -> None:
        text = " ".join("".join(piece[0] for piece in pieces).split())
        if text:
            widest = max(pieces, key=lambda piece: len(piece[0].strip()))
            bold = all(piece[2] for piece in pieces if piece[0].strip())
            lines.append(Line(text, widest[1], bold, widest[3], page))
        pieces.clear()

    def on_text(text: str, cm: Any, tm: Any, font: Any, size: float) -> None:
        scale = (abs(tm[3]) or abs(tm[1]) or 1.0) * (abs(cm[3]) or abs(cm[1]) or 1.0)
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        name = str((font or {}).get("/BaseFont", ""))
        bold = re.search(r"bold|black|heavy|semibold|demi", name, re.IGNORECASE) is not None
        for number, part in enumerate(text.split("\n")):
            if number:
                end()
            if part:
                pieces.append((part, round(abs(size) * scale, 1), bold, y))

    read(on_text, lambda *_: None)
    end()
    return lines


def _without_edges(pages: list[list[Line]]) -> list[Line]:
    """All lines but page numbers and running titles: first or last lines that repeat on half of the pages or more."""

    def key(line: Line) -> tuple[str, int]:
        return re.sub(r"\d+", "#", line.text.lower()), round(line.y / 3)

    edges = Counter(one for page in pages for one in {key(line) for line in [*page[:2], *page[-2:]]})
    often = {one for one, count in edges.items() if count >= max(3, len(pages) / 2)}
    kept: list[Line] = []
    for page in pages:
        for place, line in enumerate(page):
            edge = place < 2 or place >= len(page) - 2
            number = place in (0, len(page) - 1) and re.fullmatch(
                r"\W*(?:page|seite)?\s*\d+\W*(?:(?:/|of|von)\s*\d+)?\W*", line.text, re.I
            )
            if not (edge and key(line) in often) and not number:
                kept.append(line)
    return kept


def _blocks(lines: list[Line]) -> list[Block]:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    mostly_bold = sum(len(line.text) for line in lines if line.bold) * 2 > sum(len(line.text) for line in lines)
    large = sorted({line.size for line in lines if line.size > body * _LARGER}, reverse=True)
    gaps = [abs(b.y - a.y) for a, b in pairwise(lines) if a.page == b.page and a.size == b.size == body]
    usual = median([gap for gap in gaps if gap > 0.5] or [0.0])
    blocks: list[Block] = []
    before: Line | None = None
    for line in lines:
        level = _level(line, body, large, mostly_bold)
        apart = before is None or before.size != line.size or abs(line.y - before.y) > usual * _GAP or usual == 0.0
        apart = apart and not (
            before is not None and before.page != line.page and not before.text.endswith((".", ":", "?", "!"))
        )
        item = _ITEM.match(line.text) is not None
        same = before is not None and before.page == line.page and before.size == line.size and before.bold == line.bold
        last = blocks[-1] if blocks else None
        if level and last and last.level == level and same and not apart and not heading_level(line.text):
            blocks[-1] = last._replace(text=f"{last.text} {line.text}", last=line.page)  # a heading of two lines
        elif level:
            blocks.append(Block(level, line.text, line.page, line.page))
        elif last and not last.level and not apart and not item and len(last.text) < _LONGEST_PARAGRAPH:
            blocks[-1] = last._replace(text=_hyphened(last.text, line.text), last=line.page)
        else:
            text = _ITEM.sub("- ", line.text) if item else line.text
            blocks.append(Block(0, text, line.page, line.page, item=item))
        before = line
    return blocks


def _level(line: Line, body: float, large: list[float], mostly_bold: bool) -> int:
    text = line.text
    if len(text) > _LONGEST or not any(char.isalpha() for char in text) or text[-1] in ".,;:":
        return 0
    if line.size in large:
        return 1 + min(large.index(line.size), 8)
    if line.bold and not mostly_bold and line.size >= body * 0.95:
        return 20
    return 0


def _hyphened(text: str, line: str) -> str:
    """The next line put behind: a word that was parted at the line's end is one word again."""
    if re.search(r"[a-zà-ÿ]-$", text) and line[:1].islower():
        return text[:-1] + line
    return f"{text}\n{line}"
