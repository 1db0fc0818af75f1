"""The model card: what a stranger must find in it, and what nobody may smuggle into it."""

import re
from collections import Counter
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_of
from infra.settings import ROOT
from tasks.contracts import Evidence, FixedLimit, Model
from tasks.registry.model_card import (
    NO_LICENCE,
    NOT_APPROVED,
    Approval,
    Facts,
    Licence,
    front_matter,
    model_card,
    plain,
)
from tests.unit.gate.report_records import BLOB, TREE, blocked, digest, suite, verdict

GOLDEN = ROOT / "tests" / "golden" / "model_card.md"


def evidence(**changes: Any) -> Evidence:
    numbers: dict[str, Any] = {
        "night": digest("1"),
        "recipe": digest("2"),
        "snapshot": digest("3"),
        "preferences": digest("4"),
        "model": Model(base=TREE, adapter=TREE),
        "champion": digest("d"),
        "anchor": digest("a"),
        "cards": (),
        "verdict": verdict(limits=(FixedLimit(name="kl", value=0.21, limit=1.0, breached=False),)),
        "trained_on": BLOB,
        "promotable": True,
    }
    return Evidence(**numbers | changes)


def facts(**changes: Any) -> Facts:
    return Facts(
        name="demo",
        version=7,
        form="merged",
        model=digest("5"),
        base=digest("6"),
        adapter=digest("7"),
        base_name="smollm2-135m-instruct",
        evidence=evidence(),
        evidence_digest=digest("8"),
        pairs=470,
        approval=Approval(("ben", "eva"), "2026-11-25T08:00:00+00:00"),
        registered_by="",
        licence=Licence("apache-2.0", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        cost="0.0250 EUR (estimated)",
    )._replace(**changes)


def test_the_card_of_an_approved_candidate_is_the_golden_one() -> None:
    assert model_card(facts()) == GOLDEN.read_text(), f"read it, then replace {GOLDEN.name}"


def test_hugging_face_reads_the_front_matter() -> None:
    data = ModelCard(model_card(facts())).data.to_dict()
    assert data["base_model"] == "smollm2-135m-instruct"
    assert data["base_model_relation"] == "finetune"
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "apache-2.0",
        "transformers",
        "text-generation",
    )
    adapter = ModelCard(model_card(facts(form="adapter"))).data.to_dict()
    assert (adapter["library_name"], adapter["base_model_relation"]) == ("peft", "adapter")


def test_every_figure_of_the_verdict_is_in_the_card() -> None:
    card = model_card(facts())
    for text in (
        "+0.0312",
        "+0.0205",
        "0.02",
        "-0.0417",
        "0.08",
        "813",
        "0.05",
        "3.64",
        "| 0.21 | 1 | no |",
        "PASS: why it came so",
    ):
        assert text in card
    for value in (*"123458ad", "b"):
        assert digest(value) in card


def test_a_licence_that_no_file_states_is_not_invented() -> None:
    card = model_card(facts(licence=None))
    assert NO_LICENCE in card
    assert "license" not in front_matter(facts(licence=None))
    assert "apache" not in card


def test_a_licence_with_a_name_of_its_own_is_other_to_hugging_face() -> None:
    data = ModelCard(model_card(facts(licence=Licence("Acme Research 2.0", "README.md")))).data.to_dict()
    assert (data["license"], data["license_name"]) == ("other", "Acme Research 2.0")


def test_a_licence_text_without_a_name_is_pointed_to_and_gets_no_name() -> None:
    card = model_card(facts(licence=Licence(None, "LICENSE", ("LICENSE", "NOTICE"))))
    assert "Its text: `LICENSE`, `NOTICE`." in card
    assert "license:" not in card


def test_a_version_that_nobody_approved_says_so_in_bold_above_everything_else() -> None:
    card = model_card(facts(approval=None))
    body = card.split("---\n", 2)[2]
    assert NOT_APPROVED in body
    assert NOT_APPROVED.startswith("**")
    assert body.index(NOT_APPROVED) < body.index("## Verdict")
    assert "Approved by" not in card
    assert NOT_APPROVED not in model_card(facts())


