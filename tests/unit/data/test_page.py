"""The data's report: what a person must find in it, that its figures are the record's, what must not get into it."""

import math
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.store import Blob, Tree
from tasks.contracts import Preferences
from tasks.data import page_pictures, page_words
from tasks.data.agreement import Agreement
from tasks.data.checks import CHECKS
from tasks.data.leakage import Common
from tasks.data.page import BRIEF, TEXT, data_page, legible
from tasks.data.page_reasons import MEANINGS, meaning
from tasks.data.page_records import DataReport, DriftAgainst, Flow, Leaked, Reason, Sample, Trained
from tasks.data.page_short import data_markdown
from tasks.data.rows import Kind
from tests.unit.data.page_examples import (
    ATTACK,
    BIAS,
    EXAMPLES,
    SHARES,
    attacked,
    bias,
    drift,
    empty,
    example,
    finding,
    first,
    full,
    plain,
    source,
    stopped,
)

VOID = {"meta", "br", "img", "hr", "input", "link"}


def page(report: DataReport) -> str:
    return data_page(report, plain)


def text_of(html: str) -> str:
    """What a reader sees, without tags and on one line."""
    shown = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def cells(html: str, table: str, row: str) -> list[str]:
    """The texts of the row with this heading, in the table of that class."""
    where = html[html.index(f'<table class="{table}"') :].partition("</table>")[0]
    found = re.search(rf"<th scope=\"row\"[^>]*>{re.escape(row)}</th>(.*?)</tr>", where, re.DOTALL)
    assert found, f"no row {row} in {table}"
    return [text_of(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found.group(1), re.DOTALL)]


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, or closed in another order than it was opened; keeps what was seen."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def drawn(html: str, classes: str) -> list[ElementTree.Element]:
    """All elements of exactly these classes, in all pictures of the page."""
    pictures = [ElementTree.fromstring(one) for one in re.findall(r"<svg[^>]* role=\"img\".*?</svg>", html, re.DOTALL)]
    return [one for svg in pictures for one in svg.iter() if one.get("class") == classes]


def values(html: str, classes: str) -> list[float]:
    return [float(one.attrib["data-value"]) for one in drawn(html, classes)]


# ---- what came in, and where it went


def test_the_summary_says_how_many_rows_came_how_many_left_and_why_most_did() -> None:
    said = text_of(page(full()))
    assert "8,412 rows came in from 4 sources; 361 rows (4.3 %) went to quarantine" in said
    assert "most often for duplicate_pair (141 rows)" in said
    assert "GOES ON, WITH WARNINGS" in said


def test_every_source_has_its_rows_size_and_shares_now_and_before() -> None:
    html = page(full())
    assert cells(html, "sources", "tickets/") == [
        "conversations", "6", "4.6 MiB", "4,630", "512", "55.0 %", "3,120", "39.2 %",
    ]  # fmt: skip
    assert cells(html, "sources", "handbook/")[-3:] == ["2.4 %", "200", "2.5 %"]
    assert values(html, "now") == pytest.approx([4630 / 8412, 2771 / 8412, 811 / 8412, 200 / 8412], rel=1e-5)
    assert values(html, "before") == pytest.approx([3120 / 7950, 3990 / 7950, 640 / 7950, 200 / 7950], rel=1e-5)


def test_a_source_that_is_gone_keeps_its_row() -> None:
    html = page(full(sources=(source("a", "pairs", 8412, 0, 10), source("gone", "pairs", 0, 0, 30, objects=0))))
    assert cells(html, "sources", "gone") == ["pairs", "0", "0 B", "0", "0", "0.0 %", "30", "75.0 %"]


