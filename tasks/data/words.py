"""Words of many texts at once, as 64-bit hashes: what near-duplicates and leakage compare.

A word is a run of letters, marks and digits, in lower case and composed form (NFC). Where a script sets no spaces
(Chinese, Japanese, Thai, …) every letter is a word; so is every symbol, where they are asked for. A text in which no
word is found (``?!``) is one word, the text itself without the white space around it. The texts are hashed together,
in numpy over their UTF-8, without a Python object a word: eight bytes of a word at a time.
"""

import functools
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # its functions are made when it is imported: a checker sees none

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

TEXTS = ("prompt_text", "chosen_text", "rejected_text")
SEPARATOR, LETTER, ALONE, SYMBOL = range(4)  # what a code point is
LONGEST = 256  # bytes of a word: a longer run is data, not language, and is cut into pieces
MOST_ROWS = 1024  # hashed together: their arrays stay in the processor's cache
MOST_BYTES = 4 << 20
PLANES = 0x20000  # code points of which a table is kept; beyond are ideographs and rarities, each a word
# blocks of scripts that set no spaces between words
UNSPACED = ((0x0E00, 0x0EFF), (0x0F00, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x30FF), (0x31F0, 0x31FF),
            (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F))  # fmt: skip
STEP = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio, odd


class Words(NamedTuple):
    """The words of texts, one text behind the other.

    Attributes:
        hashes: uint64 [words].
        starts: int64 [texts + 1], where each text's words begin; the last is the number of all.
    """

    hashes: Hashes
    starts: Places


def words_of(texts: pa.Array | pa.ChunkedArray, *, symbols: bool = False) -> Words:
    """Split texts into words and hash them: equal words alike, different ones differently but for a chance of 2⁻⁶⁴.

    Args:
        texts: strings without nulls; some megabytes, as some thirty times their size is held for a moment.
        symbols: whether symbols (``+ < = €``, emoji) are words; punctuation never is.
    """
    data, offsets = _utf8(texts)
    starts, lengths = _cut(*_edges(data, offsets, symbols))
    hashes = _hash(data, starts, lengths)
    counts = np.diff(np.searchsorted(starts, offsets))
    wordless = np.flatnonzero((counts == 0) & (np.diff(offsets) > 0))
    if len(wordless):
        hashes, counts = _whole_texts(texts, wordless, hashes, counts)
    return Words(hashes, running(counts))


def spell(text: str, *, symbols: bool = False) -> list[str]:
    """The words that ``words_of`` hashes, as text: slow, for people to read."""
    words, runs = [], False
    composed = unicodedata.normalize("NFC", pc.utf8_lower(text).as_py())
    for letter in composed:
        kind = _kinds()[min(ord(letter), PLANES)]
        if kind == LETTER and runs and len(words[-1].encode()) < LONGEST:
            words[-1] += letter
        elif kind in (LETTER, ALONE) or (symbols and kind == SYMBOL):
            words.append(letter)
        runs = kind == LETTER
    return words or ([composed.strip()] if composed.strip() else [])


def running(counts: Places) -> Places:
    """Where each of so many begins, one behind the other; the last is the number of all."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))


def parts(rows: pa.Table) -> Iterator[pa.Table]:
    """Rows in portions small enough to be hashed together."""
    sizes = sum(pc.binary_length(rows[name]).to_numpy().astype(np.int64) for name in TEXTS)
    done, ends = 0, np.cumsum(sizes)
    while done < len(rows):
        full = int(np.searchsorted(ends, (ends[done - 1] if done else 0) + MOST_BYTES))
        upto = min(max(full, done + 1), done + MOST_ROWS, len(rows))
        yield rows.slice(done, upto - done)
        done = upto


def mix(values: Hashes) -> Hashes:
    """Scatter the bits of 64-bit values, one to one (splitmix64's finaliser; Steele et al. 2014, Stafford's variant
    13).
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_sequences(words: Words) -> Hashes:
    """One hash a text, of its words in their order: uint64 [texts]."""
    counts = np.diff(words.starts)
    places = (np.arange(len(words.hashes)) - np.repeat(words.starts[:-1], counts)).astype(np.uint64)
    terms = mix(words.hashes ^ mix((places + np.uint64(1)) * STEP))
    totals = np.concatenate((np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)))
    return mix(totals[words.starts[1:]] - totals[words.starts[:-1]] + counts.astype(np.uint64) * STEP)


def runs_of(words: Words, length: int) -> Words:
    """Every run of so many words within a text, hashed; a text with fewer has none."""
    counts = np.maximum(np.diff(words.starts) - length + 1, 0)
    n = max(len(words.hashes) - length + 1, 0)
    rolled = np.zeros(n, np.uint64)
    for place in range(length if n else 0):
        rolled = rolled * STEP + words.hashes[place : place + n]
    return Words(mix(rolled[spread(words.starts[:-1], counts)]), running(counts))


def spread(starts: Places, counts: Places) -> Places:
    """Indices ``start, start + 1, …``, so many from each start, one behind the other."""
    firsts = running(counts)
    return np.arange(firsts[-1]) + np.repeat(starts - firsts[:-1], counts)


