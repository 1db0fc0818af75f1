"""Gzip and zstd that are cut, damaged or bombs: what stands before comes out, and the place is said."""

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.sources.objects import Caps
from tasks.data.sources.unpacking import Damaged, unpacked
from tests.sources import PACKERS, RECORDS, broken, jsonl, read, values, write

CAPS = Caps()
CODECS = {".gz": "gzip", ".zst": "zstd"}
MANY = [{**record, "n": n, "noise": random.Random(n).random()} for n in range(400) for record in RECORDS]


def taken(data: bytes, codec: str, caps: Caps = CAPS, chunk: int = 1 << 20) -> tuple[bytes, str | None]:
    def chunks() -> Iterator[bytes]:
        return (data[i : i + chunk] for i in range(0, len(data), chunk))

    pieces = []
    try:
        for piece in unpacked(chunks, codec, caps):
            pieces.append(piece)
    except Damaged as error:
        return b"".join(pieces), str(error)
    return b"".join(pieces), None


@pytest.mark.parametrize("packing", CODECS)
def test_what_is_cut_off_gives_every_whole_row_and_one_broken_that_says_where(tmp_path: Path, packing: str) -> None:
    packed = PACKERS[packing](jsonl(MANY))
    cut = len(packed) * 2 // 3
    found = read(write(tmp_path / f"a.jsonl{packing}", packed[:cut]))
    before = taken(packed[:cut], CODECS[packing])[0].count(b"\n")
    assert before > 100
    assert values(found) == MANY[:before]
    (one,) = broken(found)
    assert one.line == 0
    assert f"ends after {cut:,} bytes" in one.error
    assert f"read up to line {before}" in one.error


@pytest.mark.parametrize("packing", CODECS)
def test_a_cut_in_the_trailer_alone_loses_no_row(tmp_path: Path, packing: str) -> None:
    packed = zlib_of(jsonl(MANY).rstrip()) if packing == ".gz" else PACKERS[packing](jsonl(MANY).rstrip())
    found = read(write(tmp_path / f"a.jsonl{packing}", packed[: -4 if packing == ".gz" else None]))
    assert values(found) == MANY
    assert len(broken(found)) == (packing == ".gz")


def zlib_of(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def test_rows_before_a_damaged_byte_are_kept_though_zlib_gives_nothing_of_that_call() -> None:
    data = random.Random(1).randbytes(100_000)  # stored as it is, so places can be told
    packed = bytearray(PACKERS[".gz"](data))
    size = int.from_bytes(packed[11:13], "little")
    packed[10 + 5 + size] |= 0x06  # the second block is of a kind that there isn't
    given, error = taken(bytes(packed), "gzip")
    assert given == data[:size]
    assert error is not None
    assert "damaged at byte" in error


def test_wherever_very_repetitive_data_is_cut_all_that_it_unpacks_to_is_given() -> None:
    packed = PACKERS[".gz"](b"x" * 300_000)
    for cut in range(20, len(packed)):
        whole = zlib.decompressobj(31).decompress(packed[:cut])
        assert len(taken(packed[:cut], "gzip")[0]) == len(whole)


def test_a_wrong_checksum_says_that_any_row_may_be_altered() -> None:
    packed = bytearray(PACKERS[".gz"](jsonl(RECORDS)))
    packed[-6] ^= 1
    given, error = taken(bytes(packed), "gzip")
    assert given == jsonl(RECORDS)
    assert error is not None
    assert "its checksum is wrong, so any of its rows may have been altered" in error


@pytest.mark.parametrize("codec", CODECS.values())
def test_text_that_only_claims_to_be_packed_is_damaged_at_its_begin(codec: str) -> None:
    given, error = taken(b"hello, world, this is text", codec)
    assert given == b""
    assert error is not None
    assert "damaged at byte" in error


def test_zeros_after_gzip_are_padding_and_other_bytes_are_damage() -> None:
    packed = PACKERS[".gz"](b"hello")
    assert taken(packed + b"\0" * 1000, "gzip", chunk=7) == (b"hello", None)
    assert taken(packed + b"more", "gzip")[0] == b"hello"
    assert taken(packed + b"more", "gzip")[1] is not None


@pytest.mark.parametrize("packing", CODECS)
def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, packing: str) -> None:
    found = read(write(tmp_path / f"a.jsonl{packing}", PACKERS[packing](jsonl(RECORDS) + b" " * (64 << 20))))
    assert values(found) == RECORDS
    assert "times as much" in broken(found)[-1].error
    assert broken(found)[-1].line == 0


@pytest.mark.parametrize("packing", CODECS)
def test_a_bomb_is_stopped_by_its_size(packing: str) -> None:
    given, error = taken(PACKERS[packing](b"x" * 5_000_000), CODECS[packing], Caps(object_bytes=1_000_000))
    assert 700_000 < len(given) <= 1_000_000
    assert error is not None
    assert "more than 1,000,000 bytes" in error


@pytest.mark.parametrize("packing", CODECS)
def test_what_repeats_itself_a_lot_and_is_small_is_no_bomb(packing: str) -> None:
    assert taken(PACKERS[packing](b"x" * 15_000_000), CODECS[packing])[1] is None


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(CODECS)), st.integers(0, 3000), st.integers(1, 3000), st.data())
def test_in_whatever_chunks_it_comes_the_same_bytes_come_out(
    packing: str, size: int, chunk: int, data: st.DataObject
) -> None:
    plain = random.Random(size).randbytes(size)
    packed = PACKERS[packing](plain)
    assert taken(packed, CODECS[packing], chunk=chunk) == (plain, None)
    cut = data.draw(st.integers(0, len(packed) - 1))
    given, error = taken(packed[:cut], CODECS[packing], chunk=chunk)
    assert plain.startswith(given)
    assert error is not None
    assert f"{cut:,}" in error