def test_labels_and_documents_are_counted_apart_and_every_row_lies_in_one_part_of_the_bar() -> None:
    html = page(full())
    assert cells(html, "flows", "pair") == ["7,401", "340", "7,061", "1,402", "1,000", "0", "5,659"]
    assert cells(html, "flows", "label") == ["811", "20", "791", "0", "0", "151", "640"]
    assert cells(html, "flows", "document") == ["200", "1", "199", "0", "0", "199", "0"]
    bar = [values(html, f"part {key}") for key in ("train", "held", "aside")]
    assert bar == [[6299], [1402], [350]]
    assert values(html, "part left")[0] == 361
    assert "to train on 6,299 rows (74.9 %), held out 1,402 rows (16.7 %)" in html
    flow = html[html.index('<svg class="flow"') :].split("</svg>")[0]
    widths = [float(one) for one in re.findall(r' width="([\d.]+)%" height="32"', flow)]
    assert sum(widths) == pytest.approx(100)
    assert widths[0] == pytest.approx(100 * 6299 / 8412, abs=1e-3)


def test_new_and_replayed_rows_are_told_once_they_are_decided() -> None:
    said = text_of(page(full(trained=Trained(new=655, replayed=70))))
    assert "tonight 655 new, 70 replayed" in said
    assert "655 rows that the champion has not seen, and replays 70 rows of earlier nights" in said
    assert "was not decided when this page was made" in text_of(page(full(trained=None)))


def test_rows_that_went_to_more_places_than_came_in_are_refused() -> None:
    with pytest.raises(ValidationError, match="10 rows of kind pair, but 12 went somewhere"):
        Flow(kind="pair", rows=10, quarantined=3, held_out=4, to_train=5)
    with pytest.raises(ValidationError, match="house items"):
        Flow(kind="pair", rows=10, quarantined=0, held_out=1, house=2, to_train=5)
    with pytest.raises(ValidationError, match="400 rows failed email, of 361 in quarantine"):
        full(reasons=(Reason(name="email", rows=400),))
    with pytest.raises(ValidationError, match="twice"):
        full(flows=2 * (Flow(kind="pair", rows=1, quarantined=0, held_out=0, to_train=0),), reasons=())


# ---- what left, and why


def test_every_check_says_what_it_means_and_what_to_do() -> None:
    assert set(CHECKS) <= set(MEANINGS)
    for name, (means, do) in MEANINGS.items():
        assert means.endswith("."), name
        assert do.endswith("."), name
    assert "tasks/data/checks.py" in meaning("a check of tomorrow").do


def test_all_reasons_are_named_most_rows_first_and_those_without_rows_left_out() -> None:
    html = page(full(reasons=tuple(Reason(name=name, rows=i) for i, name in enumerate(CHECKS))))
    listed = re.findall(r'<div class="reason-head"><h3>(\w+)</h3>', html)
    assert listed == list(CHECKS)[:0:-1]
    for name in listed:
        assert unescape(meaning(name).means) in text_of(html)
    assert cells(html, "reasons", CHECKS[2]) == ["2", "< 0.1 %"]
    most = len(CHECKS) - 1
    bars = [one for one in drawn(html, "part left") if one.attrib["height"] == "10"]
    assert [float(one.attrib["width"][:-1]) for one in bars] == pytest.approx(
        [100 * n / most for n in range(most, 0, -1)], abs=1e-3
    )


def test_samples_show_id_source_line_builder_and_texts_three_a_reason() -> None:
    rows = tuple(
        Sample(reason="email", id=f"T-{i}", source="day.jsonl", line=i, builder="pairs", prompt="p", chosen="c")
        for i in range(1, 6)
    )
    said = text_of(page(full(samples=rows)))
    assert "T-1 day.jsonl, line 1 built by pairs prompt p chosen c rejected (nothing)" in said
    assert "T-3 " in said
    assert "T-4 " not in said
    assert "3 samples of email" in said


def test_an_unreadable_record_is_shown_as_it_came_with_its_error() -> None:
    said = text_of(page(full()))
    assert "Error: not JSON: Expecting ',' delimiter at character 61 record, as it came {" in said
    assert "chats/2026-11-24.jsonl.gz, the object as a whole" in said
    assert "Because of: duplicate of chats/2026-11-20.jsonl:7" in said


