"""What a folder and an S3 server both promise: whole objects, conditions that hold, names that can't leave."""

import os
import string
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.digest import digest_bytes
from infra.errors import NightshiftError, ObjectConflict, ObjectError
from infra.objects import Objects, check_conditions, check_key, open_objects, put_once
from infra.settings import load_settings


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    url = str(tmp_path / "objects") if request.param == "folder" else request.getfixturevalue("s3_url")
    return open_objects(url, load_settings())


def test_what_is_put_is_read_back_with_its_etag(objects: Objects) -> None:
    etag = objects.put("a/b.json", b"{}", media="application/json")
    held = objects.get("a/b.json")
    assert held == (b"{}", etag)
    assert objects.head("a/b.json") == (2, etag)
    assert objects.digest("a/b.json") == digest_bytes(b"{}")


def test_an_empty_object_is_an_object(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    etag = objects.put("one", b"")
    objects.put_file("two", tmp_path / "empty")
    assert objects.get("one") == objects.get("two") == (b"", etag)


def test_what_is_not_there_is_none(objects: Objects) -> None:
    assert objects.get("a") is objects.head("a") is objects.digest("a") is None
    objects.put("a/b", b"1")
    assert objects.get("a") is objects.head("a") is objects.digest("a/b/c") is None


def test_keys_are_sorted_relative_and_begin_with_the_prefix(objects: Objects) -> None:
    for key in ("b/2", "b/10", "bb", "a b/c+d=e,f~@1"):
        objects.put(key, key.encode())
    assert objects.keys() == ["a b/c+d=e,f~@1", "b/10", "b/2", "bb"]
    assert objects.keys("b") == ["b/10", "b/2", "bb"]
    assert objects.keys("b/") == ["b/10", "b/2"]
    assert objects.keys("b/1") == ["b/10"]
    assert objects.keys("none/") == []


def test_absent_writes_once_and_says_what_is_there(objects: Objects) -> None:
    etag = objects.put("a", b"first", absent=True)
    with pytest.raises(ObjectConflict) as refused:
        objects.put("a", b"second", absent=True)
    assert refused.value.what.startswith(f"{objects.url}/a is there with etag {etag}")
    assert objects.get("a") == (b"first", etag)


def test_the_same_bytes_under_absent_are_a_conflict_too(objects: Objects, tmp_path: Path) -> None:
    objects.put("a", b"same", absent=True)
    (tmp_path / "file").write_bytes(b"same")
    with pytest.raises(ObjectConflict):
        objects.put("a", b"same", absent=True)
    with pytest.raises(ObjectConflict):
        objects.put_file("a", tmp_path / "file", absent=True)


def test_match_replaces_exactly_what_was_read(objects: Objects) -> None:
    old = objects.put("a", b"1")
    new = objects.put("a", b"2", match=old)
    with pytest.raises(ObjectConflict) as refused:
        objects.put("a", b"3", match=old)
    assert new in refused.value.what
    assert old in refused.value.what
    assert objects.get("a") == (b"2", new)


def test_match_on_nothing_writes_nothing(objects: Objects) -> None:
    etag = objects.put("a", b"1")
    with pytest.raises(ObjectConflict, match="b isn't there"):
        objects.put("b", b"1", match=etag)
    assert objects.keys() == ["a"]


@pytest.mark.parametrize("condition", [{"absent": True, "match": "x"}, {"match": ""}])
def test_conditions_that_mean_nothing_are_refused(objects: Objects, condition: dict[str, Any]) -> None:
    with pytest.raises(ObjectError, match=r"absent and matched|empty etag"):
        objects.put("a", b"1", **condition)
    assert objects.keys() == []


def test_without_a_condition_an_object_is_replaced(objects: Objects, tmp_path: Path) -> None:
    objects.put("a", b"1")
    (tmp_path / "file").write_bytes(b"22")
    objects.put_file("a", tmp_path / "file")
    held = objects.get("a")
    assert held is not None
    assert held.data == b"22"


def at_once(count: int, write: Callable[[int], object]) -> list[int]:
    """Who of so many writers at the same moment was not refused."""
    won: list[int] = []
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait()
        try:
            write(number)
        except ObjectConflict:
            return
        won.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


@pytest.mark.parametrize("attempt", range(3))
def test_of_eight_writers_at_once_one_wins(objects: Objects, attempt: int) -> None:
    (first,) = at_once(8, lambda number: objects.put("a", b"%d" % number, absent=True))
    data, etag = objects.get("a") or (b"", "")
    assert data == b"%d" % first
    (second,) = at_once(8, lambda number: objects.put("a", b"1%d" % number, match=etag))
    assert (objects.get("a") or (b"", ""))[0] == b"1%d" % second


def test_a_file_that_must_never_change_is_written_once_however_often(objects: Objects, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"weights")
    assert put_once(objects, "m/file", file) == put_once(objects, "m/file", file) == digest_bytes(b"weights")
    file.write_bytes(b"other")
    with pytest.raises(ObjectConflict, match=f"holds {digest_bytes(b'weights')}.* was to be {digest_bytes(b'other')}"):
        put_once(objects, "m/file", file)


def test_a_missing_file_is_named(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match="nowhere can't be read: No such file"):
        objects.put_file("a", tmp_path / "nowhere")


def test_a_place_that_keeps_its_word_passes_the_probe_again_and_again(objects: Objects) -> None:
    check_conditions(objects)
    check_conditions(objects)


def test_a_place_that_ignores_conditions_is_found(tmp_path: Path) -> None:
    class Careless:  # a simulated S3 server that overwrites whatever is asked
        def __init__(self, ignored: str) -> None:
            self.inner = open_objects(str(tmp_path / ignored), load_settings())
            self.ignored = ignored
            self.url, self.head = self.inner.url, self.inner.head

        def put(self, key: str, data: bytes, *, absent: bool = False, match: str | None = None) -> str:
            if self.ignored == "absent":
                return self.inner.put(key, data, match=match)
            return self.inner.put(key, data, absent=absent)

    for ignored, header in (("absent", "If-None-Match"), ("match", "If-Match")):
        with pytest.raises(ObjectError, match=f"ignores {header}:"):
            check_conditions(Careless(ignored))  # pyright: ignore[reportArgumentType]


# --- names ---

BAD = [
    "", "/", "/etc/passwd", "..", "../a", "a/..", "a/../../b", ".", "./a", "a/.", "a//b", "a/", "//a", "a\\b", "..\\a",
    "a\0b", "a\nb", "a\rb", "a\x7fb", "C:/a", "%2e%2e/a", "a?b", "a#b", "a*b", "~/../a", "a/…/b", "ａ", "\ud800",
    "．．/a", "a∕b", ".nightshift/lock", ".nightshift", "x" * 256, "a/" * 500 + "a", "s3://b/a", "a;b", "$HOME", "`a`",
]  # fmt: skip


def test_a_name_that_could_leave_its_place_is_refused_by_every_call_and_nothing_is_touched(
    objects: Objects, tmp_path: Path
) -> None:
    def there() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if ".nightshift" not in path.parts)

    (tmp_path / "file").write_bytes(b"1")
    etag = objects.put("kept", b"1")
    before = there()
    calls = [
        lambda key: objects.put(key, b"1"),
        lambda key: objects.put(key, b"1", absent=True),
        lambda key: objects.put(key, b"1", match=etag),
        lambda key: objects.put_file(key, tmp_path / "file"),
        objects.get,
        objects.head,
        objects.digest,
    ]
    for key in BAD:
        for call in calls:
            with pytest.raises(ObjectError, match="can't name an object"):
                call(key)
    assert there() == before
    assert objects.keys() == ["kept"]


