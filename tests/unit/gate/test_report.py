"""The gate report: what a person must find in it, and what must not get into it."""

import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from infra import number_words
from infra.settings import ROOT
from tasks.contracts import (
    Baselines,
    FixedLimit,
    Noise,
    PastNight,
    PastSuite,
    Portability,
    Reanchored,
    Round,
    RoundSuite,
    Snapshot,
    VerdictName,
    WeakTopic,
)
from tasks.gate import report_history, report_next, report_rows
from tasks.gate.flips import FlipCount
from tasks.gate.report import report_html, report_markdown
from tests.unit.gate.report_answers import COUNTS, FLIPS, flip
from tests.unit.gate.report_attack import ATTACK, attacked
from tests.unit.gate.report_examples import EXAMPLES, example, past, reanchored
from tests.unit.gate.report_records import bill, bill_line, blocked, digest, fields, suite, verdict


def page(**changes: Any) -> str:
    return report_html(**fields(**changes))


def text_of(html: str) -> str:
    """What a reader sees, without tags and on one line."""
    shown = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def cells(html: str, row: str, table: str = "") -> list[str]:
    """The texts of the table row whose heading starts with ``row``, in the table of that class."""
    where = html[html.index(f'<table class="{table}"') :] if table else html
    found = re.search(rf"<tr[^>]*>\s*<th[^>]* scope=\"row\"[^>]*>{row}.*?</tr>", where, re.DOTALL)
    assert found, f"no row {row}"
    return [
        " ".join(re.sub(r"<[^>]+>", "", cell).split())
        for cell in re.findall(r"<td[^>]*>(.*?)</td>", found.group(), re.DOTALL)
    ]