def test_every_text_of_a_row_is_masked_and_shortened_before_it_is_shown() -> None:
    asked = []

    def shown(text: str, limit: int) -> str:
        asked.append((text, limit))
        return "MASKED"

    secret = "carla@example.com"
    row = {"id": secret, "source": "day.jsonl", "line": 1, "because": secret, "error": secret}
    report = full(
        samples=(
            Sample(reason="email", **row, prompt=secret, chosen=secret, rejected=secret, raw=secret),
            Sample(reason="unreadable", **row, raw=secret),
        ),
        common=(Common(secret, 11, 2),),
    )
    html = data_page(report, shown)
    assert secret not in html
    assert html.count("MASKED") == 11
    assert {limit for _, limit in asked} == {TEXT, BRIEF}


# ---- expectations


def test_breaches_stand_first_and_a_critical_one_says_that_the_night_stopped() -> None:
    html = page(stopped())
    said = text_of(html)
    assert "STOPPED" in said
    assert "2 breaches that stopped the night" in said
    assert "share_secret is 0.112, expected <= 0.02: secrets in service logs are an incident" in said.replace(
        "0.1120", "0.112"
    )
    assert "share_email could not be computed: the column is missing" in said
    table = html[html.index('<table class="expectations"') :]
    figures = re.findall(r'<th scope="row" class="one">(\w+)</th>', table.split("</table>")[0])
    assert figures == [
        "share_email", "share_secret", "share_chosen_longer", "rows", "share_quarantined", "share_duplicate_pair",
    ]  # fmt: skip
    assert cells(html, "expectations", "share_secret") == [
        "0.1120", "<= 0.02", "critical", "✕ breached", "secrets in service logs are an incident",
    ]  # fmt: skip


def test_a_night_is_stopped_by_what_stops_it_only() -> None:
    failed = finding(success=False)
    quiet = {"bias": (), "drift": (), "leaked_items": (), "skipped": 0}
    assert page_words.night_state(full(expectations=(finding(),), **quiet)).word == "GOES ON"
    assert page_words.night_state(full(expectations=(failed,), **quiet)).word == "GOES ON, WITH WARNINGS"
    critical = failed.model_copy(update={"severity": "critical"})
    errored = finding(error="it raised")
    for one in (critical, errored):
        assert page_words.night_state(full(expectations=(finding(), one), **quiet)).word == "STOPPED"
    for one in ("bias", "drift", "leaked_items", "skipped"):
        report = full(expectations=(), **{name: value for name, value in quiet.items() if name != one})
        assert page_words.night_state(report).word == "GOES ON, WITH WARNINGS", one


# ---- bias, drift, agreement, leakage


def test_every_bias_figure_is_drawn_at_its_value_with_its_interval_around_its_neutral_value() -> None:
    html = page(full())
    by_measure = sorted(BIAS, key=lambda one: list(page_words.MEASURES).index(one.measure))
    assert values(html, "dot figure")[: len(BIAS)] == pytest.approx([one.value for one in by_measure], rel=1e-5)
    assert values(html, "zero")[: len(BIAS)] == [one.neutral for one in by_measure]
    assert cells(html, "bias", "length")[:4] == ["1.31×", "1.24 to 1.38×", "1.00×", "2,000"]
    assert cells(html, "bias", "lists")[:5] == ["+8.3 points", "+6.1 to +10.5 points", "0 points", "2,000", "▲ warns"]
    assert cells(html, "bias", "longer is chosen")[:5] == ["61.4 %", "59.2 to 63.6 %", "50.0 %", "1,930", "▲ warns"]


