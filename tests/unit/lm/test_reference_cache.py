"""The reference cache: exact numbers back, nothing damaged trusted, nothing lost between writers."""

import errno
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from infra.digest import digest_bytes, digest_of
from infra.errors import StoreError
from infra.jsonl import dump_lines, load_lines
from tasks.lm.reference_cache import ReferenceCache, context_digest, example_digest
from tasks.lm.reference_segment import NOISE, NOISE_BF16, ROUNDING

ROOT = Path(__file__).resolve().parents[3]
CONTEXT = digest_of("this context")
OTHER = digest_of("another context")

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
float32 = st.floats(width=32, max_value=0, allow_nan=False, allow_infinity=False)


def ex(number: int) -> str:
    return digest_of(["example", number])


def some(*numbers: int) -> dict[str, tuple[float, float]]:
    return {ex(n): (-n - 0.25, -2 * n - 0.5) for n in numbers}


def segments(cache: ReferenceCache) -> list[Path]:
    return sorted(cache.folder.glob("*.jsonl"))


def plant(cache: ReferenceCache, records: list[Any]) -> Path:
    """A segment whose bytes match its name, whatever is in it."""
    data = dump_lines(records) if not isinstance(records, bytes) else records
    cache.folder.mkdir(parents=True, exist_ok=True)
    path = cache.folder / (digest_bytes(data).removeprefix("sha256:") + ".jsonl")
    path.write_bytes(data)
    return path


def header(entries: int, **changes: Any) -> dict[str, Any]:
    return {"version": 1, "context": CONTEXT, "entries": entries, **changes}


def entry(number: int, chosen: Any, rejected: Any = -1.0) -> dict[str, Any]:
    return {"example": ex(number), "chosen": chosen, "rejected": rejected}


@pytest.fixture
def cache(tmp_path: Path) -> ReferenceCache:
    return ReferenceCache(tmp_path, CONTEXT)


# ---- keys


def test_a_token_moved_across_a_boundary_makes_another_example() -> None:
    cuts = {example_digest(*ids) for ids in ([[1, 2], [3], []], [[1], [2, 3], []], [[1, 2], [], [3]], [[12], [3], []])}
    assert len(cuts) == 4


def test_the_same_ids_are_one_example_whatever_holds_them() -> None:
    numpy: Any = np.array([1, 2])
    assert example_digest((1, 2), numpy, [1, 2]) == example_digest([1, 2], [1, 2], numpy)
    half: Any = [1.5]
    with pytest.raises(TypeError):
        example_digest(half, [], [])


def test_whatever_the_numbers_depend_on_makes_another_context() -> None:
    known: dict[str, Any] = {
        "base": ex(1),
        "adapter": None,
        "tokenizer": ex(2),
        "template": "{{ a }}",
        "truncation": {"prompt": 512, "side": "left"},
        "measure": "fp32",
    }
    changes = {
        "base": ex(2),
        "adapter": ex(3),
        "tokenizer": ex(1),
        "template": "{{ b }}",
        "truncation": None,
        "measure": "bf16",
    }
    contexts = [context_digest(**known), *(context_digest(**{**known, name: to}) for name, to in changes.items())]
    assert len(set(contexts)) == 1 + len(changes)
    assert context_digest(**known) == contexts[0]


# ---- what is written is read


