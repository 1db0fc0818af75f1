"""The HTTP hook against FakeHookReceiver, a simulated service over real HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature
from pydantic import SecretStr

from infra.errors import TargetError
from infra.targets import http
from infra.targets.base import Pointer
from infra.targets.hook import HttpHookTarget, signature
from tests.outside import FakeHookReceiver, Reply, Request, http_server

SECRET = "planted-secret-of-thirty-two-characters"


def pointer(version: int, name: str = "shop") -> Pointer:
    digest = f"sha256:{version:064x}"
    return Pointer(name=name, version=version, model=digest, artefact="s3://m/1", manifest=digest, at="2026-11-26")


@pytest.fixture
def receiver() -> FakeHookReceiver:
    return FakeHookReceiver(SECRET)


@pytest.fixture
def url(receiver: FakeHookReceiver) -> Iterator[str]:
    with http_server(receiver) as found:
        yield found + "/token-in-the-path"


def hook(url: str, **more: Any) -> HttpHookTarget:
    fields: dict[str, Any] = {
        "url": SecretStr(url),
        "secret": SecretStr(SECRET),
        "unprobed": True,
        "wait_seconds": 0.01,
    }
    return HttpHookTarget(**(fields | more))


def test_the_signature_is_that_of_mlflows_webhooks() -> None:
    assert signature("key", "an-id", "1700000000", b'{"a": 1}') == _generate_hmac_signature(
        "key", "an-id", "1700000000", '{"a": 1}'
    )


def test_a_pointer_is_delivered_signed_and_with_a_fresh_timestamp(url: str, receiver: FakeHookReceiver) -> None:
    hook(url).point(pointer(4))
    assert receiver.taken == [pointer(4).model_dump()]
    (request,) = receiver.seen
    assert request.path == "/token-in-the-path"
    assert abs(int(request.headers["x-nightshift-timestamp"]) - time.time()) < 60


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again_under_one_id(url: str, receiver: FakeHookReceiver, status: int) -> None:
    receiver.answers = [status, status]
    hook(url).point(pointer(4))
    assert len(receiver.taken) == 1
    assert len({one.headers["idempotency-key"] for one in receiver.seen}) == 1
    assert len(receiver.seen) == 3


def test_a_delivery_that_was_taken_behind_an_error_is_not_taken_twice(url: str, receiver: FakeHookReceiver) -> None:
    receiver.answers, receiver.takes_first = [504, 504], True
    hook(url).point(pointer(4))
    assert len(receiver.taken) == 1


def test_going_back_and_forth_is_delivered_each_time(url: str, receiver: FakeHookReceiver) -> None:
    for version in (4, 5, 4):
        hook(url).point(pointer(version))
    assert [one["version"] for one in receiver.taken] == [4, 5, 4]


def test_a_refusal_is_final_and_shows_neither_secret_nor_path(url: str, receiver: FakeHookReceiver) -> None:
    receiver.answers = [422, 422]
    with pytest.raises(TargetError, match=r"the hook refuses POST: .* says 422") as refused:
        hook(url).point(pointer(4))
    assert len(receiver.seen) == 1
    assert SECRET not in str(refused.value)
    assert "token-in-the-path" not in str(refused.value)


def test_a_service_that_never_takes_it_is_an_error_after_the_last_try(url: str, receiver: FakeHookReceiver) -> None:
    receiver.answers = [500] * 10
    with pytest.raises(TargetError, match=r"didn't take POST in 3 tries; at last: .* says 500") as failed:
        hook(url, tries=3).point(pointer(4))
    assert len(receiver.seen) == 3
    assert SECRET not in str(failed.value)


def test_a_service_that_is_away_is_an_error_without_the_path() -> None:
    with pytest.raises(TargetError, match=r"http://127\.0\.0\.1:1 doesn't answer: ConnectError") as failed:
        hook("http://127.0.0.1:1/token-in-the-path", tries=2).point(pointer(4))
    assert "token-in-the-path" not in str(failed.value)


def test_a_silent_service_is_given_up_on() -> None:
    def sleepy(_: Request) -> Reply:
        time.sleep(1)
        return 200, {}

    with http_server(sleepy) as url, pytest.raises(TargetError, match="ReadTimeout"):
        hook(url, timeout_seconds=0.1, tries=2).point(pointer(4))


def test_an_answer_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 1 << 16)
    with http_server(lambda _: (200, b"x" * (1 << 20))) as url, pytest.raises(TargetError, match="answers with more"):
        hook(url, tries=1).point(pointer(4))


def test_a_redirect_is_not_followed_with_the_signature(url: str, receiver: FakeHookReceiver) -> None:
    receiver.answers = [307]
    with pytest.raises(TargetError, match="says 307"):
        hook(url).point(pointer(4))
    assert receiver.taken == []


def test_a_hook_that_can_be_read_knows_what_it_points_to(url: str, receiver: FakeHookReceiver) -> None:
    target = hook(url, reads=True)
    assert (target.knows(), target.points_to()) == (True, None)
    target.point(pointer(4))
    assert target.points_to() == pointer(4)
    target.point(pointer(4).model_copy(update={"at": "later"}))
    assert len(receiver.taken) == 1  # the same pointer is not posted again
    with pytest.raises(TargetError, match="serves shop, not bank"):
        target.point(pointer(1, "bank"))


def test_a_hook_that_can_not_be_read_says_that_it_does_not_know(url: str, receiver: FakeHookReceiver) -> None:
    target = hook(url)
    target.point(pointer(4))
    assert (target.knows(), target.points_to()) == (False, None)


def test_a_hook_of_another_secret_is_refused_by_the_service(url: str, receiver: FakeHookReceiver) -> None:
    with pytest.raises(TargetError, match="401"):
        hook(url, secret=SecretStr("x" * 32)).point(pointer(4))
    assert receiver.taken == []


@pytest.mark.parametrize("host", ["hooks.example", "10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(host: str) -> None:
    target = hook(f"http://{host}/x")
    assert target.check() == [f"the pointer would be sent to {host} over plain http, where others can read it"]
    with pytest.raises(TargetError, match="plain http"):
        target.point(pointer(4))
    assert hook(f"http://{host}/x", allow_http=True).check() == []


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "", "http://", "javascript:alert(1)"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    (problem,) = hook(url).check()
    assert "http:// or https://" in problem
    with pytest.raises(TargetError):
        hook(url).point(pointer(4))


def test_a_short_secret_and_a_missing_endpoint_are_problems() -> None:
    problems = hook("https://hooks.example", secret=SecretStr("short"), unprobed=False).check()
    assert len(problems) == 2
    assert "no endpoint" in problems[0]
    assert "fewer than 32" in problems[1]


@pytest.mark.parametrize("endpoint", ["llm:8000/v1", "ftp://llm/v1", "https://user:pass@llm/v1"])
def test_an_endpoint_that_is_no_url_or_holds_a_password_is_a_problem(endpoint: str) -> None:
    (problem,) = hook("https://hooks.example", endpoint=endpoint).check()
    assert "holds no password" in problem
    assert "user:pass" not in problem


def test_an_endpoints_key_is_not_sent_over_plain_http() -> None:
    (problem,) = hook("https://h.example", endpoint="http://llm/v1", api_key=SecretStr("k")).check()
    assert "API key would be sent to llm over plain http" in problem
    assert hook("https://h.example", endpoint="http://llm/v1").check() == []


def test_secrets_do_not_show_in_the_blocks_text() -> None:
    target = hook("https://hooks.example/token-in-the-path")
    assert SECRET not in repr(target)
    assert "token-in-the-path" not in repr(target)