class Elements(HTMLParser):
    """Every tag with its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def night(at: str, name: str = "n", word: VerdictName = "PASS", promoted: bool = False, **deltas: float) -> PastNight:
    suites = tuple(PastSuite(name=one, delta=0.01, anchor_delta=value, lifetime=value) for one, value in deltas.items())
    return PastNight(at=at, night=name, verdict=word, promoted=promoted, suites=suites)


# ---- the verdict and what follows from it


def test_a_pass_says_how_to_approve_it_and_how_to_reject_it() -> None:
    said = text_of(page())
    assert "PASS: why it came so." in said
    assert "nightshift approve VERSION --name demo" in said
    assert "nightshift reject VERSION 'reason' --name demo" in said
    assert "--waive" not in said


@pytest.mark.parametrize("word", ["FAIL", "INCONCLUSIVE", "BLOCK"])
def test_anything_but_a_pass_is_recorded_and_offers_no_approval(word: VerdictName) -> None:
    html = page(verdict=verdict(word))
    assert f"</span>{word}</strong>" in html
    assert "Recorded, not promotable." in html
    assert "nightshift approve" not in text_of(html)


def test_a_waivable_verdict_offers_the_waiver_and_says_that_it_is_recorded() -> None:
    said = text_of(page(verdict=verdict("INCONCLUSIVE", waivable=True)))
    assert "nightshift approve VERSION --name demo --waive 'reason'" in said
    assert "name and reason are recorded" in said
    assert "not promotable" not in said


def test_a_verdict_that_cannot_be_waived_says_why() -> None:
    assert "A FAIL can’t be waived" in page(verdict=verdict("FAIL"))
    assert "A BLOCK can’t be waived" in page(verdict=verdict("BLOCK"))
    suites = (suite(budget=0.04), suite("house"), suite("accuracy", anchor_lower=None))
    said = text_of(page(verdict=verdict("INCONCLUSIVE", suites=suites)))
    assert "does not hold on safety (−0.0417, needed above −0.04), accuracy (no bound)." in said
    assert "house (" not in said[said.index("does not hold") : said.index("Nothing has to be done")]
    assert "--waive" not in said


def test_an_overridden_gate_offers_neither_approval_nor_waiver() -> None:
    for judged in (verdict(), verdict("INCONCLUSIVE", waivable=True)):
        said = text_of(page(verdict=judged, promotable=False))
        assert "the gate was overridden for this night" in said
        assert "Run the night without the override" in said
        assert "nightshift approve" not in said
        assert "awaits approval" not in said


def test_a_block_lists_every_problem_and_says_to_run_the_night_again() -> None:
    html = page(
        verdict=verdict("BLOCK", problems=("there is no anchor", "champion/safety: the scorecard is of another model"))
    )
    assert "<h2>2 problems</h2>" in html
    assert "<li>there is no anchor</li>" in html
    assert "<li>champion/safety: the scorecard is of another model</li>" in html
    assert "nightshift run RECIPE" in text_of(html)


def test_warnings_are_listed_with_their_commands_as_code() -> None:
    html = page(verdict=verdict(warnings=("rotate items with `nightshift gate rotate`", "a ` alone")))
    assert "<h2>2 warnings</h2>" in html
    assert "<li>rotate items with <code>nightshift gate rotate</code></li>" in html
    assert "<li>a ` alone</li>" in html


@pytest.mark.parametrize(("state", "told"), [("worn", "above half the margin"), ("spent", "nothing passes on them")])
def test_worn_suites_are_to_be_rotated(state: str, told: str) -> None:
    said = text_of(page(verdict=verdict(suites=(suite(wear_state=state, wear=0.02), suite("house")))))
    assert re.search(rf"Rotate items \(safety: .*{told}", said)
    assert "nightshift gate rotate RECIPE --suite safety --reason 'why'" in said
    assert "gate rotate" not in text_of(page())


def test_all_measures_of_drift_are_rotated_together_and_the_house_suite_by_new_preferences() -> None:
    assert report_next.rotate_command(["drift-length", "safety", "drift-kl"]) == (
        "nightshift gate rotate RECIPE --suite drift --suite safety --reason 'why'"
    )
    assert report_next.rotate_command(["house"]) == ""
    said = text_of(page(verdict=verdict(suites=(suite("house", wear_state="worn"),))))
    assert "house gets new items with new preferences" in said
    assert "gate rotate" not in said


def test_a_suite_that_more_items_would_settle_asks_for_a_new_plan() -> None:
    open_ = suite(verdict="INCONCLUSIVE", items_to_settle=1967)
    said = text_of(page(verdict=verdict("INCONCLUSIVE", suites=(open_, suite("house")))))
    assert "safety may need more items" in said
    assert "nightshift gate plan RECIPE" in said
    assert "gate plan" not in text_of(page())


@pytest.mark.parametrize(
    ("decision", "told"),
    [(300, ""), (328, ""), (329, "36 of the anchor’s 365 planned"), (365, "365 planned decisions are used up")],
)
def test_the_anchor_is_to_be_moved_when_its_decisions_run_out(decision: int, told: str) -> None:
    said = text_of(page(verdict=verdict(decision=decision)))
    assert told in said
    assert ("nightshift gate reanchor RECIPE --reason 'why'" in said) == bool(told)


def test_a_block_for_used_up_decisions_says_to_re_anchor() -> None:
    nights = tuple(night(f"2026-01-0{i}T02:00:00+00:00", f"n{i}", safety=0.0) for i in range(1, 5))
    blocking = verdict("BLOCK", decision=0, planned=4, problems=("the decisions are used up",))
    assert "nightshift gate reanchor RECIPE" in text_of(page(verdict=blocking, past=nights))
    moved = Reanchored(at="2026-01-03T12:00:00Z", by="m", reason="r", losses=())
    assert "gate reanchor" not in text_of(page(verdict=blocking, past=nights, reanchored=(moved,)))


def test_an_early_stop_says_where_harm_was_proven_and_how_much_was_scored() -> None:
    suites = (
        suite(verdict="FAIL", look=0.5, n=500, items=622),
        suite("house", verdict="INCONCLUSIVE", n=0, items=0, target=True),
    )
    said = text_of(page(verdict=verdict("FAIL", suites=suites, stopped=True)))
    assert "Scoring stopped early because harm was proven on safety after 50 % of its items." in said
    assert "safety 622 items, house nothing" in said
    assert "stopped early" not in text_of(page(verdict=verdict("FAIL", suites=suites)))


# ---- the suites


def test_a_suite_row_carries_all_its_numbers_in_order() -> None:
    html = page(verdict=verdict(suites=(suite(verdict="INCONCLUSIVE", items_to_settle=1967, items=900, look=0.75),)))
    assert cells(html, "safety", "suites") == [
        "813", "0.8011", "0.8132", "+0.0121", "−0.0103", "−0.03", "+0.0200", "−0.0417", "−0.08", "? INCONCLUSIVE",
    ]  # fmt: skip
    assert cells(html, "safety", "sure") == [
        "right or wrong", "813", "900", "+0.0345", "+0.0900", "0.4321", "75 %", "0.0266", "1,967", "–",
    ]  # fmt: skip
    assert "safety is no worse than the margin allows" in html  # the reason of a suite that does not pass


def test_every_suite_appears_in_table_and_forest_and_only_the_target_is_marked() -> None:
    names = ["safety", "accuracy", "reasoning", "house"]
    suites = tuple(suite(name, target=name == "house") for name in names)
    html = page(verdict=verdict(suites=suites))
    for name in names:
        assert len(cells(html, name, "suites")) == 10
        assert f'aria-label="{name}: PASS' in html
    assert html.count('<span class="tag">target</span>') == 2  # in the forest plot and in the table
    assert re.search(r"<b>house</b> <span class=\"tag\">target</span>", html)


def test_families_are_told_from_items_where_they_differ() -> None:
    assert report_rows.families(suite(n=800, items=1240)) == "800 families, 1,240 items"
    assert report_rows.families(suite(n=800, items=800)) == "800 items"
    assert report_rows.families(suite(n=800)) == "800 items"
    assert report_rows.families(blocked("safety")) == "nothing scored"
    assert "800 families, 1,240 items" in text_of(page(verdict=verdict(suites=(suite(n=800, items=1240),))))


def test_missing_numbers_are_dashes_and_never_zeros() -> None:
    html = page(
        verdict=verdict("BLOCK", suites=(blocked("safety"), blocked("house", target=True)), champion=None, anchor=None)
    )
    assert cells(html, "safety", "suites") == ["0", *"––––", "−0.03", "–", "–", "−0.08", "■ BLOCK"]
    assert cells(html, "safety", "lifetimes") == ["–", "–", "–", "−0.08"]
    assert cells(html, "safety", "wears")[0] == "–"
    assert "not judged" in html
    assert not re.search(r"\b(None|nan|NaN)\b", text_of(html))


def test_an_open_suite_that_more_items_cannot_settle_says_so() -> None:
    assert report_rows.to_settle(suite(verdict="INCONCLUSIVE", items_to_settle=None)) == "more won’t help"
    assert report_rows.to_settle(suite(verdict="PASS")) == "–"
    assert report_rows.to_settle(blocked("safety").model_copy(update={"verdict": "INCONCLUSIVE"})) == "–"


def test_the_tile_names_the_suite_with_the_least_room_to_its_budget() -> None:
    near, far = suite("near", anchor_lower=-0.07, budget=0.08), suite("far", anchor_lower=-0.09, budget=0.2)
    assert report_rows.nearest_budget([far, near])["value"] == "near"
    assert report_rows.nearest_budget([blocked("safety")])["value"] == "not judged"


# ---- fixed limits, A/A


def test_fixed_limits_say_which_hold_which_are_breached_and_which_are_missing() -> None:
    limits = (
        FixedLimit(name="length ratio", value=1.2, limit=1.5, breached=False),
        FixedLimit(name="KL", value=0.31, limit=0.2, breached=True),
        FixedLimit(name="empty answers", value=None, limit=0.02, breached=False),
    )
    html = page(verdict=verdict("FAIL", limits=limits))
    assert cells(html, "length ratio", "limits") == ["1.2", "1.5", "holds"]
    assert cells(html, "KL", "limits") == ["0.31", "0.2", "breached"]
    assert cells(html, "empty answers", "limits") == ["–", "0.02", "missing"]
    assert "No fixed limit was judged tonight." in text_of(page())
    assert "No fixed limit was judged tonight: scoring stopped early." in text_of(
        page(verdict=verdict("FAIL", stopped=True))
    )


def test_a_noise_check_above_its_floor_is_told_from_one_within() -> None:
    quiet = Noise(suite="safety", items=64, flips=0, gap=0.0004, floor=0.001, cause="another champion")
    loud = Noise(suite="accuracy", items=64, flips=0, gap=0.004, floor=0.001, cause="precision float32 → bfloat16")
    flipped = Noise(suite="house", items=64, flips=3, gap=0.0004, floor=0.001, cause="batch size")
    html = page(verdict=verdict(noise=(quiet, loud, flipped)))
    assert cells(html, "safety", "noise") == ["64", "0", "0.0004", "0.001", "within the floor", "another champion"]
    assert cells(html, "accuracy", "noise")[4:] == ["above the floor", "precision float32 → bfloat16"]
    assert cells(html, "house", "noise")[4] == "above the floor"
    assert "There is no A/A check" in page()


# ---- flips


def test_flips_show_prompt_right_answer_and_both_answers_champion_first() -> None:
    html = page(flips=FLIPS[:1])
    first = FLIPS[0]
    order = [first.prompt, first.right, first.champion_answer, first.candidate_answer]
    places = [unescape(html).index(f">{one}<") for one in order]
    assert places == sorted(places)
    assert "champion: right" in text_of(html)
    assert "candidate: wrong" in text_of(html)


def test_lost_items_stand_under_worst_and_won_items_under_best() -> None:
    html = page(flips=FLIPS)
    worst, best = html.index("Worst: where"), html.index("Best: where")
    for one in FLIPS:
        place = html.index(f"<span>{one.id}</span>")
        assert (worst < place < best) if one.delta < 0 else (place > best), one.id


def test_no_suite_hides_behind_another_among_the_flips_shown_at_once() -> None:
    many = [flip("safety", f"s{i}", 1.0, 0.0, prompt="p") for i in range(9)]
    html = page(flips=[*many, flip("accuracy", "a1", 0.6, 0.5, prompt="p")])
    assert html.index("<span>a1</span>") < html.index("<summary>6 more lost</summary>")


def test_suites_that_decided_the_verdict_come_first_among_the_flips() -> None:
    suites = (suite("house"), suite("safety", verdict="FAIL"), suite("accuracy", verdict="INCONCLUSIVE"))
    assert report_rows.worst_first(suites) == ["safety", "accuracy", "house"]


def test_a_graded_flip_shows_both_scores_and_who_chose_right() -> None:
    row = report_rows.flip_row(
        flip("accuracy", "a", 0.81, 0.22, right="14 days", champion_answer="14 days", candidate_answer="30 days")
    )
    assert (row["happened"], row["moved"], row["answered"]) == ("0.81 → 0.22", "−0.59", ("right", "wrong"))
    row = report_rows.flip_row(flip("house", "h", 0.5, 0.75, right="", champion_answer="x", candidate_answer="y"))
    assert (row["happened"], row["moved"], row["answered"]) == ("0.50 → 0.75", "+0.25", ("", ""))


def test_won_and_lost_items_are_counted_by_suite_and_topic() -> None:
    html = page(flip_counts=COUNTS)
    assert cells(html, "safety", "flipped") == ["630", "10", "9", "fraud −5 +2 · benign-medical −4 +6 · weapons −1 +1"]
    assert cells(html, "house", "flipped") == ["412", "21", "38", "(no topic) −21 +38"]
    many = [FlipCount("safety", f"t{i}", 10, 0, 1) for i in range(9)]
    assert cells(page(flip_counts=many), "safety", "flipped")[3].endswith("· 3 more")


def test_a_long_answer_is_shown_in_part_and_kept_whole() -> None:
    answer = "word " * 400
    html = page(flips=[flip("safety", "s", 1.0, 0.0, prompt="p", candidate_answer=answer)])
    assert "all 2,000 characters" in html
    assert html.count(answer) == 1
    assert number_words.beginning("x" * 790) == ""
    assert len(number_words.beginning("x" * 1000)) == 700
    assert number_words.beginning("line of an answer\n" * 40).count("\n") == 9


# ---- history


def test_tonight_is_added_to_the_past_once() -> None:
    earlier = (night("2026-11-22T02:00:00+00:00", "n1", safety=0.01), night("2026-11-23T02:00:00+00:00", safety=0.02))
    line = report_history.timeline(verdict(suites=(suite(),)), "tonight's", earlier, ())["safety"]
    assert [one.anchor_delta for one in line] == [0.01, 0.02, 0.02]
    assert [one.tonight for one in line] == [False, False, True]
    again = report_history.timeline(verdict(suites=(suite(),)), "n", earlier, ())["safety"]
    assert [one.tonight for one in again] == [False, True]


def test_a_night_that_judged_nothing_is_no_decision() -> None:
    nothing = night("2026-11-22T02:00:00+00:00", "blocked", "BLOCK")
    assert report_history.timeline(verdict("BLOCK", suites=(blocked("safety"),)), "t", (nothing,), ())["safety"] == []
    assert "No decision has been judged yet" in page(verdict=verdict("BLOCK", suites=(blocked("safety"),)))


def test_lines_break_at_a_re_anchoring_even_where_a_clock_ran_backwards() -> None:
    times = ("2026-11-01T02:00:00Z", "2026-11-05T02:00:00Z", "2026-11-02T02:00:00+00:00", "2026-11-06T02:00:00")
    earlier = tuple(night(at, f"n{i}", safety=0.01) for i, at in enumerate(times))
    moved = (Reanchored(at="2026-11-04T12:00:00+00:00", by="m", reason="r", losses=()),)
    line = report_history.timeline(verdict(suites=(suite(),)), "t", earlier, moved)["safety"]
    assert [one.segment for one in line] == [0, 1, 1, 1, 1]


def test_the_lifetime_table_shows_what_re_anchoring_has_given_up() -> None:
    one = suite(anchor_delta=-0.01, lifetime=-0.034)
    moved = (
        Reanchored(
            at="2026-10-01T12:00:00Z",
            by="m.keller",
            reason="a new base",
            losses=(PastSuite(name="safety", delta=None, anchor_delta=-0.024, lifetime=None),),
        ),
    )
    html = page(verdict=verdict(suites=(one,)), reanchored=moved)
    assert cells(html, "safety", "lifetimes") == ["−0.0100", "−0.0240", "−0.0340", "−0.08"]
    assert cells(html, "2026-10-01") == ["m.keller", "a new base", "safety −0.0240"]
    assert "never been moved" not in html
    assert "never been moved" in page(verdict=verdict(suites=(suite(lifetime=0.02),)))


def test_the_last_thirty_decisions_are_listed_newest_first() -> None:
    html = page(past=past(40), verdict=verdict(suites=(suite(),)))
    assert "The last 30 of 40 decisions in numbers" in html
    rows = re.findall(r'scope="row" class="one">(support-8b-[^<]+)<', html)
    assert rows == [one.night for one in reversed(past(40)[10:])]


def test_wear_is_shown_beside_margin_and_half_margin_with_the_decision_count() -> None:
    html = page(verdict=verdict(suites=(suite(wear=0.0214, wear_state="worn"),), decision=58, planned=365))
    assert cells(html, "safety", "wears")[:4] == ["0.0214", "0.015", "0.03", "worn"]
    assert "Decision 58 of 365 planned against this anchor." in html
    assert "no planned decision was spent" in page(verdict=verdict("BLOCK", decision=0))


# ---- the bill


def test_every_bill_line_appears_with_attempts_and_failures() -> None:
    html = page()
    assert cells(html, "align") == ["cpu", "3", "2", "1 min 30 s", "0.0250", "0.0016", "0.0071", "estimated"]
    assert cells(html, "score") == ["cpu", "1", "0", "1 min 30 s", "0.0250", "0.0016", "0.0089", "measured"]
    assert cells(html, "total") == ["", "4", "2", "3 min 00 s", "0.0500", "0.0032", "0.0160", "in part estimated"]
    assert "workstation of 2026-11-01 (a made-up source)" in html


def test_an_amount_too_small_for_its_column_is_not_shown_as_nothing() -> None:
    assert number_words.amount(0.002, 2) == "< 0.01"
    assert number_words.amount(0.0, 2) == "0.00"
    assert number_words.amount(1234.5, 2) == "1,234.50"


def test_the_bill_tells_estimated_from_in_part_estimated() -> None:
    metered, guessed = bill_line("align", 1.0), bill_line("score", 1.0, estimated=True)
    assert report_rows.how_known(bill(metered)) == "measured"
    assert report_rows.how_known(bill(metered, guessed)) == "in part estimated"
    assert report_rows.how_known(bill(guessed)) == "estimated"


# ---- untrusted text


PLACES = 31  # that many places of the page below show or speak it


@pytest.mark.parametrize("attack", [ATTACK, f"`{ATTACK}", f"{ATTACK}x`"], ids=["plain", "in code", "before code"])
def test_untrusted_text_can_neither_run_nor_load_anything_wherever_it_stands(attack: str) -> None:
    html = report_html(**attacked(attack))
    tags = Elements(html).seen
    assert not {"script", "img", "iframe", "link", "object", "form"} & {tag for tag, _ in tags}
    assert all((attributes["href"] or "").startswith("#") for tag, attributes in tags if tag == "a")
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= PLACES
    assert html.count("<section") == page().count("<section")  # nothing closed what it stands in


def test_untrusted_text_is_plain_in_the_short_form() -> None:
    nasty = "| a | [link](https://evil.example) <script>alert(1)</script> `code` **b**\n\n# heading"
    short = report_markdown(
        verdict("FAIL", paragraph=nasty, warnings=(nasty,), suites=(suite(nasty, verdict="FAIL"),)), True
    )
    assert "<script>" not in short
    assert not re.search(r"(?<!\\)\[link", short)
    assert not re.search(r"(?<!\\)\*\*b", short)
    rows = [line for line in short.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [9, 9, 9]
    assert not re.search(r"^# heading", short, re.MULTILINE)


def test_the_page_refers_to_nothing_outside_itself() -> None:
    html = example("pass")
    for tag, attributes in Elements(html).seen:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_id_is_given_twice_and_every_reference_is_met(kind: str) -> None:
    html = example(kind)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|aria-labelledby=")([^"]+)', html)) <= set(ids)


def test_half_a_surrogate_pair_in_an_answer_does_not_break_the_file() -> None:
    html = page(samples=[{"prompt": "p", "champion": "\ud83d", "candidate": ""}])
    html.encode("utf-8")
    assert "(no answer)" in html


# ---- samples, data, digests


def test_sample_answers_stand_side_by_side_champion_first() -> None:
    html = page()
    assert html.index("Where is my parcel?") < html.index("It is late.") < html.index("It is near.")


def test_the_data_section_counts_rows_files_and_quarantine_reasons() -> None:
    html = page()
    assert cells(html, "day.jsonl")[:2] == ["2,574", "2.0 KiB"]
    assert cells(html, "duplicate_pair") == ["31"]
    assert html.index(">duplicate_pair<") < html.index(">email<")  # most rows first
    for figure in ("2,574", "2,107", "412", "55"):
        assert f"<dd>{figure}</dd>" in html
    assert "<li>chosen answers are longer than rejected ones</li>" in html


def test_every_digest_the_verdict_is_bound_to_is_printed() -> None:
    html = page()
    assert cells(html, "night", "digests") == ["2026-11-23-7f3a"]
    assert cells(html, "candidate", "digests") == [digest("c")]
    assert cells(html, "champion, version 14") == [digest("d")]
    assert cells(html, "anchor, version 1") == [digest("a")]
    assert [cells(html, f"scorecard {i}") for i in (1, 2)] == [[digest("1")], [digest("2")]]


def test_a_night_with_nothing_in_it_still_renders() -> None:
    html = page(
        verdict=verdict("BLOCK", suites=(), problems=("no suite can be read",), champion=None, anchor=None, cards=()),
        baselines=Baselines(champion=None, anchor=None),
        bill=bill(),
        history=[],
        samples=[],
        quarantine={},
        snapshot=Snapshot(shards=(), n_rows=0, files=()),
    )
    for sentence in (
        "no suites",
        "No item can be shown",
        "No decision has been judged yet",
        "No training steps were logged",
        "The bill has no lines",
        "no sample answers",
        "No row went to quarantine",
    ):
        assert sentence in html
    assert cells(html, "anchor", "digests") == ["missing"]
    assert 'role="img"' not in html


# ---- the file


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_same_night_gives_the_same_bytes(kind: str) -> None:
    assert example(kind) == example(kind)


def test_a_year_of_nights_stays_a_page_of_less_than_half_a_megabyte() -> None:
    assert len(example("pass", 364).encode()) < 500_000
    assert len(reanchored(364)) == 1


def test_the_short_form_has_verdict_reason_and_a_row_a_suite() -> None:
    short = report_markdown(verdict(warnings=("few left",)), True, "https://mlflow.example/report.html")
    assert short.startswith("## ✓ PASS\n")
    assert "PASS: why it came so." in short
    assert "- few left" in short
    assert "| safety | 813 | +0.0121 | −0.0103 | −0.03 | −0.0417 | −0.08 | PASS |" in short
    assert "| house (target) | 813 |" in short
    assert "[The whole report](https://mlflow.example/report.html)" in short
    early = verdict("FAIL", stopped=True, suites=(suite(verdict="FAIL", look=0.25),))
    assert "Scoring stopped early because harm was proven on safety after 25 %" in report_markdown(early, True)


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert number_words.signed(-0.00001) == "+0.0000"
    assert number_words.signed(-0.5, 2) == "−0.50"
    assert number_words.limit(0.1) == "−0.10"
    assert number_words.limit(0.025) == "−0.025"
    assert number_words.probability(0.00001) == "< 0.0001"


def test_durations_sizes_and_times_read_like_a_clock_and_a_file_list() -> None:
    assert [number_words.duration(s) for s in (0.41, 59.6, 185, 9120)] == [
        "0.4 s", "59.6 s", "3 min 05 s", "2 h 32 min",
    ]  # fmt: skip
    assert [number_words.size(b) for b in (12, 2048, 3 * 2**20, 61 * 2**30)] == [
        "12 B", "2.0 KiB", "3.0 MiB", "61.0 GiB",
    ]  # fmt: skip
    assert report_history.moment("2026-11-24T03:12:08+01:00") == "2026-11-24 02:12 UTC"
    assert report_history.moment("this morning") == "this morning"


def test_the_next_step_of_a_night_whose_plan_is_unknown_is_not_to_re_anchor() -> None:
    assert not [one for one in report_next.next_steps(verdict(planned=0), "demo", True) if "reanchor" in one.command]


def test_importing_the_report_imports_nothing_heavy() -> None:
    loaded = "bool({'matplotlib', 'jinja2', 'scipy', 'torch'} & set(sys.modules))"
    code = f"import sys, tasks.gate.report; sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("finding", ["agrees", "disagrees", "none", "unknown"])
def test_a_training_that_moved_to_another_kind_of_device_is_shown_and_warned_of_unless_a_receipt_agrees(
    finding: Any,
) -> None:
    told = "The candidate was trained on mi355x, the champion on <h100>: `nightshift receipt` & so on."
    moved = Portability(trained="mi355x", champion="h100", finding=finding, receipt=None, told=told)
    html = page(portability=moved)
    training = text_of(html[html.index('id="training"') : html.index('id="bill"')])
    assert told.replace("`", "") in training.replace("nightshift receipt", "nightshift receipt")
    assert "<h100>" not in html
    verdict_section = text_of(html[html.index('id="verdict"') : html.index('class="tiles"')])
    assert ("the champion on <h100>" in verdict_section) == (finding != "agrees")
    assert 'id="portability"' not in page()


def tried(**changes: Any) -> Round:
    given: dict[str, Any] = {
        "number": 2,
        "kind": "twins",
        "method": "dpo",
        "topics": (
            WeakTopic(suite="reasoning", topic="<money>", n=47, champion=0.7, candidate=0.55, upper=0.0, why="below"),
        ),
        "rows": 256,
        "alpha": 0.0125,
        "verdict": "PASS",
        "reason": "every bound holds",
        "suites": (RoundSuite(name="reasoning", candidate=0.73, delta=0.0312, verdict="PASS", fresh=140, items=400),),
    }
    return Round(**given | changes)


def test_every_try_to_harden_is_shown_with_its_topics_its_alpha_and_its_fresh_items() -> None:
    soup = tried(number=1, kind="soup", share=0.5, method=None, topics=(), rows=0, suites=(), verdict=None,
                 reason="an adapter has no exact sum with another", alpha=0.025)  # fmt: skip
    html = page(verdict=verdict("PASS", rounds=(soup, tried())))
    text = text_of(html)
    assert "2 tries were made" in text
    assert "Try 1: averaged with the champion, 50% of it the candidate – – none" in text
    assert "an adapter has no exact sum with another" in text
    assert "Try 2: trained by dpo on 256 twins" in text
    assert "reasoning: <money>" in text
    assert "<money>" not in html
    assert "below the champion" in text
    assert "140 of 400" in text
    assert "α 0.0125" in text
    short = report_markdown(verdict("PASS", rounds=(soup, tried())), True)
    assert "try 1, averaged with the champion, 50% of it the candidate: no verdict" in short


def test_a_night_without_hardening_has_no_word_of_it() -> None:
    assert "ardening" not in text_of(page())
