"""The report of a night with several phases: a row each, the chosen one marked, and nothing of it with one phase."""

from infra.attempts import kind_of, step_of
from tasks.contracts import PastNight, PastSuite, PhaseVerdict
from tasks.gate.report import report_markdown
from tasks.gate.report_history import past_rows, timeline
from tasks.gate.report_next import next_steps
from tasks.gate.report_rows import phase_row
from tests.unit.gate.report_attack import ATTACK
from tests.unit.gate.report_records import verdict
from tests.unit.gate.test_report import page

PHASES = (
    PhaseVerdict(
        number=1, method="dpo", verdict="INCONCLUSIVE", delta=0.01, lower=-0.002, decision=4, told="INCONCLUSIVE: open."
    ),
    PhaseVerdict(number=2, method="ppo", verdict="PASS", delta=0.03, lower=0.02, decision=5, chosen=True, told="PASS."),
    PhaseVerdict(number=3, method="grpo", told=f"its budget is spent {ATTACK}"),
)


def test_each_phase_has_a_row_with_its_verdict_and_what_was_said_of_those_not_chosen() -> None:
    html = page(verdict=verdict(phases=PHASES))
    section = html[html.index('<h2 id="phases">') : html.index('<h2 id="suites">')]
    for shown in ("+0.0200", "−0.0020", "INCONCLUSIVE: open.", "no candidate", "its budget is spent"):
        assert shown in section
    assert section.count('<span class="tag">chosen</span>') == 1
    assert section.index("ppo") < section.index("chosen</span>") < section.index("grpo")
    assert "PASS." not in section  # the chosen one's paragraph stands at the top of the page
    assert "<script>" not in section
    assert 'href="#phases"' in html
    assert 'id="phases"' not in page()


def test_the_short_form_has_a_line_a_phase() -> None:
    short = report_markdown(verdict(phases=PHASES), True)
    assert "| 1 | dpo | +0.0100 | −0.0020 | INCONCLUSIVE |" in short
    assert "| 2 (chosen) | ppo | +0.0300 | +0.0200 | PASS |" in short
    assert "| 3 | grpo | – | – | no candidate |" in short
    assert "| phase |" not in report_markdown(verdict(), True)


def test_a_phase_without_a_verdict_shows_no_number() -> None:
    row = phase_row(PHASES[2])
    assert (row["verdict"], row["delta"], row["lower"], row["decision"]) == ("none", "–", "–", "–")


def past(phase: int, anchor: float, *, chosen: bool) -> PastNight:
    suites = (PastSuite(name="house", delta=0.0, anchor_delta=anchor, lifetime=anchor),)
    at = f"2026-11-2{phase}T00:00:00+00:00"
    return PastNight(at=at, night="n", verdict="PASS", promoted=chosen, suites=suites, phase=phase, chosen=chosen)


def test_the_way_since_day_one_is_that_of_the_chosen_phases_and_the_list_has_all() -> None:
    both = [past(1, 0.1, chosen=False), past(2, 0.2, chosen=True)]
    line = timeline(verdict(phases=PHASES), "another night", both, [])["house"]
    assert [one.anchor_delta for one in line if not one.tonight] == [0.2]
    assert [row["night"] for row in past_rows(both, ["house"])] == ["n, phase 2", "n, phase 1"]


def test_decisions_that_the_other_phases_spent_are_counted_where_they_run_out() -> None:
    found = verdict(phases=(*PHASES[:1], PHASES[1].model_copy(update={"decision": 30})), decision=4, planned=30)
    assert any("planned decisions are used up" in step.text for step in next_steps(found, "demo", True))


def test_a_step_s_kind_is_its_name_without_its_number() -> None:
    assert [step_of("align", number) for number in (1, 2, 3)] == ["align", "align-2", "align-3"]
    assert {kind_of(step_of("align", number)) for number in (1, 2, 3)} == {"align"}
    assert kind_of("train_first") == "train_first"