def _utf8(texts: pa.Array | pa.ChunkedArray) -> tuple[Bytes, Places]:
    """UTF-8 of all texts in lower case and composed form, and where each begins; zeros follow, to be read over."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = pc.utf8_lower(texts.cast(pa.large_string()))
    if not pc.all(pc.string_is_ascii(texts)).as_py():
        texts = pc.utf8_normalize(texts, "NFC")
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    size = int(offsets[-1] - offsets[0])
    padded = np.zeros(size + 8, np.uint8)
    if size:
        padded[:size] = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    return padded, offsets - offsets[0]


@functools.cache
def _kinds() -> Bytes:
    """What each code point is; the last stands for all beyond."""
    table = np.full(PLANES + 1, SEPARATOR, np.uint8)
    for code in range(PLANES):
        category = unicodedata.category(chr(code))[0]
        if category in "LMN":
            table[code] = LETTER
        elif category == "S":
            table[code] = SYMBOL
    for first, last in UNSPACED:
        block = table[first : last + 1]
        block[block == LETTER] = ALONE
    table[PLANES] = ALONE
    return table


def _edges(data: Bytes, offsets: Places, symbols: bool) -> tuple[Places, Places]:
    """First and last byte of every word."""
    size = int(offsets[-1])
    kinds = np.concatenate((_kinds()[:128], np.full(128, LETTER, np.uint8)))[data[:size]]
    leads = np.flatnonzero(data[:size] >= 0xC0)
    widths = np.ones(0, np.int64)
    if len(leads):
        codes, widths = _code_points(data, leads)
        found = _kinds()[np.minimum(codes, PLANES)]
        for place in range(4):  # a byte of a character is what the character is
            longer = widths > place
            kinds[leads[longer] + place] = found[longer]
    word = kinds != SEPARATOR if symbols else (kinds == LETTER) | (kinds == ALONE)
    begins, ends = word.copy(), word.copy()
    begins[1:] &= ~word[:-1]
    ends[:-1] &= ~word[1:]
    alone = np.flatnonzero((data[:size] < 0x80) & word & (kinds >= ALONE))
    lone = word[leads] & (kinds[leads] >= ALONE)
    firsts = np.concatenate((offsets[:-1], alone, leads[lone]))  # words begin here, where a word is
    firsts = np.concatenate((firsts, alone + 1, leads[lone] + widths[lone]))
    firsts = firsts[firsts < size]
    begins[firsts] = word[firsts]
    lasts = firsts[firsts > 0] - 1  # and end just before
    ends[lasts] = word[lasts]
    return np.flatnonzero(begins), np.flatnonzero(ends)


def _code_points(data: Bytes, leads: Places) -> tuple[Places, Places]:
    """Code points whose UTF-8 begins at these bytes, and their widths in bytes (2 to 4)."""
    lead = data[leads].astype(np.int64)
    widths = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    codes = lead & (0x7F >> widths)
    for place in range(1, 4):
        longer = widths > place
        codes[longer] = (codes[longer] << 6) | (data[leads[longer] + place] & 0x3F)
    return codes, widths


def _cut(firsts: Places, lasts: Places) -> tuple[Places, Places]:
    """Starts and lengths of words, in bytes; none longer than ``LONGEST``."""
    lengths = lasts - firsts + 1
    if not len(lengths) or lengths.max() <= LONGEST:
        return firsts, lengths
    pieces = -(-lengths // LONGEST)
    place = spread(np.zeros(len(pieces), np.int64), pieces) * LONGEST
    return np.repeat(firsts, pieces) + place, np.minimum(np.repeat(lengths, pieces) - place, LONGEST)


def _hash(data: Bytes, starts: Places, lengths: Places) -> Hashes:
    """Hash words by eight bytes at a time; most words are done after one."""
    eights = np.ndarray((max(len(data) - 7, 0),), "<u8", data, strides=(1,))
    masks = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
    hashes = mix((eights[starts] & masks[np.minimum(lengths, 8)]) ^ lengths.astype(np.uint64) * STEP)
    left = np.flatnonzero(lengths > 8)
    for place in range(8, LONGEST, 8):
        if not len(left):
            break
        more = eights[starts[left] + place] & masks[np.minimum(lengths[left] - place, 8)]
        hashes[left] = mix(hashes[left] * STEP + more)
        left = left[lengths[left] > place + 8]
    return hashes


def _whole_texts(
    texts: pa.Array | pa.ChunkedArray, wordless: Places, hashes: Hashes, counts: Places
) -> tuple[Hashes, Places]:
    """Where a text has no word, the text itself is one (cut as words are); one of white space only stays without."""
    data, offsets = _utf8(pc.utf8_trim_whitespace(texts.take(pa.array(wordless))))
    kept = np.flatnonzero(np.diff(offsets) > 0)
    starts, lengths = _cut(offsets[kept], offsets[kept + 1] - 1)
    pieces = np.diff(np.searchsorted(starts, offsets))
    owners = np.concatenate((np.repeat(np.arange(len(counts)), counts), np.repeat(wordless, pieces)))
    counts[wordless] = pieces
    return np.concatenate((hashes, _hash(data, starts, lengths)))[np.argsort(owners, kind="stable")], counts
