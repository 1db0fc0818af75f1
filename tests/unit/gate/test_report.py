"""The gate report: what a person must find in it, what must not get into it, and where the pictures put the numbers."""

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from infra.store import Blob, Tree
from tasks.contracts import (
    Baseline,
    Baselines,
    Bill,
    BillLine,
    Model,
    Plan,
    Preferences,
    Snapshot,
    SourceFile,
    SuiteResult,
    Verdict,
    VerdictName,
)
from tasks.gate import pictures, report
from tasks.gate.report import report_html


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


BLOB = Blob(digest_=digest("b"), size=1)
TREE = Tree(digest_=digest("e"), files=())
EMPTY: dict[str, Any] = dict.fromkeys(
    (
        "champion",
        "candidate",
        "delta",
        "lower",
        "upper",
        "p_harm",
        "anchor_delta",
        "anchor_lower",
        "anchor_upper",
        "mde",
        "items_to_settle",
    )
)
HISTORY = [{"step": i, "loss": 1 / i, "rewards_margins": i / 10, "rewards_accuracies": 0.75} for i in range(1, 11)]


def suite(name: str = "safety", **changes: Any) -> SuiteResult:
    numbers: dict[str, Any] = {
        "measure": "right",
        "n": 813,
        "champion": 0.8011,
        "candidate": 0.8132,
        "delta": 0.0121,
        "lower": -0.0103,
        "upper": 0.0345,
        "margin": 0.03,
        "p_harm": 0.4321,
        "anchor_delta": 0.02,
        "anchor_lower": -0.0417,
        "anchor_upper": 0.09,
        "budget": 0.08,
        "mde": 0.0266,
        "items_to_settle": None,
        "target": False,
        "verdict": "PASS",
        "reason": f"{name} is no worse than the margin allows",
    }
    return SuiteResult(name=name, **numbers | changes)


def blocked(name: str, target: bool = False) -> SuiteResult:
    return suite(name, **EMPTY, n=0, verdict="BLOCK", reason="not judged", target=target)


def verdict(word: VerdictName = "PASS", **changes: Any) -> Verdict:
    suites = (
        suite("safety"),
        suite("house", delta=0.0312, lower=0.0205, margin=0.02, target=True, reason="proven better"),
    )
    fields: dict[str, Any] = {
        "paragraph": f"{word}: why it came so.",
        "suites": suites,
        "problems": (),
        "alpha": 0.05,
        "anchor_z": 3.64,
        "candidate": digest("c"),
        "champion": digest("d"),
        "anchor": digest("a"),
        "cards": (digest("1"), digest("2")),
    }
    return Verdict(verdict=word, **fields | changes)


def bill_line(step: str, amount: float, **changes: Any) -> BillLine:
    fields: dict[str, Any] = {
        "attempts": 1,
        "failed": 0,
        "device": "cpu",
        "seconds": 90.0,
        "device_hours": 0.025,
        "kwh": 0.0016,
        "estimated": False,
    }
    return BillLine(step=step, amount=amount, **fields | changes)


def bill(*lines: BillLine, **changes: Any) -> Bill:
    fields: dict[str, Any] = {
        "device_hours": 0.05,
        "gpu_hours": 0.0,
        "kwh": 0.0032,
        "amount": sum(line.amount for line in lines),
        "currency": "EUR",
        "estimated": any(line.estimated for line in lines),
        "price_book": "workstation of 2026-11-01",
        "source": "a made-up source",
    }
    return Bill(lines=lines, **fields | changes)


def page(**changes: Any) -> str:
    fields: dict[str, Any] = {
        "night": "2026-11-23-7f3a",
        "recipe": "demo",
        "created": "2026-11-24 03:12 UTC",
        "verdict": verdict(),
        "bill": bill(bill_line("align", 0.0071, attempts=3, failed=2, estimated=True), bill_line("score", 0.0089)),
        "plan": Plan(
            train=True,
            reason="418 new pairs",
            new_pairs=418,
            pairs=1920,
            steps=240,
            memory_bytes=3 * 2**30,
            seconds=8400.0,
            amount=0.02,
            currency="EUR",
        ),
        "preferences": Preferences(
            train=BLOB,
            house=BLOB,
            quarantine=BLOB,
            profile=BLOB,
            data_docs=TREE,
            n_train=2107,
            n_house=412,
            n_held_out=500,
            n_quarantined=55,
            warnings=("chosen answers are longer than rejected ones",),
        ),
        "snapshot": Snapshot(
            rows=BLOB,
            n_rows=2574,
            files=(SourceFile(path="/data/day.jsonl", name="day.jsonl", digest_=digest("f"), size=2048, rows=2574),),
        ),
        "baselines": Baselines(
            champion=Baseline(version=14, model=Model(base=TREE), trained_on=None),
            anchor=Baseline(version=1, model=Model(base=TREE), trained_on=None),
            decisions=37,
        ),
        "history": HISTORY,
        "samples": [{"prompt": "Where is my parcel?", "champion": "It is late.", "candidate": "It is near."}],
        "quarantine": {"email": 12, "duplicate_pair": 31},
        "promotable": True,
    }
    return report_html(**fields | changes)


