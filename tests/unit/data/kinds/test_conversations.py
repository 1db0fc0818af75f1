"""Service logs: which of a bot's answers is over which, what only weighs as a hint, and what gives nothing."""

from typing import Any

import pytest

from tasks.data.kinds.conversations import WEIGHTS, asks_for_a_person
from tasks.data.rows import Built
from tests.unit.data.kinds.records import built, texts

QUESTION = "Where is my parcel, please?"
BOT, PERSON = "It is on its way somewhere.", "It left us today and arrives on Friday."


def user(text: str = QUESTION) -> dict[str, Any]:
    return {"role": "customer", "content": text}


def bot(text: str = BOT, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def person(text: str = PERSON, **more: Any) -> dict[str, Any]:
    return {"role": "agent", "content": text, **more}


def event(name: str) -> dict[str, Any]:
    return {"event": name}


def log(*turns: Any, **more: Any) -> list[Built]:
    return built("conversations", {"id": "t", "messages": list(turns), **more})


def rules(found: list[Built]) -> list[str]:
    return [one.builder.removeprefix("conversations/") for one in found]


# ---- edits -----------------------------------------------------------------------------------------------------------


def test_what_an_agent_sent_is_over_the_draft_he_edited() -> None:
    (one,) = log(
        user(), person(draft=BOT, edited=True, agent_id="maria", model="bot-3", timestamp="2026-11-04"), tenant="a"
    )
    assert texts(one) == ([QUESTION], [PERSON], [BOT])
    assert (one.id, one.builder, one.annotator, one.rejected_model) == (
        "t/edit-2",
        "conversations/edit",
        "maria",
        "bot-3",
    )
    assert (one.chosen_model, one.timestamp, one.tenant, one.weight) == (None, "2026-11-04", "a", 1.0)


def test_a_turns_own_model_goes_before_the_records() -> None:
    (one,) = log(user(), person(draft=BOT, model="m"), rejected_model="record's", chosen_model="c")
    assert (one.chosen_model, one.rejected_model) == ("c", "m")


@pytest.mark.parametrize("draft", [PERSON, f"  {PERSON}\n"])
def test_a_draft_that_was_sent_as_it_was_is_a_hint_that_it_is_good(draft: str) -> None:
    (one,) = log(user(), person(draft=draft))
    assert (one.label, one.weight, texts(one)[1]) == (True, 0.5, [PERSON])


def test_an_edit_within_several_messages_in_a_row_keeps_what_was_said_before_it_on_both_sides() -> None:
    (one,) = log(user("Hi!"), user(), person("Good morning!"), person(draft=BOT))
    assert texts(one) == ([f"Hi!\n{QUESTION}"], [f"Good morning!\n{PERSON}"], [f"Good morning!\n{BOT}"])


def test_earlier_turns_are_the_prompt_as_they_were_sent() -> None:
    first, second = log(user("one"), person("1, as edited", draft="0"), user("two"), person("2, as edited", draft="0"))
    assert texts(first)[0] == ["one"]
    assert texts(second)[0] == ["one", "1, as edited", "two"]
    assert [turn["role"] for turn in second.prompt] == ["user", "assistant", "user"]


# ---- regenerations ---------------------------------------------------------------------------------------------------


def test_the_last_version_is_over_each_earlier_one() -> None:
    found = log(
        user(), bot("a", id="1"), bot("b", id="2", regenerated_of="1"), bot("c", regenerated_of="2"), user("ok")
    )
    assert [texts(one) for one in found] == [([QUESTION], ["c"], ["a"]), ([QUESTION], ["c"], ["b"])]
    assert len({one.id for one in found}) == 2


@pytest.mark.parametrize("key", ["regenerated_of", "regenerated-of", "regenerated"])
def test_a_turn_that_only_says_it_was_regenerated_replaces_the_answer_before(key: str) -> None:
    (one,) = log(user(), bot("a"), bot("b", **{key: True}))
    assert texts(one)[1:] == (["b"], ["a"])


def test_a_version_that_was_replaced_is_in_no_later_prompt() -> None:
    *_, last = log(user(), bot("a", id="1"), bot("b", regenerated_of="1"), user("and?"), person(draft=BOT))
    assert texts(last)[0] == [QUESTION, "b", "and?"]


def test_an_answer_asked_for_again_later_belongs_to_its_own_question() -> None:
    *_, one, edit = log(
        user(), bot("a", id="1"), user("and?"), person(draft=BOT), user("again"), bot("b", regenerated_of="1")
    )
    one, edit = sorted((one, edit), key=lambda built: built.builder, reverse=True)
    assert texts(one) == ([QUESTION], ["b"], ["a"])
    assert texts(edit)[0] == [QUESTION, "a", "and?"]  # what the customer had read when he asked


def test_the_same_answer_again_is_no_pair() -> None:
    assert log(user(), bot("a", id="1"), bot(" a", regenerated_of="1")) == []


# ---- hand-overs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["handover", "hand-over", "Hand_Over", "transfer", "takeover"])
def test_a_persons_answer_is_over_the_bots_he_took_over_from(name: str) -> None:
    (one,) = log(user(), bot(model="m"), event(name), person("One moment."), person())
    assert texts(one) == ([QUESTION], [f"One moment.\n{PERSON}"], [BOT])
    assert (one.builder, one.weight, one.rejected_model) == ("conversations/hand-over", 1.0, "m")


def test_an_event_may_stand_on_the_message_it_came_with() -> None:
    for found in (
        log(user(), bot(event="handover"), person()),
        log(user(), bot(), person(event="handover")),
        log(user(), bot(), {"role": "system", "content": "Anna takes over", "event": "handover"}, person()),
    ):
        assert [(one.builder, texts(one)) for one in found] == [
            ("conversations/hand-over", ([QUESTION], [PERSON], [BOT]))
        ]
    (one,) = log(user(), bot(event="resolved"))
    assert (one.label, texts(one)[1]) == (True, [BOT])


def test_empty_columns_and_events_that_are_only_messages_change_nothing() -> None:
    """As tables have them: every turn has every column."""
    empty = {"event": "message", "draft": "", "regenerated_of": "", "author": None, "feedback": None, "model": ""}
    (one,) = log(user() | empty, person(**empty))
    assert texts(one) == ([QUESTION], [PERSON], [])
    empty["event"] = ""
    (one,) = log(user() | empty, person(**empty | {"draft": BOT}))
    assert texts(one) == ([QUESTION], [PERSON], [BOT])


def test_a_customer_who_only_asks_for_a_person_lies_between_without_harm() -> None:
    (one,) = log(user(), bot(), user("Let me talk to a human!"), event("handover"), person())
    assert texts(one) == ([QUESTION], [PERSON], [BOT])


def test_a_person_who_was_told_more_answers_something_else_and_makes_no_pair() -> None:
    """Else the model would learn to know what only the next turn says."""
    bad, good = log(user(), bot(), user("Number 4711, I want a person"), event("handover"), person())
    assert (bad.builder, bad.label, bad.weight, texts(bad)[2]) == ("conversations/handed-over", False, 0.5, [BOT])
    assert (good.builder, good.label, texts(good)[0]) == (
        "conversations/answer", True, [QUESTION, BOT, "Number 4711, I want a person"],
    )  # fmt: skip


def test_a_person_who_only_says_hello_is_no_better_answer() -> None:
    assert rules(log(user(), bot(), event("handover"), person("Hello, Anna here."))) == ["handed-over"]


def test_a_hand_over_with_nobody_on_one_side_gives_no_pair() -> None:
    assert log(user(), event("handover"), bot()) == []
    assert log(user(), bot(), event("handover")) == []
    assert rules(log(user(), event("handover"), person())) == ["answer"]


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("agent", True),
        ("Ich möchte mit einem Mitarbeiter sprechen", True),
        ("Je veux parler à un conseiller", True),
        ("Quiero hablar con una persona", True),
        ("4711, agent please", False),
        ("It is the red one", False),
        ("I need a person because my parcel went to the neighbour and he has moved away since", False),
    ],
)
def test_who_asks_for_a_person_says_little_else(text: str, only: bool) -> None:
    assert asks_for_a_person(text) == only


