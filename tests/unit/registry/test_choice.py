"""Which version somebody means: pure rules over tags and aliases, and the real registry on SQLite."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.errors import StoreError
from infra.store import Store
from tasks.contracts import Bill, Model, Night
from tasks.errors import RegistryError
from tasks.registry.choice import Known, choose, newest_awaiting, number_of, there_are
from tasks.registry.client import Registry, model_tags
from tasks.registry.initialise import initialise
from tasks.registry.promote import read_evidence
from tasks.registry.register import version_tags
from tasks.release import ReleasePolicy
from tests.unit.registry.test_promote import World as Promoting

KNOWN = Known(
    "shop",
    {
        1: {"nightshift.role": "base"},
        2: {"nightshift.role": "candidate", "nightshift.verdict": "PASS", "approval": "approved"},
        3: {"nightshift.role": "candidate", "nightshift.verdict": "PASS", "approval": "requested"},
        4: {"nightshift.role": "candidate", "nightshift.verdict": "PASS", "approval": "requested"},
        5: {"nightshift.role": "candidate", "nightshift.verdict": "FAIL"},
        6: {"nightshift.role": "candidate", "nightshift.verdict": "PASS", "approval": "rejected: too curt"},
    },
    {"champion": 2, "anchor": 1},
)


@pytest.mark.parametrize(("word", "number"), [("champion", 2), (" anchor ", 1), ("candidate", 4), ("5", 5), ("6", 6)])
def test_a_word_means_an_alias_a_number_or_the_newest_that_awaits_approval(word: str, number: int) -> None:
    assert number_of(word, KNOWN) == number


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("previous", "shop has no previous: the alias isn't set"),
        ("7", "shop has no version 7"),
        ("0", "shop has no version 0"),
        ("-1", "'-1' is neither a version nor one of champion, previous, anchor, candidate"),
        ("٣", "'٣' is neither a version"),
        ("", "'' is neither a version"),
        ("Champion", "'Champion' is neither a version"),
    ],
)
def test_a_word_that_means_no_version_is_refused(word: str, said: str) -> None:
    with pytest.raises(RegistryError) as refused:
        number_of(word, KNOWN)
    assert refused.value.what.startswith(said)


def test_without_a_candidate_the_error_says_which_versions_there_are() -> None:
    decided = {number: tags for number, tags in KNOWN.tags.items() if tags.get("approval") != "requested"}
    with pytest.raises(RegistryError) as refused:
        number_of("candidate", KNOWN._replace(tags=decided))
    assert refused.value.what == (
        "no version of shop awaits approval; there are 1 (anchor, base), 2 (champion, PASS, approved), "
        "5 (FAIL), 6 (PASS, rejected)"
    )
    assert there_are(Known("shop", {}, {})) == "there is no version yet"


def test_only_a_candidate_awaits_approval() -> None:
    assert newest_awaiting({9: {"approval": "requested"}, 2: KNOWN.tags[3]}) == 2
    assert newest_awaiting({}) is None


BILL = Bill(
    lines=(),
    device_hours=0,
    gpu_hours=0,
    kwh=0,
    amount=0,
    currency="EUR",
    estimated=True,
    price_book="book",
    source="here",
)


class World:
    """A registry with a base model as champion and anchor, and one candidate that awaits approval."""

    def __init__(self, home: Path) -> None:
        self.store = Store(home / "store")
        self.registry = Registry(MlflowClient(f"sqlite:///{home / 'registry.db'}"), "shop")
        (home / "base").mkdir()
        (home / "base" / "weights").write_text("base")
        self.base = Model(base=self.store.put_tree(home / "base"))
        (home / "adapter").mkdir()
        (home / "adapter" / "weights").write_text("adapter")
        self.trained = self.base.model_copy(update={"adapter": self.store.put_tree(home / "adapter")})

    def register(self, **tags: str) -> int:
        initialise(self.registry, self.base, "base", "ann", self.store, ReleasePolicy())
        kinds = {"nightshift.role": "candidate", "nightshift.verdict": "PASS", "approval": "requested"}
        return self.registry.create("s3://x", None, kinds | model_tags(self.trained, None, self.store) | tags, "")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_versions_are_chosen_with_their_models_and_one_that_is_meant_twice_comes_once(world: World) -> None:
    world.register(**{"nightshift.quantise": "Q8_0"})
    found = choose(world.registry, ["champion", "candidate", "anchor", "2"], world.store)
    assert [(one.title, one.model, one.quantise) for one in found] == [
        ("champion (version 1)", world.base, None),
        ("candidate (version 2)", world.trained, "Q8_0"),
    ]
    assert choose(world.registry, ["2"], world.store)[0].title == "version 2"


def test_a_model_that_was_never_registered_is_named(world: World) -> None:
    with pytest.raises(RegistryError, match="there is no registered model 'shop'"):
        choose(world.registry, ["champion"], world.store)


def test_a_version_whose_digest_tag_was_changed_is_refused(world: World) -> None:
    world.register(**{"nightshift.model": "sha256:" + "0" * 64})
    with pytest.raises(RegistryError, match="version 2 of shop says it is model sha256:0000"):
        choose(world.registry, ["candidate"], world.store)


def test_a_version_whose_model_record_was_changed_in_the_store_is_refused(world: World) -> None:
    world.register()
    world.registry.tag(2, {"nightshift.model_ref": "{}"})
    with pytest.raises(RegistryError, match="tags that can't be read"):
        choose(world.registry, ["candidate"], world.store)
    reference = model_tags(world.trained, None, world.store)["nightshift.model_ref"]
    world.registry.tag(2, {"nightshift.model_ref": reference})
    path = world.store.path(world.store.put_bytes(world.trained.model_dump_json().encode()).digest_)
    path.chmod(0o644)
    path.write_text("another model")
    with pytest.raises(StoreError, match="has been changed"):
        choose(world.registry, ["candidate"], world.store)


def test_what_a_night_registers_says_in_which_form_it_was_judged(tmp_path: Path) -> None:
    world = Promoting(tmp_path)
    evidence = read_evidence(world.registry.version(world.version).tags, world.version, world.store)
    blob = world.store.put_bytes(evidence.model_dump_json().encode())
    night = Night(id=evidence.night, name="n", folder="f", flow_run="f", mlflow_run="m", promotable=True)
    for quantise in ("Q8_0", None):
        tags = version_tags(evidence, blob, BILL, night, world.store, quantise)
        number = world.trainer.create("store:/x", None, tags, "")
        assert choose(world.registry, [str(number)], world.store)[0].quantise == quantise
