"""Recipes: the demo's is valid, a mistake is named by its key, an override is checked like the file."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import ROOT
from tasks.errors import RecipeError
from tasks.recipe import Recipe, load_recipe, overrides_gate

DEMO = ROOT / "recipes" / "demo.toml"


def paths(recipe: Recipe) -> tuple[str, ...]:
    return tuple(one.path for one in recipe.sources)


def test_the_demo_is_a_recipe_with_four_suites_and_declares_its_margins() -> None:
    recipe = load_recipe(DEMO)
    assert [suite.name for suite in recipe.gate.suites] == ["safety", "accuracy", "reasoning", "house"]
    assert recipe.gate.target == "house"
    assert recipe.gate.min_items >= 150


@pytest.mark.parametrize(
    ("changed", "to", "message"),
    [
        ("seed = 7", "sead = 7", r"sead: Extra inputs are not permitted \(got 7\)"),
        ("beta = 0.1", "beta = -0.1", r"phase\.0\.beta: .*greater than 0 \(got -0\.1\)"),
        ("beta = 0.1", "beta = nan", r"phase\.0\.beta"),
        ('loss = "sigmoid"', 'loss = "sigmod"', r"phase\.0\.loss\.0: .*\(got 'sigmod'\)"),
        ('target = "house"', 'target = "home"', r"target 'home' is none of the suites"),
        ("max_items = 150", "max_items = 100", r"max_items 100 is below min_items 150"),
        ('name = "safety"', 'name = "house"', r"suite names repeat"),
        ("max_steps = 24", "", r"phase\.0\.max_steps: Field required"),
        ("holdout = 0.27", "holdout = 1.0", r"data\.holdout"),
        ("seed = 7", "seed = 'x'", r"seed: .*\(got 'x'\)"),
        ("seed = 7", "seed = ", "can't be read"),
        ('["recipes/demo"]', '[{ path = "x", form = "tlr" }]', r"pairs have no form 'tlr', only auto, trl, hh"),
        ('["recipes/demo"]', '[{ path = "x", kind = "pair" }]', r"sources\.0\.kind: .*\(got 'pair'\)"),
    ],
)
def test_a_mistake_is_named_by_its_key_and_value(changed: str, to: str, message: str, tmp_path: Path) -> None:
    text = DEMO.read_text()
    assert changed in text
    (tmp_path / "mine.toml").write_text(text.replace(changed, to, 1))
    with pytest.raises(RecipeError, match=message) as refused:
        load_recipe(tmp_path / "mine.toml")
    assert str(tmp_path / "mine.toml") in refused.value.what


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe .*none\.toml"):
        load_recipe(tmp_path / "none.toml")


def test_a_recipe_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="can't be read"):
        load_recipe(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("phase.0.max_steps=10", lambda recipe: recipe.phase[0].max_steps == 10),
        ("seed=3", lambda recipe: recipe.seed == 3),
        ("sources=a.jsonl", lambda recipe: paths(recipe) == ("a.jsonl",)),
        ('sources=["a.jsonl", "b.csv"]', lambda recipe: paths(recipe) == ("a.jsonl", "b.csv")),
        ("sources=../x/a=b.jsonl", lambda recipe: paths(recipe) == ("../x/a=b.jsonl",)),
        (
            'sources=[{path="s3://logs/chat", kind="conversations"}]',
            lambda recipe: (recipe.sources[0].path, recipe.sources[0].kind) == ("s3://logs/chat", "conversations"),
        ),
        ("phase.0.lora.r=8", lambda recipe: recipe.phase[0].lora.r == 8),
        ("phase.0.lora.dropout=0.1", lambda recipe: recipe.phase[0].lora.dropout == 0.1),
        ("gate.suites.0.margin=0.2", lambda recipe: recipe.gate.suites[0].margin == 0.2),
        ("model.source=models/mine", lambda recipe: recipe.model.source == "models/mine"),
    ],
)
def test_an_override_reaches_its_value(override: str, found: object) -> None:
    assert callable(found)
    assert found(load_recipe(DEMO, (override,)))


@pytest.mark.parametrize(
    "override",
    ["", "seed", "=3", "phase.9.beta=1", "phase.x.beta=1", "phase..beta=1", "seed.deeper=1", "phase.0.beta.x=1"],
)
def test_an_override_that_names_no_place_is_refused(override: str) -> None:
    with pytest.raises(RecipeError, match=r"isn't key=value|names no place"):
        load_recipe(DEMO, (override,))


@pytest.mark.parametrize("override", ["phase.0.beta=-1", "colour=red", "data.hodlout=0.2", "phase.0.max_steps=ten"])
def test_an_override_is_checked_like_the_file(override: str) -> None:
    with pytest.raises(RecipeError, match="is invalid"):
        load_recipe(DEMO, (override,))


@pytest.mark.parametrize(
    ("override", "touches"),
    [
        ("gate.alpha=0.2", True),
        (" gate.suites.0.margin=0.5", True),
        ("gate={}", True),
        ("seed=3", False),
        ("model.name=gate.x", False),
    ],
)
def test_only_an_override_of_the_gate_spoils_the_promotion(override: str, touches: bool) -> None:
    assert overrides_gate((override,)) is touches


def test_a_recipe_is_what_decides_the_result_not_where_it_runs_or_its_budget() -> None:
    recipe = load_recipe(DEMO)
    for same in ("pool=other", "sources=elsewhere.jsonl", "budget.max_amount=9"):
        assert load_recipe(DEMO, (same,)).digest == recipe.digest
    for other in ("seed=8", "phase.0.beta=0.2", "gate.alpha=0.01", "data.holdout=0.3", "name=other"):
        assert load_recipe(DEMO, (other,)).digest != recipe.digest


@given(st.text(max_size=30))
def test_any_override_is_applied_or_refused_in_one_way(override: str) -> None:
    with contextlib.suppress(RecipeError):
        assert isinstance(load_recipe(DEMO, (override,)), Recipe)


def test_a_recipe_that_was_kept_with_a_version_can_be_read_again() -> None:
    for path in sorted((ROOT / "recipes").glob("*.toml")):
        recipe = load_recipe(path)
        again = Recipe.model_validate_json(recipe.model_dump_json(exclude_unset=True))
        assert (again, again.digest) == (recipe, recipe.digest)
