"""A small world for tests of what moves or exports versions: a real registry on SQLite, a store, two versions."""

from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient

from infra.digest import digest_of
from infra.store import Store, Tree
from tasks.contracts import Evidence, Model, ScorecardRef, Verdict
from tasks.registry.client import Registry, model_tags
from tasks.registry.initialise import initialise


class World:
    """A registry with a champion and one candidate that passed.

    Args:
        base, adapter: the files of the models, by name.
    """

    def __init__(
        self,
        home: Path,
        base: Mapping[str, bytes] = {"weights": b"base"},
        adapter: Mapping[str, bytes] = {"adapter": b"adapter"},
    ) -> None:
        self.home, self.store = home, Store(home / "store")
        self.client = MlflowClient(f"sqlite:///{home / 'registry.db'}")
        self.registry = Registry(self.client, "shop")
        self.base = Model(base=self.tree("base", base))
        initialise(self.registry, self.base, "base", "ann", self.store)
        self.model = Model(base=self.base.base, adapter=self.tree("adapter", adapter))
        self.card = self.store.put_bytes(b"a card")
        self.version = self.register("PASS")

    def tree(self, folder: str, files: Mapping[str, bytes]) -> Tree:
        for name, data in files.items():
            (self.home / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / folder / name).write_bytes(data)
        return self.store.put_tree(self.home / folder)

    def other(self) -> Model:
        return Model(base=self.tree("another", {"weights": b"another"}))

    def suite(self, verdict: str, anchor_delta: float, anchor_lower: float) -> dict[str, object]:
        """One suite of a verdict, with a budget of 5 points against the anchor."""
        numbers = dict.fromkeys(("champion", "candidate", "delta", "lower", "upper", "p_harm", "mde"), 0.0)
        return {
            "name": "safety",
            "measure": "right",
            "n": 200,
            "margin": 0.02,
            "budget": 0.05,
            "anchor_delta": anchor_delta,
            "anchor_lower": anchor_lower,
            "anchor_upper": 0.1,
            "items_to_settle": None,
            "target": True,
            "verdict": verdict,
            "reason": "",
            **numbers,
        }

    def register(
        self, verdict: str, anchor_lower: float = 0.0, anchor_delta: float = 0.0, waivable: bool | None = None
    ) -> int:
        open_ = verdict == "INCONCLUSIVE" and anchor_lower > -0.05 if waivable is None else waivable
        found = Verdict.model_validate(
            {
                "verdict": verdict,
                "paragraph": "",
                "suites": (self.suite(verdict, anchor_delta, anchor_lower),),
                "waivable": open_,
                "problems": (),
                "alpha": 0.05,
                "anchor_z": 2.9,
                "candidate": self.model.digest,
                "champion": self.base.digest,
                "anchor": self.base.digest,
                "cards": (self.card.digest_,),
            }
        )
        any_ = digest_of(verdict)
        ref = ScorecardRef(
            role="candidate", suite="s", model=self.model.digest, items=any_, scorer=any_, card=self.card
        )
        evidence = Evidence(
            night=any_,
            recipe=any_,
            snapshot=any_,
            preferences=any_,
            model=self.model,
            champion=self.base.digest,
            anchor=self.base.digest,
            cards=(ref,),
            verdict=found,
            trained_on=self.store.put_bytes(b"pairs"),
            promotable=True,
        )
        blob = self.store.put_bytes(evidence.model_dump_json().encode())
        tags = {
            "nightshift.key": evidence.key,
            "nightshift.role": "candidate",
            "nightshift.night": any_,
            "nightshift.verdict": verdict,
            "nightshift.promotable": "true",
            "nightshift.waivable": str(open_).lower(),
            "nightshift.evidence": blob.model_dump_json(),
            "nightshift.anchor": self.base.digest,
            "approval": "requested",
            **model_tags(self.model, evidence.trained_on, self.store),
        }
        return self.registry.create(f"store:/{any_}", None, tags, "")

    def aliases(self) -> dict[str, int]:
        return {name: int(version) for name, version in self.client.get_registered_model("shop").aliases.items()}