def cells(html: str, row: str) -> list[str]:
    """The texts of the table row whose heading starts with ``row``."""
    found = re.search(rf"<tr>\s*<th scope=\"row\"[^>]*>{row}.*?</tr>", html, re.DOTALL)
    assert found, f"no row {row}"
    return [
        re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", found.group(), re.DOTALL)
    ]


class Elements(HTMLParser):
    """Every tag with its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def by_id(svg: str, wanted: str) -> ElementTree.Element:
    for element in ElementTree.fromstring(svg).iter():
        if element.get("id") == wanted:
            return element
    raise AssertionError(f"the picture has no {wanted}")


def xs(svg: str, wanted: str) -> list[float]:
    """The x positions of a drawn line, or of a marker."""
    group = by_id(svg, wanted)
    uses = [float(one.attrib["x"]) for one in group.iter() if one.tag.endswith("use")]
    if uses:
        return uses
    path = next(one for one in group.iter() if one.tag.endswith("path"))
    return [float(x) for x in re.findall(r"[ML] (-?[\d.]+) ", path.attrib["d"])]


def score_of(svg: str, x: float, suite_: SuiteResult) -> float:
    """The score at an x position, on the scale that 0 and the suite's delta lie on."""
    zero = xs(svg, "forest-zero")[0]
    delta = xs(svg, f"forest-champion-{suite_.name}-delta")[0]
    assert suite_.delta is not None
    return (x - zero) / (delta - zero) * suite_.delta


# ---- the verdict and what follows from it


def test_a_pass_says_how_to_approve_it() -> None:
    html = page()
    assert "nightshift approve VERSION" in html
    assert "PASS: why it came so." in html


@pytest.mark.parametrize("word", ["FAIL", "INCONCLUSIVE", "BLOCK"])
def test_anything_but_a_pass_is_recorded_and_offers_no_approval(word: VerdictName) -> None:
    html = page(verdict=verdict(word))
    assert f"</span>{word}</strong>" in html
    assert "Recorded, not promotable." in html
    assert "nightshift approve" not in html


def test_a_pass_of_an_overridden_gate_says_so_and_offers_no_approval() -> None:
    html = page(promotable=False)
    assert "the gate was overridden for this night" in html
    assert "nightshift approve" not in html
    assert "awaits approval" not in html


def test_every_problem_is_listed() -> None:
    html = page(
        verdict=verdict("BLOCK", problems=("there is no anchor", "champion/safety: the scorecard is of another model"))
    )
    assert "<h2>2 problems</h2>" in html
    assert "<li>there is no anchor</li>" in html
    assert "<li>champion/safety: the scorecard is of another model</li>" in html


# ---- the suites


def test_a_suite_row_carries_all_its_numbers_in_order() -> None:
    html = page(verdict=verdict(suites=(suite(verdict="INCONCLUSIVE", items_to_settle=1967),)))
    wear = 0.7 * 0.0266 / 2.4865 * math.log(38)  # z(0.05) + z(0.2) = 2.4865
    assert cells(html, "safety") == [
        "right or wrong",
        "813",
        "0.8011",
        "0.8132",
        "+0.0121",
        "−0.0103",
        "−0.03",
        "0.4321",
        "0.0266",
        "−0.0417",
        "−0.08",
        "1,967",
        f"{wear:.4f}",
        "? INCONCLUSIVE",
    ]
    assert "safety is no worse than the margin allows" in html


def test_every_suite_appears_in_table_and_forest_and_only_the_target_is_marked() -> None:
    names = ["safety", "accuracy", "reasoning", "house"]
    suites = tuple(suite(name, target=name == "house") for name in names)
    html = page(verdict=verdict(suites=suites))
    for name in names:
        assert len(cells(html, name)) == 14
        assert f'id="forest-margin-{name}"' in html
    assert html.count('<span class="tag">target</span>') == 1
    assert "house (target)</text>" in html


def test_missing_numbers_are_dashes_and_never_zeros() -> None:
    html = page(
        verdict=verdict("BLOCK", suites=(blocked("safety"), blocked("house", target=True)), champion=None, anchor=None)
    )
    assert cells(html, "safety") == [
        "right or wrong",
        "0",
        *"–––",
        "–",
        "−0.03",
        "–",
        "–",
        "–",
        "−0.08",
        "–",
        "–",
        "■ BLOCK",
    ]
    assert "not judged" in html
    assert not re.search(r"\b(None|nan|NaN)\b", html)


