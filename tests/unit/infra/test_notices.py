"""The words of every notification: facts in, a message out; what others wrote stays plain text."""

from datetime import UTC, datetime

import pytest

from infra import notices
from infra.notify import Message

URL = "http://127.0.0.1:5000/#/models/shop/versions/3"


def test_a_request_says_verdict_link_and_until_when() -> None:
    found = notices.approval_requested(
        "shop", 3, "PASS", "House +0.04 (lower +0.03).", datetime(2026, 11, 29, 2, 5, tzinfo=UTC), URL
    )
    assert found == Message(
        kind="approval requested",
        subject="shop version 3 awaits approval: PASS",
        text="shop version 3 is PASS and awaits approval.\nHouse +0.04 (lower +0.03).\n"
        "It can be approved until 2026-11-29 02:05 UTC.",
        url=URL,
    )
    assert found.body == f"{found.text}\n\n{URL}"
    assert "until" not in notices.approval_requested("shop", 3, "PASS", "x", None, URL).text


def test_a_promotion_says_who_approved_what_was_waived_and_how_to_go_back() -> None:
    found = notices.promoted("shop", 3, 2, "eve", "", URL)
    assert found.subject == "shop version 3 is champion"
    assert found.text == (
        "shop version 3 serves, approved by eve.\n"
        "Version 2 is previous; `nightshift rollback --name shop` makes it serve again."
    )
    assert "\nWaived by eve: small suite" in notices.promoted("shop", 3, 2, "eve", "small suite", URL).text
    assert "previous" not in notices.promoted("shop", 1, None, "eve", "", URL).text


def test_the_other_events_say_what_happened_and_what_to_do() -> None:
    told = {
        "rejected": notices.rejected("shop", 3, "eve", "too curt", URL),
        "rolled back": notices.rolled_back("shop", 2, 3, "bob", "complaints", URL),
        "needs re-judgement": notices.needs_rejudgement("shop", 4, 2, 3, URL),
        "incident": notices.incident("shop", "champion was moved around the guard", 2, URL),
        "auto-approved": notices.auto_approved("shop", 3, "all lower bounds above 0", URL),
    }
    assert {kind: one.kind for kind, one in told.items()} == {kind: kind for kind in told}
    assert {kind: one.text for kind, one in told.items()} == {
        "rejected": "shop version 3 was rejected by eve: too curt",
        "rolled back": "shop version 2 serves again; bob rolled back version 3.\nReason: complaints",
        "needs re-judgement": "shop version 4 is approved, but was judged against version 2, and version 3 serves now. "
        "It was not promoted: judge it again.",
        "incident": "shop: champion was moved around the guard\nServing is held at version 2. "
        "Nothing was repaired by itself: `nightshift audit` says what to do.",
        "auto-approved": "shop version 3 was approved by the policy, without a person: all lower bounds above 0.",
    }
    assert "what served" in notices.rolled_back("shop", 2, None, "bob", "", URL).text
    assert "another champion, and no version serves" in notices.needs_rejudgement("shop", 4, None, None, URL).text
    assert "held" not in notices.incident("shop", "x", None, URL).text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<!channel> see <https://evil.example|the report>", "‹!channel› see ‹https://evil.example|the report›"),
        ("{{token}}", "{ {token} }"),
        ("{{{token}}}", "{ { {token} } }"),
        ("a\x1b[2Jb\u202ec\r\n", "a [2Jb c \n"),
        ("x" * 1001, "x" * 999 + "…"),
    ],
)
def test_what_others_wrote_is_plain_text_of_bounded_length(written: str, shown: str) -> None:
    assert notices.plain(written) == shown
    assert shown in notices.rejected("shop", 3, "eve", written, URL).text


def test_a_subject_is_one_line() -> None:
    found = notices.approval_requested("shop", 3, "PASS\nBcc: all@example.org", "x", None, URL)
    assert "\n" not in found.subject
    assert "\r" not in found.subject
