"""Objects on a real S3 server: what goes wrong there is said in a sentence, and credentials are never repeated."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.errors import BadSetting, ObjectConflict, ObjectError
from infra.objects import open_objects
from infra.objects.s3 import S3Objects, checked_endpoint
from infra.settings import load_settings
from tests.s3 import READER, S3, SECRET

slow = pytest.mark.slow


def opened(url: str) -> S3Objects:
    objects = open_objects(url, load_settings())
    assert isinstance(objects, S3Objects)
    return objects


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:8333", "https://s3.example.com", "https://host/minio"])
def test_a_servers_address_is_taken_as_it_stands(endpoint: str | None) -> None:
    assert checked_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "host:8333",
        "ftp://host",
        "https://",
        "http://me:hidden@host",
        "https://host/?key=hidden",
        "http://[::1",
        "http://host:port",
        "http://host/a b",
    ],
)
def test_an_endpoint_that_is_none_is_refused_and_its_password_is_not_repeated(endpoint: str) -> None:
    with pytest.raises(BadSetting, match="NIGHTSHIFT_S3_ENDPOINT") as refused:
        checked_endpoint(endpoint)
    assert "hidden" not in str(refused.value)


@pytest.fixture
def objects(s3_url: str) -> S3Objects:
    return opened(s3_url)


def every_call(objects: S3Objects) -> list[Callable[[], object]]:
    return [
        lambda: objects.put("a", b"1"),
        lambda: objects.put("a", b"1", absent=True),
        lambda: objects.put("a", b"1", match='"0"'),
        lambda: objects.get("a"),
        lambda: objects.head("a"),
        lambda: objects.digest("a"),
        objects.keys,
    ]


@slow
def test_a_missing_bucket_is_an_error_of_every_call_and_never_an_empty_place(s3_url: str) -> None:
    for call in every_call(opened("s3://no-such-bucket/a")):
        with pytest.raises(ObjectError, match="there is no such bucket") as refused:
            call()
        assert not isinstance(refused.value, ObjectConflict)
        assert "s3://no-such-bucket/a" in refused.value.what


@slow
@pytest.mark.parametrize(
    ("access", "secret", "message"),
    [
        ("nightshift-test", "wrong-secret", r"the secret key is wrong|are refused"),
        ("nobody", "wrong-secret", r"doesn't know the access key|are refused"),
    ],
)
def test_wrong_credentials_are_said_and_not_repeated(
    s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    access: str, secret: str, message: str,
) -> None:  # fmt: skip
    for name, value in s3.environment(access, secret).items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    for call in every_call(opened(s3_url)):
        with pytest.raises(ObjectError, match=message) as refused:
            call()
        assert "AWS_ACCESS_KEY_ID" in refused.value.do
        assert access not in str(refused.value)
    assert secret not in caplog.text


@slow
def test_an_account_that_may_only_read_reads_and_is_refused_to_write(
    s3: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened(s3_url).put("a", b"1")
    for name, value in s3.environment(READER).items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    reader = opened(s3_url)
    held = reader.get("a")
    assert held is not None
    assert reader.keys() == ["a"]
    for write in (lambda: reader.put("a", b"2"), lambda: reader.put("b", b"2", absent=True)):
        with pytest.raises(ObjectError, match=r"PutObject of .* failed: these credentials may not do that") as refused:
            write()
        assert not isinstance(refused.value, ObjectConflict)
    assert reader.get("a") == held
    assert SECRET not in caplog.text


@slow
def test_without_credentials_it_says_where_they_belong(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ObjectError, match="there are no credentials for") as refused:
        opened(s3_url).get("a")
    assert "AWS_PROFILE" in refused.value.do


@slow
def test_a_profile_that_does_not_exist_is_named(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(ObjectError, match="nobodys"):
        opened(s3_url)


@slow
def test_a_server_that_is_not_there_is_said(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSHIFT_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ObjectError, match="can't be reached") as refused:
        opened(s3_url).keys()
    assert "NIGHTSHIFT_S3_ENDPOINT" in refused.value.do


@slow
def test_names_that_others_planted_in_the_bucket_are_not_handed_on(s3: S3, objects: S3Objects) -> None:
    place = objects.url.removeprefix(f"s3://{s3.bucket}/")
    objects.put("a/b", b"1")
    s3.client().put_object(Bucket=s3.bucket, Key=f"{place}/a/", Body=b"")
    assert objects.keys() == ["a/b"]
    s3.client().put_object(Bucket=s3.bucket, Key=f"{place}/a/what?", Body=b"1")
    with pytest.raises(ObjectError, match="can't name an object"):
        objects.keys("a/")
    assert objects.keys("a/b/") == []


@slow
def test_a_prefix_of_another_place_is_not_ours(s3: S3, objects: S3Objects) -> None:
    s3.client().put_object(Bucket=s3.bucket, Key=objects.url.removeprefix(f"s3://{s3.bucket}/") + "-other/a", Body=b"1")
    assert objects.keys() == []


def answer_lost(objects: S3Objects, operation: str) -> list[int]:
    """The next request of this kind is sent twice, as boto3 does when the answer to the first is lost."""
    sent: list[int] = []

    def again(**_: Any) -> float | None:
        sent.append(1)
        return 0.0 if len(sent) == 1 else None

    objects.client.meta.events.register_first(f"needs-retry.s3.{operation}", again)
    return sent


@slow
@pytest.mark.parametrize("condition", ["absent", "match"])
def test_a_write_whose_answer_was_lost_is_ours_and_no_conflict(objects: S3Objects, condition: str) -> None:
    wanted: dict[str, Any] = {"absent": True} if condition == "absent" else {"match": objects.put("a", b"old")}
    sent = answer_lost(objects, "PutObject")
    etag = objects.put("a", b"new", **wanted)
    assert len(sent) == 2
    assert objects.get("a") == (b"new", etag)


@slow
def test_a_write_sent_twice_is_still_refused_where_another_was_first(objects: S3Objects) -> None:
    objects.put("a", b"same")
    answer_lost(objects, "PutObject")
    with pytest.raises(ObjectConflict):
        objects.put("a", b"same", absent=True)


@contextmanager
def busy_server(refusals: int) -> Iterator[tuple[str, list[str]]]:
    """A simulated S3 server on which another conditional write is under way, so often (SeaweedFS never says so)."""
    seen: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(str(self.headers.get("If-None-Match")))
            body = b"<Error><Code>ConditionalRequestConflict</Code></Error>" if len(seen) <= refusals else b""
            self.send_response(409 if body else 200)
            self.send_header("ETag", '"new"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("ETag", '"theirs"')
            self.send_header("Content-Length", "1")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch, s3_account: None) -> None:
    monkeypatch.setattr("infra.objects.s3._PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def s3_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3("").environment().items():
        monkeypatch.setenv(name, value)


def test_a_write_that_met_another_is_tried_again_with_its_condition(no_pause: None) -> None:
    with busy_server(3) as (endpoint, seen):
        assert S3Objects("bucket", endpoint=endpoint).put("a", b"1", absent=True) == '"new"'
    assert seen == ["*"] * 4


def test_a_write_that_meets_others_again_and_again_is_a_conflict(no_pause: None) -> None:
    with busy_server(99) as (endpoint, seen), pytest.raises(ObjectConflict, match='is there with etag "theirs"'):
        S3Objects("bucket", endpoint=endpoint).put("a", b"1", absent=True)
    assert len(seen) == 4