def test_an_open_suite_that_more_items_cannot_settle_says_so() -> None:
    assert report.to_settle(suite(verdict="INCONCLUSIVE", items_to_settle=None)) == "more won’t help"
    assert report.to_settle(suite(verdict="PASS")) == "–"


def test_the_first_decision_has_worn_nothing() -> None:
    assert report.wear(0.02, 0, 0.05) == 0.0
    assert report.wear(None, 10, 0.05) is None


# ---- the forest plot


def test_the_margin_and_budget_ticks_lie_at_minus_margin_and_minus_budget() -> None:
    one = suite(margin=0.03, budget=0.08, delta=0.0121)
    svg = pictures.forest([one])
    for name, limit in (("margin", 0.03), ("budget", 0.08)):
        left, right = xs(svg, f"forest-{name}-safety")
        assert left == right
        assert score_of(svg, left, one) == pytest.approx(-limit, abs=1e-5)


def test_the_forest_bars_end_at_the_bounds() -> None:
    one = suite()
    svg = pictures.forest([one])
    for role, bounds in (("champion", (one.lower, one.upper)), ("anchor", (one.anchor_lower, one.anchor_upper))):
        ends = [score_of(svg, x, one) for x in xs(svg, f"forest-{role}-safety-interval")]
        assert ends == pytest.approx(bounds, abs=1e-5)
    assert score_of(svg, xs(svg, "forest-anchor-safety-delta")[0], one) == pytest.approx(one.anchor_delta, abs=1e-5)


def test_a_suite_without_numbers_shows_its_limits_and_no_interval() -> None:
    svg = pictures.forest([blocked("safety")])
    assert xs(svg, "forest-margin-safety")
    assert "forest-champion-safety" not in svg
    assert "forest-anchor-safety" not in svg
    assert "BLOCK: not judged" in svg


def test_an_anchor_without_numbers_leaves_the_champion_drawn() -> None:
    svg = pictures.forest([suite(anchor_delta=None, anchor_lower=None, anchor_upper=None)])
    assert xs(svg, "forest-champion-safety-interval")
    assert "forest-anchor-safety" not in svg


# ---- training


def test_a_curve_has_a_point_a_step() -> None:
    assert len(xs(pictures.training_curves(HISTORY), "curves-loss-steps")) == len(HISTORY)


def test_a_step_that_logged_no_finite_value_is_left_out_and_not_drawn_as_zero() -> None:
    holed = [*HISTORY, {"step": 11, "loss": math.nan}, {"step": 12}, {"loss": 0.5}]
    svg = pictures.training_curves(holed)
    assert len(xs(svg, "curves-loss-steps")) == len(HISTORY)


def test_a_metric_that_was_never_logged_is_said_to_be_missing() -> None:
    svg = pictures.training_curves([{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}])
    assert svg.count("not logged") == 2


def test_long_trainings_get_a_running_mean_of_what_came_before() -> None:
    assert pictures.running_mean([1.0, 2.0, 6.0, 10.0], 2) == [1.0, 1.5, 4.0, 8.0]
    assert pictures.smoothing_window(39) == 0
    assert pictures.smoothing_window(240) == 16
    long = [{"step": i, "loss": 1.0 + i % 2} for i in range(60)]
    assert "the running mean of 5" in page(history=long)
    assert "running mean" not in page()


# ---- the bill


def test_every_bill_line_appears_with_attempts_and_failures() -> None:
    html = page()
    assert cells(html, "align") == ["cpu", "3", "2", "1 min 30 s", "0.0250", "0.0016", "0.0071", "estimated"]
    assert cells(html, "score") == ["cpu", "1", "0", "1 min 30 s", "0.0250", "0.0016", "0.0089", "measured"]
    assert cells(html, "total") == ["", "4", "2", "3 min 00 s", "0.0500", "0.0032", "0.0160", "in part estimated"]
    assert "workstation of 2026-11-01 (a made-up source)" in html


def test_a_bar_is_as_long_as_its_amount_and_says_estimated_only_where_it_is() -> None:
    priced = bill(bill_line("align", 30.0, estimated=True), bill_line("score", 15.0))
    svg = pictures.cost_bars(priced, lambda value: f"{value:.2f}")
    lengths = [max(xs(svg, f"cost-bar-{row}")) - min(xs(svg, f"cost-bar-{row}")) for row in (0, 1)]
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=1e-4)
    assert "30.00 EUR, estimated</text>" in svg
    assert "15.00 EUR</text>" in svg