@pytest.mark.parametrize("prefix", ["..", "../", "/", "a/../..", "a//b", "a\\", "\0", ".nightshift/", "a/../"])
def test_a_prefix_that_could_leave_its_place_is_refused(objects: Objects, prefix: str) -> None:
    with pytest.raises(ObjectError, match="can't name an object"):
        objects.keys(prefix)


@given(st.text(alphabet="/.\\~:%\0a é", max_size=12))
@example("a/./b")
def test_whatever_name_is_let_through_stays_below_the_folder_and_means_itself(key: str) -> None:
    try:
        check_key(key)
    except NightshiftError:
        return
    assert os.path.normpath(f"/root/{key}") == f"/root/{key}"
    assert set(key) <= set(string.ascii_letters + string.digits + "._+=@,~ -/")


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(ObjectError) as refused:
        check_key("x" * 100_000)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "'' is no place"),
        ("  ", "is no place"),
        ("gs://bucket/a", "'gs://bucket/a' is no place"),
        ("https://host/bucket", "is no place"),
        ("https://me:hidden@host/bucket", "'host/bucket' is no place"),
        ("s3://", "'' can't be an S3 bucket's name"),
        ("s3:///a", "'' can't be"),
        ("s3://AB/a", "'AB' can't be"),
        ("s3://key:hidden@bucket/a", "'bucket' can't be"),
        ("s3://../a", "'..' can't be"),
        ("s3://bucket/../a", "'../a' can't name an object"),
        ("s3://bucket//a", "'/a' can't name an object"),
        ("s3://bucket/a\\b", "can't name an object"),
    ],
)
def test_an_address_that_is_none_is_refused_and_what_may_be_a_password_is_not_repeated(url: str, message: str) -> None:
    with pytest.raises(ObjectError, match=message) as refused:
        open_objects(url, load_settings())
    assert "hidden" not in str(refused.value)