@same_folder
@given(st.lists(st.tuples(float32, float32), min_size=1, max_size=20))
def test_every_number_comes_back_exactly(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    context = digest_of([list(pair) for pair in pairs])  # a folder of its own
    entries = {ex(i): pair for i, pair in enumerate(pairs)}
    ReferenceCache(tmp_path, context).write(entries)
    cache = ReferenceCache(tmp_path, context)
    found = cache.read(entries)
    assert {e: [v.hex() for v in pair] for e, pair in found.items()} == {
        e: [v.hex() for v in pair] for e, pair in entries.items()
    }
    assert cache.problems == []


def test_numbers_of_numpy_are_kept_exactly(cache: ReferenceCache) -> None:
    value: Any = np.float32(-123.4567)
    cache.write({ex(1): (value, value)})
    assert cache.read([ex(1)]) == {ex(1): (float(value), float(value))}


def test_the_same_entries_in_another_order_are_one_segment_that_all_may_read(cache: ReferenceCache) -> None:
    cache.write(some(1, 2, 3))
    cache.write(some(3, 1, 2))
    (segment,) = segments(cache)
    assert segment.stat().st_mode & 0o777 == 0o444


def test_another_context_sees_nothing(cache: ReferenceCache, tmp_path: Path) -> None:
    cache.write(some(1, 2))
    other = ReferenceCache(tmp_path, OTHER)
    assert other.read(some(1, 2)) == {}
    assert other.problems == []


def test_a_segment_copied_from_another_context_is_not_trusted(cache: ReferenceCache, tmp_path: Path) -> None:
    cache.write(some(1))
    other = ReferenceCache(tmp_path, OTHER)
    other.folder.mkdir()
    (segment,) = segments(cache)
    (other.folder / segment.name).write_bytes(segment.read_bytes())
    assert other.read(some(1)) == {}
    assert "header" in other.problems[0]
    assert segment.name in other.problems[0]


def test_on_a_night_with_nine_tenths_old_data_one_tenth_is_left_to_compute(tmp_path: Path) -> None:
    first, second = range(100), range(10, 110)
    ReferenceCache(tmp_path, CONTEXT).write(some(*first))
    cache = ReferenceCache(tmp_path, CONTEXT)
    missing = some(*second).keys() - cache.read(some(*second)).keys()
    assert missing == some(*range(100, 110)).keys()
    cache.write({example: some(*second)[example] for example in missing})
    assert ReferenceCache(tmp_path, CONTEXT).read(some(*second)) == some(*second)


def test_nothing_to_write_makes_no_segment_and_an_unused_context_reads_as_empty(cache: ReferenceCache) -> None:
    cache.write({})
    assert cache.read(some(1)) == {}
    cache.compact(0)
    assert not cache.folder.exists()


@pytest.mark.parametrize(
    "value",
    [math.nan, -math.inf, math.inf, np.float32("-inf"), np.float32("nan"), 2 * ROUNDING, None, "-1", True, False],
)
@pytest.mark.parametrize("part", [0, 1])
def test_what_is_no_log_probability_is_refused_by_example(cache: ReferenceCache, value: Any, part: int) -> None:
    pair: Any = (value, -1.0) if part == 0 else (-1.0, value)
    with pytest.raises(StoreError, match=ex(2)) as refused:
        cache.write({**some(1), ex(2): pair})
    assert str(value) in refused.value.what
    assert ("chosen", "rejected")[part] in refused.value.what
    assert not segments(cache)


def test_a_sum_rounded_a_little_above_zero_is_kept(cache: ReferenceCache) -> None:
    cache.write({ex(1): (ROUNDING / 2, 0.0)})
    assert cache.read([ex(1)]) == {ex(1): (ROUNDING / 2, 0.0)}


# ---- what is damaged isn't trusted


def data_of(entries: dict[str, tuple[float, float]], root: Path) -> tuple[str, bytes]:
    cache = ReferenceCache(root, CONTEXT)
    cache.write(entries)
    (segment,) = segments(cache)
    return segment.name, segment.read_bytes()


@same_folder
@given(st.data())
def test_a_segment_cut_off_at_any_byte_is_not_trusted(tmp_path: Path, data: st.DataObject) -> None:
    name, whole = data_of(some(1, 2, 3), tmp_path / "whole")
    cache = ReferenceCache(tmp_path / "cut", CONTEXT)
    cache.folder.mkdir(parents=True, exist_ok=True)
    (cache.folder / name).write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert cache.read(some(1, 2, 3)) == {}
    assert name in cache.problems[0]


@same_folder
@given(st.data())
def test_a_segment_with_one_flipped_bit_is_not_trusted(tmp_path: Path, data: st.DataObject) -> None:
    name, whole = data_of(some(1, 2, 3), tmp_path / "whole")
    cache = ReferenceCache(tmp_path / "flipped", CONTEXT)
    cache.folder.mkdir(parents=True, exist_ok=True)
    flipped = bytearray(whole)
    flipped[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (cache.folder / name).write_bytes(flipped)
    assert cache.read(some(1, 2, 3)) == {}
    assert name in cache.problems[0]


def test_the_sound_segments_beside_a_damaged_one_are_used(cache: ReferenceCache) -> None:
    cache.write(some(1))
    (damaged,) = segments(cache)
    cache.write(some(2))
    damaged.chmod(0o644)
    damaged.write_bytes(b"")
    assert cache.read(some(1, 2)) == some(2)
    cache.write(some(1))  # computed again, it's the same segment and whole again
    assert ReferenceCache(cache.folder.parent.parent, CONTEXT).read(some(1, 2)) == some(1, 2)


@pytest.mark.parametrize(
    "records",
    [
        [header(2), entry(1, -1.0)],
        [header(0), entry(1, -1.0)],
        [header(1, version=2), entry(1, -1.0)],
        [header(1, context=OTHER), entry(1, -1.0)],
        [entry(1, -1.0), entry(1, -1.0)],
        [header(1), {"chosen": -1.0, "rejected": -1.0}],
        [header(1), [ex(1), -1.0, -1.0]],
        [header(1), {"example": 7, "chosen": -1.0, "rejected": -1.0}],
        [[]],
        [],
        json.dumps(header(1)).encode() + b'\n{"example": "' + ex(1).encode() + b'", "chosen": -1.0, "rej',
        json.dumps(header(1)).encode() + b"\n" + b"[" * 200_000,
        json.dumps(header(1)).encode() + b'\n{"example": "\xff"}',
    ],
)
def test_a_segment_of_another_shape_is_not_trusted_though_its_name_is_right(
    cache: ReferenceCache, records: list[Any]
) -> None:
    planted = plant(cache, records)
    cache.write(some(2))
    assert cache.read(some(1, 2)) == some(2)
    (problem,) = cache.problems
    assert str(planted) in problem
    cache.compact(0)
    assert planted.exists()


def test_an_edited_value_in_a_file_renamed_to_its_new_digest_is_not_trusted_with_a_wrong_count(
    cache: ReferenceCache,
) -> None:
    cache.write(some(1, 2))
    (segment,) = segments(cache)
    head, first, _ = load_lines(segment.read_bytes())
    segment.unlink()
    plant(cache, [head, {**first, "chosen": -0.5}])
    assert cache.read(some(1, 2)) == {}
    assert "'entries': 2" in cache.problems[0]


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "Infinity", "0.5", "null", '"-1"', "true", "false", "-" + "9" * 400]
)
def test_an_entry_that_is_no_log_probability_is_left_out_and_named(cache: ReferenceCache, value: str) -> None:
    lines = [json.dumps(header(2)), json.dumps(entry(1, -1.0)), json.dumps(entry(2, 0)).replace(": 0,", f": {value},")]
    planted = plant(cache, "\n".join(lines).encode())  # pyright: ignore[reportArgumentType]
    assert cache.read([ex(1), ex(2)]) == {ex(1): (-1.0, -1.0)}
    (problem,) = cache.problems
    assert str(planted) in problem
    assert ex(2) in problem
    cache.compact(0)
    assert planted.exists()