def test_a_waiver_names_who_and_why_and_a_gate_that_was_overridden_is_bold() -> None:
    waived = Approval(("ben",), None, "the house items are few", "eva")
    found = evidence(verdict=verdict("INCONCLUSIVE"), promotable=False)
    card = model_card(facts(evidence=found, approval=waived))
    assert "Waived by eva, for this reason: the house items are few" in card
    assert "**INCONCLUSIVE**" in card
    assert "**The gate was overridden" in card


def test_missing_numbers_are_called_missing_and_problems_are_listed() -> None:
    found = evidence(verdict=verdict("BLOCK", suites=(blocked("safety"),), problems=("a card is missing",)))
    card = model_card(facts(evidence=found, approval=None))
    assert "missing | missing" in card
    assert "- a card is missing" in card
    assert "None" not in card
    assert "nan" not in card.lower().split()


def test_a_base_model_is_said_to_be_unjudged_and_has_no_figures() -> None:
    card = model_card(
        facts(evidence=None, adapter=None, approval=None, evidence_digest=None, pairs=None, registered_by="ann")
    )
    assert "No night has judged it" in card
    assert "ann registered it" in card
    assert NOT_APPROVED not in card
    assert "evidence.json" not in card
    assert "base_model" not in card


def test_a_model_that_was_trained_whole_names_no_base_that_its_files_dont_name() -> None:
    card = model_card(facts(adapter=None, base_name=None))
    assert "weights, trained whole" in card
    assert "base_model" not in front_matter(facts(adapter=None, base_name=None))


def test_rounded_weights_are_called_so() -> None:
    assert "Q8\\_0" in model_card(facts(quantise="Q8_0"))
    assert "GGUF type" not in model_card(facts())


HOSTILE = st.text(alphabet=st.sampled_from("#|`*_<>[]()!\n\r\t\u2028\x00-=~&$\\ab:{}'\""), max_size=40)


def structure(card: str) -> tuple[list[str], int, Counter[str]]:
    """Headings, lines, and every mark that isn't escaped: what a hostile text would have to add."""
    body = card.split("---\n", 2)[2]
    lines = body.split("\n")
    marks = Counter(re.sub(r"\\.", "", body))
    return (
        [line for line in lines if line.startswith("#")],
        len(lines),
        Counter({mark: marks[mark] for mark in "#|`*_<>[]!&~$\\"}),
    )


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_of_others_adds_a_heading_a_row_a_link_or_html(reason: str, name: str, paragraph: str) -> None:
    card = model_card(
        facts(
            approval=Approval((f"a{name}",), f"a{name}", f"a{reason}", f"a{name}"),
            evidence=evidence(verdict=verdict(paragraph=paragraph, warnings=(reason,), suites=(suite(name),))),
            base_name=f"a{name}",
            cost=f"a{reason}",
        )
    )
    harmless = model_card(
        facts(
            approval=Approval(("a",), "a", "a", "a"),
            evidence=evidence(verdict=verdict(paragraph="a", warnings=("a",), suites=(suite("a"),))),
            base_name="a",
            cost="a",
        )
    )
    assert structure(card) == structure(harmless)
    assert ModelCard(card).data.to_dict()["base_model"] == f"a{name}"


@given(st.text())
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    found = plain(text)
    assert len(found.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[`*_<>\[\]|~&#!$]", found)


def test_the_same_facts_give_the_same_bytes() -> None:
    assert digest_of(model_card(facts())) == digest_of(model_card(facts()))


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_the_card_says_how_to_load_and_check_it(form: Any) -> None:
    card = model_card(facts(form=form))
    assert "nightshift export --verify" in card
    assert ("PeftModel" in card) == (form == "adapter")