# ---- hints -----------------------------------------------------------------------------------------------------------


def test_the_bots_last_answer_before_an_escalation_is_a_weak_bad_label() -> None:
    for found in (
        log(user(), bot("first"), user("and?"), bot(), event("escalated"), user("thanks")),
        log(user(), bot("first"), user("and?"), bot(), escalated=True),
    ):
        (one,) = found
        assert (one.label, one.weight, texts(one)[2]) == (False, 0.5, [BOT])
        assert texts(one)[0] == [QUESTION, "first", "and?"]


def test_the_last_answer_before_a_resolution_is_a_weak_good_label_but_no_closing_word() -> None:
    for found in (
        log(user(), bot(), user("Thanks!"), bot("Bye"), event("resolved")),
        log(user(), bot(), user("Thanks!"), bot("Bye"), resolved="yes"),
    ):
        (one,) = found
        assert (one.builder, one.label, one.weight, texts(one)[1]) == ("conversations/resolved", True, 0.5, [BOT])
    assert log(user(), bot(), resolved=False) == []


def test_only_what_was_said_before_an_escalation_or_resolution_is_judged_by_it() -> None:
    other = "It is the other parcel, I am afraid."
    for name, label in (("resolved", True), ("escalated", False)):
        (one,) = log(user(), bot(), event(name), user("and the other?"), bot(other))
        assert (one.label, texts(one)[0], (texts(one)[1] or texts(one)[2])) == (label, [QUESTION], [BOT])