def test_a_segment_that_can_not_be_opened_is_a_problem_and_no_end_of_the_night(cache: ReferenceCache) -> None:
    cache.write(some(1))
    (cache.folder / ("0" * 64 + ".jsonl")).mkdir()
    assert cache.read(some(1)) == some(1)
    assert "can't be read" in cache.problems[0]


def test_a_problem_is_listed_once(cache: ReferenceCache) -> None:
    plant(cache, [])
    cache.read(some(1))
    cache.read(some(1))
    assert len(cache.problems) == 1


def test_a_folder_that_can_not_be_listed_is_an_error_with_a_next_action(cache: ReferenceCache) -> None:
    cache.folder.parent.mkdir(parents=True)
    cache.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="can't be listed") as failed:
        cache.read(some(1))
    assert failed.value.do


# ---- two values of one example


@pytest.mark.parametrize("part", [0, 1])
def test_of_two_segments_that_disagree_neither_is_trusted(cache: ReferenceCache, part: int) -> None:
    low, high = (-101.0, -100.0)
    for value in (low, high):
        cache.write({**some(1), ex(2): (value, -3.0) if part == 0 else (-3.0, value)})
    assert cache.read([ex(1), ex(2)]) == some(1)
    (problem,) = cache.problems
    assert ex(2) in problem
    assert f"{('chosen', 'rejected')[part]} is {low}" in problem
    assert all(segment.name in problem for segment in segments(cache))


def test_a_disagreement_about_examples_nobody_asked_for_is_not_listed(cache: ReferenceCache) -> None:
    cache.write({ex(1): (-1.0, -1.0)})
    cache.write({ex(1): (-2.0, -1.0), **some(2)})
    assert cache.read([ex(2)]) == some(2)
    assert cache.problems == []


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        (-500.0, -500.0 * (1 - 0.9 * NOISE), True),
        (-500.0, -500.0 * (1 - 1.1 * NOISE), False),
        (0.0, -9 * NOISE, True),
        (0.0, -11 * NOISE, False),
    ],
)
def test_values_apart_by_no_more_than_noise_agree(
    cache: ReferenceCache, first: float, second: float, agree: bool
) -> None:
    cache.write({ex(1): (first, -1.0)})
    cache.write({ex(1): (second, -1.0)})
    assert bool(cache.read([ex(1)])) == agree
    assert bool(cache.problems) != agree


