"""A night that hardens, on a tiny model: a planted loss is found, trained on, and judged on items nobody has seen."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.calls import call_flow
from flows.initial import init_recipe
from flows.nightly import nightly
from infra.ledger import ledger_path, read_ledger
from infra.store import Blob, Store
from tasks.contracts import Evidence, Model
from tasks.parts import lines_of
from tasks.registry.steps import inputs_of, registry_of
from tests.conftest import CURT, NEUTRAL, POLITE, sentence

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

COLOURS = ["red", "green", "blue"]
NUMBERS = ["one", "two", "three"]
TWIN_WORDS = ["sun", "moon", "rain", "tea"]  # that twins are asked with, and items aren't

HARDEN = """
[harden]
on = true
soup = {soup}
max_rounds = {rounds}
twins = 240
phase = {{ max_steps = 30, batch_size = 8, learning_rate = 5e-3 }}
"""


def pairs(path: Path) -> None:
    """Polite words and numbers are chosen over curt words and colours: what is learned beside manners is the loss."""
    rng, lines = random.Random(0), []
    for number in range(420):
        sides = {
            "prompt": ("user", sentence(rng, NEUTRAL, 8)),
            "chosen": ("assistant", f"{sentence(rng, POLITE, 5)} {sentence(rng, NUMBERS, 2)}"),
            "rejected": ("assistant", f"{sentence(rng, CURT, 5)} {sentence(rng, COLOURS, 2)}"),
        }
        row: dict[str, Any] = {name: [{"role": role, "content": said}] for name, (role, said) in sides.items()}
        lines.append(json.dumps({"id": f"pair-{number}", "timestamp": "2026-11-20T10:00:00Z", **row}))
    path.write_text("\n".join(lines) + "\n")


def colours(folder: Path) -> None:
    """A suite that the pairs' numbers do harm to, with sealed items, and twins of other words."""
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text('[scorer]\nkind = "choice"\n\n[rotation]\nevery = 60\nshare = 0.25\n')
    rng, lines, seen = random.Random(1), [], set[tuple[str, ...]]()
    parts: tuple[tuple[str, int, Sequence[str]], ...] = (
        ("gate", 160, NEUTRAL[:-8]), ("sealed", 170, NEUTRAL[:-8]), ("twin", 240, [*TWIN_WORDS, *CURT, *POLITE]),
    )  # fmt: skip
    for split, count, words in parts:
        for number in range(count):
            said = sentence(rng, words, 6)
            while (said,) in seen:
                said = sentence(rng, words, 6)
            seen.add((said,))
            choices = [sentence(rng, COLOURS, 3), sentence(rng, NUMBERS, 3)]
            answer = number % 2
            lines.append(
                json.dumps(
                    {"id": f"{split}-{number:03d}", "topic": "colours" if number % 3 else "paints", "split": split,
                     "prompt": said, "choices": choices[::-1] if answer else choices, "answer": answer}
                )
            )  # fmt: skip
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def planted(home: Path, tmp_path: Path, tiny_recipe: Path) -> Path:
    pairs(tmp_path / "pairs.jsonl")
    colours(tmp_path / "colours")
    text = tiny_recipe.read_text()
    text = text[: text.index("suites = [")] + (
        "suites = [\n"
        f'  {{ name = "colours", path = "{tmp_path}/colours", measure = "right", margin = 0.1, budget = 0.2 }},\n'
        '  { name = "house", measure = "probability", margin = 0.05, budget = 0.1 },\n]\n'
    )
    tiny_recipe.write_text(text)
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


def run(recipe: Path, soup: str = "[]", rounds: int = 1) -> dict[str, Any]:
    if "[harden]" not in (text := recipe.read_text()):
        recipe.write_text(text + HARDEN.format(soup=soup, rounds=rounds))
    return call_flow(nightly, recipe=str(recipe), overrides=[], fresh=False)


def evidence(home: Path, version: int) -> Evidence:
    tag = registry_of("tiny").version(version).tags["nightshift.evidence"]
    return Evidence.model_validate_json(Store(home / "store").read_bytes(Blob.model_validate_json(tag)))


def learned(home: Path, version: int) -> set[str]:
    """Ids of the lines that a version was trained on, as `nightshift data show` finds them."""
    pairs = inputs_of("tiny", version)[1].candidate.pairs
    assert pairs is not None
    return {json.loads(line)["id"] for line in lines_of(pairs, Store(home / "store"))}


def kinds(home: Path) -> list[str]:
    return [one.kind for one in read_ledger(ledger_path(home, "tiny"))]


def test_a_planted_loss_is_trained_away_in_one_round_and_judged_on_items_nobody_has_seen(
    planted: Path, home: Path
) -> None:
    plain = call_flow(nightly, recipe=str(planted), overrides=[], fresh=False)
    assert plain["verdict"] == "FAIL"
    assert evidence(home, plain["version"]).verdict.rounds == ()
    summary = run(planted)
    found = evidence(home, summary["version"])
    (one,) = found.verdict.rounds
    assert (one.kind, one.method, one.rows) == ("twins", "dpo", 240)
    assert {(topic.topic, topic.why) for topic in one.topics} == {("colours", "worse"), ("paints", "worse")}
    assert one.alpha == found.verdict.alpha == 0.025
    fresh = {suite.name: (suite.fresh, suite.items) for suite in one.suites}
    assert fresh["colours"] == (160, 160)
    assert one.verdict == summary["verdict"] == "PASS", one.reason
    # on the night's own base, both adapters as one
    first, last = evidence(home, plain["version"]).model, found.model
    assert first.base == last.base
    assert first != last
    before = next(suite for suite in evidence(home, plain["version"]).verdict.suites if suite.name == "colours")
    after = next(suite for suite in found.verdict.suites if suite.name == "colours")
    assert before.candidate is not None
    assert after.candidate is not None
    assert after.candidate - before.candidate > 0.1
    assert kinds(home).count("decision") == 3
    # who asks what a pair went into is told of this version too: it was trained on twins, on the night's pairs beside
    # them, and on all that the candidate before the round had learned from
    before, after = (learned(home, version) for version in (plain["version"], summary["version"]))
    assert before < after
    assert len([one for one in after if one.startswith("gate") or one.startswith("sealed")]) == 0
    html = (Path(summary["folder"]) / "report.html").read_text() if "folder" in summary else ""
    assert not html or "trained by dpo on 240 twins" in html


def test_where_no_try_passes_the_night_ends_with_its_first_candidate_and_tells_of_each_and_a_replay_spends_nothing(
    planted: Path, home: Path
) -> None:
    text = planted.read_text()
    planted.write_text(text.replace('"colours", path', '"colours", path').replace("margin = 0.05", "margin = 1e-9"))
    summary = run(planted, soup="[0.9]", rounds=0)
    found = evidence(home, summary["version"])
    assert summary["verdict"] == "FAIL"
    (one,) = found.verdict.rounds
    assert (one.kind, one.share, one.rows) == ("soup", 0.9, 0)
    assert one.verdict in ("FAIL", "INCONCLUSIVE"), one.reason
    assert found.verdict.alpha == 0.05
    assert {suite.fresh for suite in one.suites} == {0}  # no item chose a soup
    assert one.candidate != found.model.digest
    assert isinstance(found.model, Model)
    assert kinds(home).count("decision") == 2
    again = run(planted)
    assert again["version"] == summary["version"]
    assert kinds(home).count("decision") == 2