def test_an_answer_is_used_once_by_the_strongest_that_is_known_of_it() -> None:
    assert rules(log(user(), person(draft=BOT), resolved=True, escalated=True)) == ["edit"]
    assert rules(log(user(), bot(), event("handover"), person(), escalated=True, resolved=True)) == ["hand-over"]
    assert rules(log(user(), person(), resolved=True)) == ["resolved"]


def test_a_thumb_on_a_turn_is_a_label() -> None:
    up, down = log(user(), bot(feedback="up"), user("and?"), bot("no", feedback={"rating": "down"}))
    assert [(one.label, one.weight, texts(one)[0]) for one in (up, down)] == [
        (True, 1.0, [QUESTION]),
        (False, 1.0, [QUESTION, BOT, "and?"]),
    ]


def test_a_plain_talk_gives_peoples_answers_with_a_small_weight_and_nothing_of_the_bot() -> None:
    found = log(person("Good morning, how can I help you?"), user(), person(), user("Thanks"), person("Welcome"))
    (one,) = found
    assert (one.builder, one.label, one.weight) == ("conversations/answer", True, WEIGHTS["answer"])
    assert texts(one) == ([QUESTION], [PERSON], [])  # the greeting answers nothing
    assert log(user(), bot(), user("Thanks"), bot("You are very welcome, dear customer")) == []


def test_an_answer_that_rests_on_a_look_up_is_no_label() -> None:
    assert log(user(), {"role": "action", "content": "parcel was looked up"}, person()) == []
    assert log(user(), {"role": "action", "content": "parcel was looked up"}, bot(), event("resolved")) == []
    found = log(user("Hi"), {"role": "action", "content": "x"}, person("Hello there!"), user(), person())
    assert [texts(one)[0][-1] for one in found] == [QUESTION]  # it counts until the customer speaks again