def test_bf16_may_be_noisier_and_only_where_the_caller_says_so(cache: ReferenceCache, tmp_path: Path) -> None:
    cache.write({ex(1): (-155.13, -1.0)})
    cache.write({ex(1): (-155.505, -1.0)})  # measured: alone and in a padded batch
    assert not cache.read([ex(1)])
    assert ReferenceCache(tmp_path, CONTEXT, noise=NOISE_BF16).read([ex(1)])


@same_folder
@given(st.lists(st.floats(-1000, 0), min_size=3, max_size=5, unique=True), st.randoms(use_true_random=False))
def test_who_wrote_first_does_not_matter(tmp_path: Path, values: list[float], shuffle: random.Random) -> None:
    answers = []
    for turn in range(2):
        cache = ReferenceCache(tmp_path / str(turn), digest_of(values))
        for path in segments(cache):  # hypothesis may come by again
            path.unlink()
        for value in values:
            cache.write({ex(1): (value, -1.0)})
        answers.append(cache.read([ex(1)]))
        shuffle.shuffle(values)
    assert answers[0] == answers[1]


# ---- several writers


WRITER = """
import sys
from pathlib import Path
from tasks.lm.reference_cache import ReferenceCache
from tests.unit.lm.test_reference_cache import CONTEXT, some
start = int(sys.argv[2])
for n in range(start, start + 40, 4):
    ReferenceCache(Path(sys.argv[1]), CONTEXT).write(some(*range(n, n + 4)))
    ReferenceCache(Path(sys.argv[1]), CONTEXT).compact(5)
"""


def test_processes_that_write_and_compact_at_the_same_time_lose_nothing(cache: ReferenceCache, tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(start)], cwd=ROOT) for start in (0, 30)
    ]  # the second writes some of the first one's too
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert cache.read(some(*range(70))) == some(*range(70))
    assert cache.problems == []
    assert all(path.suffix == ".jsonl" for path in cache.folder.iterdir())


def test_threads_that_share_a_cache_lose_nothing(cache: ReferenceCache) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.write(some(n, n + 1)), range(60)))
    assert cache.read(some(*range(61))) == some(*range(61))


def test_a_killed_writers_file_is_ignored_and_cleaned_after_a_day(cache: ReferenceCache) -> None:
    cache.write(some(1))
    old, new = cache.folder / ".writing-old.jsonl", cache.folder / ".writing-new"
    for path in (old, new):
        path.write_text("half a li")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    assert cache.read(some(1)) == some(1)
    assert cache.problems == []
    cache.write(some(2))
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_a_full_disk_leaves_nothing_behind_and_says_what_to_do(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match="No space left on device") as failed:
        cache.write(some(1))
    assert "NIGHTSHIFT_HOME" in failed.value.do
    assert str(cache.folder) in failed.value.what
    assert list(cache.folder.iterdir()) == []