def test_positions_on_a_bias_axis_are_linear_in_points_and_logarithmic_in_ratios() -> None:
    (_, points), (_, ratios) = page_pictures.bias(
        [bias("lists", SHARES, 0.1, 0.05, 0.2), bias("length", "ratio", 2.0, 0.5, 4.0)]
    )

    def places(panel: str) -> list[float]:
        found = {
            "zero": r'class="zero" x1="([\d.]+)%',
            "left": r'interval figure" x1="([\d.]+)%',
            "right": r'interval figure".*?x2="([\d.]+)%',
            "dot": r'cx="([\d.]+)%',
        }
        at = {name: float(re.findall(pattern, panel)[0]) for name, pattern in found.items()}
        return [(at[name] - at["zero"]) / (at["dot"] - at["zero"]) for name in ("left", "right")]

    assert places(points) == pytest.approx([0.5, 2.0], abs=1e-3)
    assert places(ratios) == pytest.approx([-1.0, 2.0], abs=1e-3)


def test_an_interval_without_end_stays_on_its_axis_and_is_said_to_have_no_bound() -> None:
    html = page(full(bias=(bias("length", "ratio", 1.4, 1e-300, 1e300, n=1), bias("lists", SHARES, 0, -1e300, 1.0))))
    assert cells(html, "bias", "length")[1] == "0.00 to no bound"
    assert cells(html, "bias", "lists")[1] == "no bound to +100.0 points"
    for one in drawn(html, "interval figure"):
        assert 0 <= float(one.attrib["x1"][:-1]) < float(one.attrib["x2"][:-1]) <= 100


def test_drift_is_drawn_as_bars_against_both_thresholds_with_chance_where_it_lies_on_the_axis() -> None:
    html = page(full())
    assert values(html, "psi") == pytest.approx([0.092, 0.131, 0.312, 0.02, 0.131, 0.312])
    assert values(html, "threshold some")[:6] == [0.1] * 6
    assert values(html, "threshold large")[:6] == [0.25] * 6
    assert values(html, "chance") == pytest.approx([0.004, 0.006, 0.021, 0.006, 0.021])
    bar, limit = drawn(html, "psi")[1], drawn(html, "threshold some")[1]
    assert float(bar.attrib["width"][:-1]) / float(limit.attrib["x1"][:-1]) == pytest.approx(1.31, abs=1e-3)
    assert cells(html, "drifts", "source") == [
        "0.092", "0.004", "0.011", "7,400", "8,000", "✓ no shift",
        "tickets/#.jsonl 40.0 % → 55.0 %; chats/#.jsonl 60.0 % → 45.0 %",
    ]  # fmt: skip
    assert cells(html, "drifts", "topic")[-2:] == ["▲ large shift", "–"]
    assert cells(html, "drifts", "language")[-2] == "? too few rows"


@pytest.mark.parametrize(
    ("low", "word"), [(0.85, "✓ reliable"), (0.7, "▲ tentative"), (0.4, "▲ not reliable"), (-0.3, "▲ not reliable")]
)
def test_agreement_is_read_by_the_lower_end_of_its_interval(low: float, word: str) -> None:
    html = page(full(agreement=Agreement(alpha=0.9, low=low, high=0.95, units=50, ratings=110)))
    assert word in text_of(html)
    assert values(html, "dot figure")[-1] == 0.9
    shown = drawn(html, "interval figure")[-1]
    assert 0 <= float(shown.attrib["x1"][:-1]) < float(shown.attrib["x2"][:-1]) <= 100


def test_leaked_items_are_listed_most_rows_first_with_text_that_many_items_share() -> None:
    html = page(full())
    table = html[html.index('<table class="leaked"') :].split("</table>")[0]
    assert re.findall(r'<th scope="row" class="broad">(\w+)</th>', table) == ["accuracy", "safety"]
    assert cells(html, "leaked", "accuracy") == ["a-2", "3"]
    assert cells(html, "common", "answer the following question with a b c or d only") == ["40", "12"]
    assert "120 comparisons of near-duplicates were left out" in text_of(html)


# ---- what is not there is said


def test_a_first_night_says_in_words_what_it_can_not_show_yet() -> None:
    said = text_of(page(first()))
    for sentence in (
        "GOES ON", "There is no accepted snapshot to compare with yet.", "No row went to quarantine.",
        "There is nothing to compare with yet: drift is measured from the first accepted snapshot on.",
        "No row names its annotator, so agreement can’t be measured.", "No item of the gate stood in a row",
        "No comparison of near-duplicates was left out.",
    ):  # fmt: skip
        assert sentence in said
    assert "warning" not in said.split("Sources", 2)[1]