def test_a_turn_without_text_says_something_that_no_label_may_rest_on() -> None:
    assert log(user(), person("Send me a picture of it, please"), user(""), person()) == []
    (one,) = log(user(), person(""), person(draft=BOT))
    assert texts(one) == ([QUESTION], [PERSON], [BOT])


# ---- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [user(), person()]},
        {"turns": [{"speaker": "client", "text": QUESTION}, {"speaker": "Operator", "text": PERSON}]},
        {"dialogue": [["customer", QUESTION], ["agent", PERSON]]},
        {"conversations": [{"from": "human", "value": QUESTION}, {"from": "agent", "value": PERSON}]},
        {"transcript": [{"sender": "End-User", "body": QUESTION}, {"sender": "rep", "body": PERSON}]},
        {"log": [{"role": "user", "message": QUESTION}, {"role": "assistant", "author": "human", "message": PERSON}]},
    ],
)
def test_logs_of_every_shape_are_read_alike(value: dict[str, Any]) -> None:
    (one,) = built("conversations", value)
    assert texts(one) == ([QUESTION], [PERSON], [])


def test_a_system_message_is_kept_and_the_systems_notices_in_between_are_not() -> None:
    notice = {"role": "system", "content": "Anna joined"}
    for found in (
        log({"role": "system", "content": "s"}, user(), person(draft=BOT), user("and?"), notice, person(draft=BOT)),
        log(user(), person(draft=BOT), user("and?"), notice, person(draft=BOT), system="s"),
    ):
        assert [texts(one)[0] for one in found] == [["s", QUESTION], ["s", QUESTION, PERSON, "and?"]]


def test_a_bot_that_is_called_an_agent_is_a_bot() -> None:
    assert log(user(), person(author="bot")) == []


def test_a_long_talk_has_its_last_turns_as_prompt_and_grows_in_line_with_its_length() -> None:
    turns = [turn for n in range(1500) for turn in (user(f"question {n}"), person(f"the answer with the number {n}"))]
    found = log(*turns)
    assert len(found) == 1500
    assert max(len(one.prompt) for one in found) == 31
    assert {one.prompt[0]["role"] for one in found} == {"user"}
    assert texts(found[-1])[0][-1] == "question 1499"


def test_ids_stay_when_the_talk_goes_on() -> None:
    before = {one.id for one in log(user(), person(draft=BOT))}
    assert before < {one.id for one in log(user(), person(draft=BOT), user("and?"), person(draft=BOT))}


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "no messages, turns"),
        ([{"content": "q"}], "no messages, turns"),
        ([user(), {"role": "wizard", "content": "y"}], "turn 2 is of the role 'wizard', which is none of"),
        ([user(), {"role": "agent"}], "turn 2 has none of content, text"),
        ([user(), person(draft=True)], "turn 2 has a draft that is no text but bool"),
        ([user(), bot(regenerated_of="9")], "turn 2 was regenerated of '9', which is no answer before it"),
        ([user(), bot(regenerated=True)], "which is no answer before it"),
        ([user(), bot(id="2", regenerated_of="2")], "which is no answer before it"),
        ([user(), bot(feedback="meh")], "feedback is no thumb: 'meh'"),
    ],
)
def test_a_log_that_can_not_be_read_is_refused_with_its_turn(turns: list[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        log(*turns)


def test_a_log_that_is_no_single_talk_is_refused_before_it_takes_time_and_memory() -> None:
    assert len(log(*[user("x")] * 3999, person())) == 1
    with pytest.raises(ValueError, match="4001 turns are more than a talk has"):
        log(*[user("x")] * 4000, person())
    with pytest.raises(ValueError, match="characters are more than a talk has"):
        log(user("x" * 1_000_000), person())


def test_what_a_record_says_of_its_end_is_yes_or_no() -> None:
    with pytest.raises(ValueError, match="escalated is neither true nor false: 'tier 2'"):
        log(user(), bot(), escalated="tier 2")