def test_a_segment_has_its_name_only_when_its_bytes_are_on_the_disk(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append(("fsync", os.fstat(descriptor).st_size, bool(segments(cache))))
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        steps.append(("replace", Path(source).name.startswith(".writing-")))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    cache.write(some(1))
    size = segments(cache)[0].stat().st_size
    assert steps[:2] == [("fsync", size, False), ("replace", True)]


# ---- compaction


def test_compaction_keeps_everything_in_one_segment(cache: ReferenceCache) -> None:
    for n in range(10):
        cache.write(some(n, n + 1))
    cache.compact(10)
    assert len(segments(cache)) == 10
    cache.compact(9)
    assert len(segments(cache)) == 1
    assert cache.read(some(*range(11))) == some(*range(11))
    assert cache.problems == []


def test_a_segment_that_has_all_entries_already_survives_its_own_compaction(cache: ReferenceCache) -> None:
    cache.write(some(1))
    cache.write(some(1, 2))
    cache.compact(1)
    assert len(segments(cache)) == 1
    assert cache.read(some(1, 2)) == some(1, 2)


def test_compaction_leaves_damaged_segments_to_a_person(cache: ReferenceCache) -> None:
    for n in range(3):
        cache.write(some(n))
    damaged = segments(cache)[1]
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    before = cache.read(some(0, 1, 2))
    cache.compact(2)
    assert len(segments(cache)) == 3  # the damaged one doesn't count
    cache.compact(1)
    assert damaged.exists()
    assert len(segments(cache)) == 2
    later = ReferenceCache(cache.folder.parent.parent, CONTEXT)
    assert later.read(some(0, 1, 2)) == before
    assert damaged.name in later.problems[0]


def test_compaction_settles_no_disagreement(cache: ReferenceCache) -> None:
    cache.write({ex(1): (-1.0, -1.0)})
    cache.write({ex(1): (-2.0, -1.0), **some(2)})
    cache.compact(1)
    assert len(segments(cache)) == 1
    assert cache.read([ex(1), ex(2)]) == some(2)
    assert ex(1) in cache.problems[0]


@same_folder
@given(
    st.lists(
        st.dictionaries(st.integers(0, 5), st.sampled_from([-1.0, -1.001, -2.0]), min_size=1), min_size=2, max_size=6
    )
)
def test_no_reader_sees_a_difference_after_compaction(tmp_path: Path, writes: list[dict[int, float]]) -> None:
    cache = ReferenceCache(tmp_path, digest_of([[[n, v] for n, v in sorted(w.items())] for w in writes]))
    for values in writes:
        cache.write({ex(n): (value, -1.0) for n, value in values.items()})
    assume(len(segments(cache)) > 1)
    everything = [ex(n) for n in range(6)]
    before = cache.read(everything)
    cache.compact(1)
    assert len(segments(cache)) == 1
    assert cache.read(everything) == before


@pytest.mark.parametrize("opened", range(4))
def test_a_reader_whose_listing_was_compacted_away_sees_everything(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch, opened: int
) -> None:
    for n in range(4):
        cache.write(some(n))
    reader = ReferenceCache(cache.folder.parent.parent, CONTEXT)
    read_bytes, count = Path.read_bytes, []

    def compacted_in_between(path: Path) -> bytes:
        if path.suffix == ".jsonl":
            count.append(path)
            if len(count) == opened + 1:
                cache.compact(1)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", compacted_in_between)
    assert reader.read(some(*range(4))) == some(*range(4))
    assert reader.problems == []


def test_a_listing_that_lacks_the_deleted_and_the_merged_segment_is_not_the_last(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What readdir may answer while files come and go: the part already passed is old, the rest is new."""
    for n in range(4):
        cache.write(some(n))
    listdir, kept = os.listdir, segments(cache)[:2]
    cache.compact(1)
    for path in kept:
        path.write_bytes(b"")  # listed, not deleted yet; stands for any file of the torn listing
    torn = [[path.name for path in kept]]
    monkeypatch.setattr(os, "listdir", lambda folder: torn.pop() if torn else listdir(folder))
    assert cache.read(some(*range(4))) == some(*range(4))


def test_a_file_that_another_machine_deleted_is_as_good_as_gone(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write(some(1))
    read_bytes, stale = Path.read_bytes, [OSError(errno.ESTALE, "Stale file handle")]

    def once_stale(path: Path) -> bytes:
        if stale:
            raise stale.pop()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", once_stale)
    assert cache.read(some(1)) == some(1)
    assert cache.problems == []


def test_a_folder_that_never_rests_is_read_as_far_as_it_goes_and_listed(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write(some(1))
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: [*listdir(folder), "0" * 64 + ".jsonl"])
    assert cache.read(some(1)) == some(1)
    assert "changed 20 times" in cache.problems[0]


def test_readers_during_writing_and_compaction_see_everything(cache: ReferenceCache) -> None:
    cache.write(some(*range(20)))
    over = threading.Event()

    def write_and_compact() -> None:
        for n in range(20, 80):
            cache.write(some(n))
            cache.compact(2)
        over.set()

    def keep_reading(_: int) -> tuple[int, list[str]]:
        reader, turns = ReferenceCache(cache.folder.parent.parent, CONTEXT), 0
        while not over.is_set():
            assert reader.read(some(*range(20))) == some(*range(20))
            turns += 1
        return turns, reader.problems

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(keep_reading, n) for n in range(3)]
        pool.submit(write_and_compact).result()
    assert all(reader.result()[1] == [] for reader in readers)
    assert cache.read(some(*range(80))) == some(*range(80))


def test_a_merged_segment_that_can_not_be_deleted_is_a_problem_and_no_loss(
    cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write(some(1))
    cache.write(some(2))
    unlink = Path.unlink

    def not_yours(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".jsonl":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", not_yours)
    cache.compact(1)
    assert len(cache.problems) == 2
    assert cache.read(some(1, 2)) == some(1, 2)


def test_a_compaction_on_a_full_disk_deletes_nothing(cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(some(1))
    cache.write(some(2))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        cache.compact(1)
    assert len(segments(cache)) == 2
    assert cache.read(some(1, 2)) == some(1, 2)
