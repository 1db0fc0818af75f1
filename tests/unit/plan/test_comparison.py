"""The comparison as people see it: a golden text, its width, and what it says of old prices and idle nights."""

import datetime
import re
from pathlib import Path

from infra.settings import ROOT
from tasks.plan.comparison import Comparison, compare
from tasks.plan.forecast import cannot
from tasks.plan.words import WIDTH, comparison_in_words
from tasks.recipe import load_recipe
from tests.unit.plan.plan_facts import PRICES, facts, on_gpus, speed

GOLDEN = Path(__file__).parents[2] / "golden" / "plan_pools.txt"
RECIPE = load_recipe(
    ROOT / "recipes" / "demo.toml", ("phase.0.batch_size=8", "budget.max_amount=50.0", "budget.max_hours=8.0")
)
TODAY = datetime.date(2026, 11, 26)


def comparison(today: datetime.date = TODAY, **changes: int) -> Comparison:
    """Three pools that answer and one that doesn't; 8B on the two with accelerators."""
    pools = {
        "amd-slurm": on_gpus("mi300x", 8, **changes),
        "nvidia-kubernetes/spot": on_gpus("h100", 2, rate=speed(2.4e14), **changes),
        "local": facts(shape=on_gpus().shape, **changes),
    }
    unknown = (cannot("amd-slurm/old", "names neither an accelerator nor its memory", "set gpu in its block"),)
    return compare(RECIPE, pools, unknown, PRICES, "2026-11.toml", today)


def test_the_comparison_reads_as_it_did() -> None:
    assert comparison_in_words(comparison()) + "\n" == GOLDEN.read_text()


def test_no_line_is_wider_than_a_terminal() -> None:
    assert max(map(len, comparison_in_words(comparison()).splitlines())) <= WIDTH


def test_the_cheapest_is_marked_and_the_reasons_of_the_others_stand_below_them() -> None:
    found = comparison()
    text = comparison_in_words(found)
    assert found.cheapest == found.methods_on
    assert f"* {found.cheapest} " in text
    assert "names neither an accelerator nor its memory. Set gpu in its block" in text


def test_every_amount_of_an_example_price_is_marked_so() -> None:
    text = " ".join(comparison_in_words(comparison()).split())
    assert len(re.findall(r"EUR", text)) >= 10
    assert re.findall(r"EUR(?!\*| \(example\)| \(by an example price\))", text) == []
    assert "Amounts with * are examples" in text


def test_the_object_holds_what_the_text_does_and_comes_back_from_json() -> None:
    found = comparison()
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_a_night_with_nothing_to_learn_is_said_to_be_idle_beside_its_figures() -> None:
    found = comparison(new_pairs=3)
    assert found.idle.startswith("3 new training pairs")
    assert "isn't worth it" in comparison_in_words(found)


def test_where_no_pool_answers_there_is_still_a_table_with_the_reasons() -> None:
    found = compare(RECIPE, {}, (cannot("local", "is gone", "bring it back"),), PRICES, "b", TODAY)
    assert (found.cheapest, found.methods_on, found.methods) == (None, None, ())
    assert "is gone. Bring it back" in comparison_in_words(found)


def test_a_comparison_by_an_old_price_book_warns() -> None:
    assert "warning: the price book" in comparison_in_words(comparison(datetime.date(2027, 6, 1)))
    assert "warning" not in comparison_in_words(comparison(PRICES.date))
