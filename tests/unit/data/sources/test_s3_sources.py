"""Sources on S3: pinned to what was listed, through broken connections, and every failure said with its bucket.

On a real server, but for those that name a simulation: no real one fails when it should.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.objects import foreign
from infra.settings import load_settings
from tasks.data.sources import reading
from tasks.data.sources.listing import fresh
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.reading import read_object, read_objects, settled
from tasks.errors import SourceChanged, SourceError
from tests.s3 import S3
from tests.sources import FORMS, PACKERS, RECORDS, Read, jsonl, listed, values

pytestmark = pytest.mark.slow

CAPS = Caps()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(foreign, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.01)
    foreign.forget_clients()
    yield
    foreign.forget_clients()


def put(s3: S3, url: str, data: bytes) -> None:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    s3.client().put_object(Bucket=bucket, Key=key, Body=data)


def read(obj: SourceObject) -> Read:
    return list(read_object(obj, CAPS, load_settings()))


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_s3_as_from_a_file(s3: S3, s3_url: str, form: str, packing: str) -> None:
    put(s3, f"{s3_url}/a{form}{packing}", PACKERS[packing](FORMS[form](RECORDS)))
    (obj,) = listed(s3_url)
    assert values(read(obj)) == RECORDS
    assert identity(obj) == obj.version != ""


def test_a_prefix_is_a_folder_a_key_an_object_and_a_glob_what_fits(s3: S3, s3_url: str) -> None:
    names = ["day/a.jsonl", "day/b c:é.jsonl", "day/x/c.csv", "day-2/d.jsonl", "day/.e.jsonl", "day/readme.txt"]
    for name in names:
        put(s3, f"{s3_url}/{name}", jsonl(RECORDS))
    put(s3, f"{s3_url}/day/empty/", b"")

    def found(path: str) -> list[str]:
        return [one.name for one in listed(f"{s3_url}/{path}")]

    assert found("day") == found("day/") == ["a.jsonl", "b c:é.jsonl", "x/c.csv"]
    assert found("day/a.jsonl") == ["a.jsonl"]
    assert found("day*") == ["day-2/d.jsonl", "day/a.jsonl", "day/b c:é.jsonl", "day/x/c.csv"]
    assert found("*/?.jsonl") == ["day-2/d.jsonl", "day/a.jsonl"]
    assert found("day/**/*.csv") == ["x/c.csv"]
    assert values(read(listed(f"{s3_url}/day")[1])) == RECORDS
    with pytest.raises(SourceError, match="holds nothing that ends in"):
        found("da")


def test_an_object_replaced_since_it_was_listed_is_not_read_as_what_it_was(s3: S3, s3_url: str) -> None:
    put(s3, f"{s3_url}/a.jsonl", jsonl(RECORDS))
    (obj,) = listed(s3_url)
    put(s3, f"{s3_url}/a.jsonl", jsonl(RECORDS[:2]))
    with pytest.raises(SourceChanged, match=r"s3://.*/a\.jsonl"):
        read(obj)
    assert values(settled(obj, load_settings(), read)) == RECORDS[:2]


def test_an_object_that_is_gone_is_named(s3: S3, s3_url: str) -> None:
    put(s3, f"{s3_url}/a.jsonl", jsonl(RECORDS))
    (obj,) = listed(s3_url)
    bucket, _, key = obj.url.removeprefix("s3://").partition("/")
    s3.client().delete_object(Bucket=bucket, Key=key)
    with pytest.raises(SourceChanged):
        read(obj)
    with pytest.raises(SourceError, match=r"a\.jsonl was removed"):
        settled(obj, load_settings(), read)


def large(word: str) -> list[dict[str, Any]]:
    return [{"a": f"{word} {n} " + "x" * 1000} for n in range(4000)]


def cut_after(monkeypatch: pytest.MonkeyPatch, bytes_: int, then: Callable[[], object]) -> Counter[str]:
    """Connections that break once, after so many bytes; counts what is asked for."""
    seen: Counter[str] = Counter()
    client = foreign.client_of

    def made(*args: Any) -> Any:
        s3 = client(*args)

        def answered(parsed: dict[str, Any], **_: Any) -> None:
            seen["GetObject"] += 1
            if seen["GetObject"] == 1:
                parsed["Body"] = Breaking(parsed["Body"], bytes_, then)

        def asked(params: dict[str, Any], **_: Any) -> None:
            seen[params["headers"].get("Range", "whole")] += 1
            seen["versions"] += "versionId" in params["query_string"]

        s3.meta.events.register("after-call.s3.GetObject", answered)
        s3.meta.events.register("before-call.s3.GetObject", asked)
        return s3

    monkeypatch.setattr(foreign, "client_of", made)
    return seen


class Breaking:
    """A body whose connection breaks: a simulation."""

    def __init__(self, body: Any, after: int, then: Callable[[], object]) -> None:
        self.body, self.left, self.then = body, after, then

    def read(self, amount: int) -> bytes:
        if self.left == 0:
            self.then()
            raise foreign.IncompleteReadError(actual_bytes=0, expected_bytes=1)
        data = self.body.read(min(amount, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.body.close()


def test_after_a_broken_connection_it_goes_on_from_the_byte_it_had(
    s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, f"{s3_url}/a.jsonl", jsonl(large("old")))
    seen = cut_after(monkeypatch, 1_500_000, lambda: None)
    assert values(read(listed(s3_url)[0])) == large("old")
    assert (seen["whole"], seen["bytes=1500000-"]) == (1, 1)


def test_an_object_replaced_in_the_middle_of_a_read_is_never_two_states(
    s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, f"{s3_url}/a.jsonl", jsonl(large("old")))
    cut_after(monkeypatch, 1_500_000, lambda: put(s3, f"{s3_url}/a.jsonl", jsonl(large("new"))))
    tries: list[Read] = []

    def use(obj: SourceObject) -> Read:
        tries.append([])
        for one in read_object(obj, CAPS, load_settings()):
            tries[-1].append(one)
        return tries[-1]

    assert values(settled(listed(s3_url)[0], load_settings(), use)) == large("new")
    assert values(tries[0]) == large("old")[: len(tries[0])]
    assert len(tries) == 2


def test_where_the_bucket_keeps_versions_the_read_one_is_read_to_its_end(
    s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = s3.client(), "versioned-sources"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(s3, f"s3://{bucket}/a.jsonl", jsonl(large("old")))
    seen = cut_after(monkeypatch, 1_500_000, lambda: put(s3, f"s3://{bucket}/a.jsonl", jsonl(large("new"))))
    (obj,) = listed(f"s3://{bucket}")
    assert values(read(obj)) == large("old")
    assert seen["versions"] == 1
    assert fresh(obj, load_settings()).version != obj.version


def test_a_missing_bucket_is_named_with_what_to_do(s3_url: str) -> None:
    with pytest.raises(SourceError, match=r"no-such-bucket.*there is no such bucket") as caught:
        listed("s3://no-such-bucket/a")
    assert "create the bucket" in caught.value.do


def test_wrong_credentials_are_said_and_not_repeated(s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, f"{s3_url}/a.jsonl", jsonl(RECORDS))
    (obj,) = listed(s3_url)
    for name, value in s3.environment(secret="wrong-secret").items():
        monkeypatch.setenv(name, value)
    foreign.forget_clients()
    for use in (lambda: listed(s3_url), lambda: read(obj)):
        with pytest.raises(SourceError, match=r"the secret key is wrong|are refused") as caught:
            use()
        assert s3.bucket in caught.value.what
        assert "AWS_ACCESS_KEY_ID" in caught.value.do
        assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://", "s3://me:hidden@host/a", "s3://a_b/c"])
def test_what_can_not_be_a_bucket_is_refused_and_its_password_not_repeated(url: str) -> None:
    with pytest.raises(SourceError, match="can't be an S3 bucket's name") as caught:
        listed(url)
    assert "hidden" not in str(caught.value)


def test_very_many_tiny_objects_are_listed_in_few_calls_and_fetched_several_at_once(s3: S3, s3_url: str) -> None:
    client, bucket, count = s3.client(), s3.bucket, 1500
    prefix = s3_url.removeprefix(f"s3://{bucket}/")
    for n in range(count):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{n:05}.jsonl", Body=b'{"a": %d}\n' % n)
    objects = listed(s3_url)
    assert len(objects) == count
    found = [value for _, made in read_objects(objects, CAPS, load_settings()) for value in values(list(made))]
    assert found == [{"a": n} for n in range(count)]


def test_of_objects_read_ahead_one_that_changed_raises_in_its_turn(s3: S3, s3_url: str) -> None:
    for name in "abc":
        put(s3, f"{s3_url}/{name}.jsonl", jsonl(RECORDS))
    objects = listed(s3_url)
    put(s3, f"{s3_url}/b.jsonl", jsonl(RECORDS[:1]))
    states = []
    for obj, made in read_objects(objects, CAPS, load_settings()):
        try:
            states.append((obj.name, len(list(made))))
        except SourceChanged:
            states.append((obj.name, "changed"))
    assert states == [("a.jsonl", 5), ("b.jsonl", "changed"), ("c.jsonl", 5)]


class _Simulated(BaseHTTPRequestHandler):
    """A server that answers as its ``answer`` says: a simulation of one that fails."""

    answer: Callable[["_Simulated"], None]

    def do_GET(self) -> None:
        type(self).answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def simulated(answer: Callable[[_Simulated], None]) -> Iterator[str]:
    handler = type("Handler", (_Simulated,), {"answer": staticmethod(answer)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(endpoint: str) -> None:
        for name, value in {**S3(endpoint).environment(), "NIGHTSHIFT_S3_ENDPOINT": endpoint}.items():
            monkeypatch.setenv(name, value)
        foreign.forget_clients()

    return use


OBJECT = SourceObject("a.jsonl", "s3://logs/day/a.jsonl", len(jsonl(RECORDS)), '"1"')


def test_a_server_that_answers_503_is_tried_again_and_then_named(place: Callable[[str], None]) -> None:
    asked: Counter[str] = Counter()

    def busy(request: _Simulated) -> None:
        asked[request.path] += 1
        request.send_response(503)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with simulated(busy) as endpoint:
        place(endpoint)
        for use in (lambda: listed("s3://logs/day"), lambda: read(OBJECT)):
            with pytest.raises(SourceError, match=r"s3://logs/day.*overloaded or down") as caught:
                use()
            assert not isinstance(caught.value, SourceChanged)
        assert all(times == 3 for times in asked.values())
        assert len(asked) == 2


def served(request: _Simulated, data: bytes, size: int, start: int = 0) -> None:
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(size - start))
    request.send_header("ETag", '"1"')
    request.end_headers()
    request.wfile.write(data)
    request.wfile.flush()


def test_a_server_that_falls_silent_in_the_middle_is_asked_for_the_rest(
    place: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "READ_SECONDS", 0.3)
    data, asked = jsonl(RECORDS), []

    def slow(request: _Simulated) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        asked.append(start)
        served(request, data[start : start + 100], len(data), start)
        if start + 100 < len(data):
            time.sleep(1)

    with simulated(slow) as endpoint:
        place(endpoint)
        monkeypatch.setattr(foreign, "CHUNK", 50)
        assert values(read(OBJECT)) == RECORDS
    assert asked == list(range(0, len(data), 100))


def test_a_server_that_stays_silent_is_given_up_with_its_object_and_place(
    place: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "READ_SECONDS", 0.2)
    data = jsonl(RECORDS)

    def silent(request: _Simulated) -> None:
        if request.headers.get("Range"):
            time.sleep(0.5)
        else:
            served(request, data[:100], len(data))
            time.sleep(0.5)

    with simulated(silent) as endpoint:
        place(endpoint)
        monkeypatch.setattr(foreign, "CHUNK", 50)
        with pytest.raises(SourceError, match=r"s3://logs/day/a\.jsonl broke off 4 times after 100 of its") as caught:
            read(OBJECT)
    assert "network" in caught.value.do


def test_a_server_that_ignores_conditions_and_ranges_is_seen_through(place: Callable[[str], None]) -> None:
    data = jsonl(RECORDS)

    def other(request: _Simulated) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("ETag", '"2"')
        request.end_headers()
        request.wfile.write(data)

    with simulated(other) as endpoint:
        place(endpoint)
        with pytest.raises(SourceChanged):
            read(OBJECT)


def test_nothing_that_listens_is_said(place: Callable[[str], None]) -> None:
    place("http://127.0.0.1:9")
    for use in (lambda: listed("s3://logs/day"), lambda: read(OBJECT)):
        with pytest.raises(SourceError, match="can't be reached") as caught:
            use()
        assert "NIGHTSHIFT_S3_ENDPOINT" in caught.value.do