def test_a_bill_of_nothing_but_zeros_is_drawn() -> None:
    assert "0.0000 EUR" in page(bill=bill(bill_line("collect", 0.0)))


def test_a_step_on_two_devices_names_the_device() -> None:
    lines = [bill_line("align", 1.0), bill_line("align", 2.0, device="h200"), bill_line("score", 1.0)]
    assert pictures.bar_names(lines) == ["align (cpu)", "align (h200)", "score"]


def test_an_amount_too_small_for_its_column_is_not_shown_as_nothing() -> None:
    assert report.amount(0.002, 2) == "< 0.01"
    assert report.amount(0.0, 2) == "0.00"
    assert report.amount(1234.5, 2) == "1,234.50"


def test_the_bill_tells_estimated_from_in_part_estimated() -> None:
    metered, guessed = bill_line("align", 1.0), bill_line("score", 1.0, estimated=True)
    assert report.how_known(bill(metered)) == "measured"
    assert report.how_known(bill(metered, guessed)) == "in part estimated"
    assert report.how_known(bill(guessed)) == "estimated"


# ---- samples, data, digests


ATTACK = "</div><script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(2)>"


def test_model_text_can_neither_run_nor_load_anything() -> None:
    html = page(
        samples=[{"prompt": ATTACK, "champion": ATTACK, "candidate": ATTACK}],
        quarantine={ATTACK: 1},
        verdict=verdict("BLOCK", paragraph=ATTACK, problems=(ATTACK,), suites=(suite(reason=ATTACK),)),
        bill=bill(bill_line(ATTACK, 1.0), source=ATTACK, price_book=ATTACK),
        night=ATTACK,
        recipe=ATTACK,
    )
    tags = Elements(html).seen
    assert not {"script", "img", "iframe", "link", "object", "form", "a"} & {tag for tag, _ in tags}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9


def test_the_page_refers_to_nothing_outside_itself() -> None:
    html = page()
    for tag, attributes in Elements(html).seen:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert "default-src 'none'" in html


def test_no_id_is_given_twice_and_every_reference_is_met() -> None:
    html = page()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', html)) <= set(ids)


def test_sample_answers_stand_side_by_side_champion_first() -> None:
    html = page()
    assert html.index("Where is my parcel?") < html.index("It is late.") < html.index("It is near.")


def test_half_a_surrogate_pair_in_an_answer_does_not_break_the_file() -> None:
    html = page(samples=[{"prompt": "p", "champion": "\ud83d", "candidate": ""}])
    html.encode("utf-8")
    assert "(no answer)" in html


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
    assert cells(html, "night") == ["2026-11-23-7f3a"]
    assert cells(html, "candidate") == [digest("c")]
    assert cells(html, "champion, version 14") == [digest("d")]
    assert cells(html, "anchor, version 1") == [digest("a")]
    assert [cells(html, f"scorecard {i}") for i in (1, 2)] == [[digest("1")], [digest("2")]]


def test_a_night_with_nothing_in_it_still_renders() -> None:
    html = page(
        verdict=verdict("BLOCK", suites=(), problems=("no suite can be read",), champion=None, anchor=None, cards=()),
        baselines=Baselines(champion=None, anchor=None, decisions=0),
        bill=bill(),
        history=[],
        samples=[],
        quarantine={},
        snapshot=Snapshot(rows=BLOB, n_rows=0, files=()),
    )
    for sentence in (
        "no suites",
        "No training steps were logged",
        "The bill has no lines",
        "no sample answers",
        "No row went to quarantine",
    ):
        assert sentence in html
    assert cells(html, "anchor") == ["missing"]
    assert "<svg" not in html


# ---- the file


def test_the_same_night_gives_the_same_bytes() -> None:
    assert page() == page()


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert report.signed(-0.00001) == "+0.0000"
    assert report.signed(-0.5, 2) == "−0.50"
    assert report.limit(0.1) == "−0.10"
    assert report.limit(0.025) == "−0.025"
    assert report.probability(0.00001) == "< 0.0001"


def test_durations_and_sizes_read_like_a_clock_and_a_file_list() -> None:
    assert [report.duration(s) for s in (0.41, 59.6, 185, 9120)] == ["0.4 s", "59.6 s", "3 min 05 s", "2 h 32 min"]
    assert [report.size(b) for b in (12, 2048, 3 * 2**20, 61 * 2**30)] == ["12 B", "2.0 KiB", "3.0 MiB", "61.0 GiB"]


def test_importing_the_report_does_not_import_matplotlib() -> None:
    loaded = "bool({'matplotlib', 'jinja2', 'scipy'} & set(sys.modules))"
    code = f"import sys, tasks.gate.report, tasks.gate.pictures; sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