def test_a_night_without_a_row_still_has_a_page_and_draws_nothing() -> None:
    html = page(empty())
    for sentence in (
        "No row came in.", "gave no object", "there is nothing to show", "so none left", "No expectation was judged",
        "No pair passed",
    ):  # fmt: skip
        assert sentence in text_of(html)
    assert 'role="img"' not in html


def test_alpha_that_can_not_be_told_is_said_to_be_so() -> None:
    html = page(full(agreement=Agreement(alpha=None, low=None, high=None, units=0, ratings=0)))
    assert "0 judgements were made by two annotators or more" in text_of(html)


def test_what_is_compared_with_nothing_in_common_says_so() -> None:
    assert "nothing was compared" in text_of(page(full(drift=(DriftAgainst(against="x", figures=()),))))


# ---- the file


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_tag_is_closed_no_id_is_given_twice_and_every_reference_is_met(kind: str) -> None:
    html = example(kind)
    seen = Balanced(html).seen
    ids = [one["id"] for _, one in seen if "id" in one]
    assert len(ids) == len(set(ids))
    wanted = {(one.get("href") or "#")[1:] or one.get("aria-labelledby") for _, one in seen}
    assert {one for one in wanted if one} <= set(ids)
    for tag, one in seen:
        if tag == "svg":
            assert one.get("aria-hidden") or one.get("aria-label"), one


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_page_refers_to_nothing_outside_itself_and_runs_nothing(kind: str) -> None:
    html = example(kind)
    for tag, attributes in Balanced(html).seen:
        assert tag not in {"script", "img", "link", "iframe", "object", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


def test_a_script_in_any_text_stays_text() -> None:
    html = page(attacked())
    assert "<script" not in html
    assert "<img" not in html
    shown = text_of(html)
    # in title, heading, recipe, moment, tables, samples, pictures' words
    assert shown.count("<script>alert(1)</script>") > 30
    assert "␀␛" in shown
    assert "\x00" not in html


def test_what_no_page_may_hold_is_written_as_what_can_be_seen() -> None:
    assert legible("a\x00\x1b\x7f\x85\ufffe\U0001ffff\ud83d\n\té") == "a␀␛\ufffd\ufffd\ufffd\ufffd?\n\té"


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_same_report_gives_the_same_bytes(kind: str) -> None:
    assert example(kind) == example(kind)


def test_the_short_form_has_the_counts_the_warnings_as_text_and_leads_to_the_whole() -> None:
    blob, tree = Blob(digest_="sha256:" + "0" * 64, size=1), Tree(digest_="sha256:" + "0" * 64, files=())
    names = [name for name, field in Preferences.model_fields.items() if field.annotation is Blob]
    counts = {"n_train": 2107, "n_house": 400, "n_held_out": 412, "n_quarantined": 55}
    given: dict[str, Any] = {**dict.fromkeys(names, blob), "data_docs": tree, **counts}
    short = data_markdown(
        Preferences(**given, warnings=("a | [link](x) <b>",)), "https://mlflow.example/#/runs/1", Path("/n/report.html")
    )
    assert "| 2,107 | 412 | 400 | 55 |" in short
    assert "- a \\| \\[link\\](x) &lt;b&gt;\n" in short
    assert "[the night's run](https://mlflow.example/#/runs/1), and /n/report.html beside the night." in short
    assert "No expectation warned." in data_markdown(Preferences(**given, warnings=()), "u", Path("p"))


def test_a_row_with_nothing_in_it_shows_its_empty_texts() -> None:
    one = Sample(reason="email", id="i", source="s", line=1)
    assert "prompt (nothing) chosen (nothing) rejected (nothing)" in text_of(page(full(samples=(one,))))


ODD = st.text(max_size=12) | st.sampled_from([ATTACK, "`", "``a", "\ud800", "{{ x }}", "&amp;", "]]>", "'", "\u202e"])
COUNTS = st.integers(0, 10**12)
FLOATS = st.floats(-1e300, 1e300, allow_nan=False)


@st.composite
def odd_reports(draw: st.DrawFn) -> DataReport:
    kinds: list[Kind] = draw(st.lists(st.sampled_from(get_args(Kind)), unique=True))
    flows = []
    for kind in kinds:
        left, held, train, aside = (draw(COUNTS) for _ in range(4))
        flows.append(Flow(kind=kind, rows=left + held + train + aside, quarantined=left, held_out=held, to_train=train))
    left = sum(one.quarantined for one in flows)
    low, value, high = sorted(draw(FLOATS) for _ in range(3))
    measure = draw(st.sampled_from(list(page_words.MEASURES)))
    ratio = measure == "ratio"
    figure = bias(
        draw(ODD), measure, *(abs(one) if ratio else one for one in (value, low, high)), warns=draw(st.booleans())
    )
    psi, chance = draw(st.floats(-1, 1e6)), draw(st.floats(0, 1e6))
    alpha = draw(st.none() | st.floats(-5, 1))
    sample = {name: draw(ODD) for name in ("reason", "id", "source", "error", "prompt", "chosen", "raw")}
    return DataReport(
        night=draw(ODD),
        recipe=draw(ODD),
        made=draw(ODD | st.datetimes().map(lambda at: at.isoformat())),
        sources=tuple(
            source(draw(ODD), "pairs", draw(COUNTS), draw(COUNTS), draw(st.none() | COUNTS))
            for _ in range(draw(st.integers(0, 2)))
        ),
        flows=tuple(flows),
        trained=draw(st.none() | st.builds(Trained, new=COUNTS, replayed=COUNTS)),
        reasons=(Reason(name=sample["reason"], rows=draw(st.integers(0, left))),),
        samples=(Sample(line=draw(COUNTS), **sample),),
        expectations=(
            finding(
                draw(ODD), success=draw(st.booleans()), observed=draw(st.none() | FLOATS), error=draw(st.none() | ODD)
            ),
        ),
        bias=(figure,) if draw(st.booleans()) else (),
        drift=(
            DriftAgainst(
                against=draw(ODD),
                figures=(drift(draw(ODD), psi, chance, draw(st.sampled_from(list(page_words.LEVELS)))),),
            ),
        ),
        agreement=Agreement(alpha=alpha, low=alpha, high=alpha, units=draw(COUNTS), ratings=draw(COUNTS)),
        leaked_items=(Leaked(draw(ODD), draw(ODD), draw(COUNTS)),),
        common=(Common(draw(ODD), 11, draw(COUNTS)),),
        skipped=draw(COUNTS),
    )


@settings(max_examples=30, deadline=None)
@given(odd_reports())
def test_any_report_gives_a_whole_page_with_every_picture_inside_its_place(report: DataReport) -> None:
    html = data_page(report, plain)
    html.encode("utf-8")
    Balanced(html)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", html)
    assert "<script" not in html
    for svg in re.findall(r"<svg[^>]* role=\"img\".*?</svg>", html, re.DOTALL):
        for one in ElementTree.fromstring(svg).iter():
            for name in ("x", "x1", "x2", "cx", "width"):
                if (place := one.get(name, "")).endswith("%"):
                    assert -1e-6 <= float(place[:-1]) <= 100 + 1e-6, svg
                    assert math.isfinite(float(place[:-1]))


@given(part=st.integers(0, 10**9), rest=st.integers(0, 10**9))
def test_a_share_is_shown_as_nothing_or_as_all_only_where_it_is(part: int, rest: int) -> None:
    said = page_words.percent(part, part + rest)
    if part + rest:
        assert (said == "0.0 %") == (part == 0)
        assert (said == "100.0 %") == (rest == 0)
    else:
        assert said == "–"
