"""A small world for tests of what decides on, moves or exports versions: a real registry on SQLite, behind the guard.

Building it migrates a database, which takes seconds: it is built once a session (fixture ``built``) and copied.
"""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlflow import MlflowClient

from infra.digest import digest_of
from infra.notify import Message
from infra.registry_guard.embedded import EmbeddedGuard
from infra.registry_guard.terms import user_of
from infra.settings import load_settings
from infra.store import Store, Tree
from tasks.contracts import Evidence, Model, ScorecardRef, Verdict
from tasks.registry import decide
from tasks.registry.client import Registry, model_tags
from tasks.registry.initialise import initialise
from tasks.registry.rollout import Place
from tasks.release import ReleasePolicy

NAME = "shop"


class World:
    """A registry with a champion and one candidate that passed.

    Args:
        base, adapter: the files of the models, by name.
    """

    def __init__(
        self,
        home: Path,
        base: Mapping[str, bytes] = {"weights": b"base", "tokenizer.json": b"{}"},
        adapter: Mapping[str, bytes] = {"adapter": b"adapter"},
    ) -> None:
        self._open(home)
        self.base = Model(base=self.tree("base", base))
        initialise(self.registry, self.base, "base", "ann", self.store, ReleasePolicy())
        self.model = Model(base=self.base.base, adapter=self.tree("adapter", adapter))
        self.card = self.store.put_bytes(b"a card")
        self.version = self.register("PASS")

    def _open(self, home: Path) -> None:
        self.home, self.store = home, Store(home / "store")
        self.uri = f"sqlite:///{home / 'registry.db'}"
        self.client = MlflowClient(self.uri)
        self.registry = self.acting("service", "service")
        self.trainer = self.acting("trainer", "trainer")
        self.told: list[Message] = []

    def copied(self, home: Path) -> "World":
        """The same world in another folder."""
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        found = object.__new__(World)
        found.__dict__ |= {name: self.__dict__[name] for name in ("base", "model", "card", "version")}
        found._open(home)
        return found

    def copied_client(self) -> "World":
        """The same files through a client of its own, as another process has one."""
        found = object.__new__(World)
        found.__dict__ |= self.__dict__
        found._open(self.home)
        return found

    def acting(self, name: str, role: str) -> Registry:
        """The registered model, changed as this account."""
        store = self.client._get_registry_client().store
        return Registry(self.client, NAME, EmbeddedGuard(self.home, store, user_of(name, role)))

    def place(self) -> Place:
        """Where the service account rolls out; nobody is told but ``told``."""
        return Place(
            self.registry, self.store, self.home, load_settings(), self._lay, self._tell, lambda version: f"v/{version}"
        )

    def _lay(self, model: Model, quantise: str | None) -> Path:
        raise AssertionError("nothing is merged here")

    def _tell(self, blocks: tuple[str, ...], message: Message) -> list[str]:
        self.told.append(message)
        return []

    def approve(self, version: int | None = None, who: str = "ben", waiver: str = "") -> str:
        return decide.approve(self.acting(who, "approver"), version or self.version, waiver)

    def tree(self, folder: str, files: Mapping[str, bytes]) -> Tree:
        for name, data in files.items():
            (self.home / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / folder / name).write_bytes(data)
        return self.store.put_tree(self.home / folder)

    def other(self, text: str = "another") -> Model:
        return Model(base=self.tree(text, {"weights": text.encode()}))

    def suite(self, verdict: str, anchor_delta: float, anchor_lower: float, lower: float) -> dict[str, object]:
        """One suite of a verdict, with a budget of 5 points against the anchor."""
        numbers = dict.fromkeys(("champion", "candidate", "delta", "upper", "p_harm", "mde"), 0.0)
        return {
            "name": "safety",
            "measure": "right",
            "n": 200,
            "margin": 0.02,
            "budget": 0.05,
            "lower": lower,
            "anchor_delta": anchor_delta,
            "anchor_lower": anchor_lower,
            "anchor_upper": 0.1,
            "items_to_settle": None,
            "target": True,
            "verdict": verdict,
            "reason": "",
            **numbers,
        }

    def evidence(
        self, verdict: str, anchor_lower: float = 0.0, anchor_delta: float = 0.0, waivable: bool | None = None,
        champion: Model | None = None, model: Model | None = None, night: str = "", lower: float = 0.0,
    ) -> Evidence:  # fmt: skip
        open_ = verdict == "INCONCLUSIVE" and anchor_lower > -0.05 if waivable is None else waivable
        model, against = model or self.model, (champion or self.base).digest
        found = Verdict.model_validate(
            {
                "verdict": verdict,
                "paragraph": "",
                "suites": (self.suite(verdict, anchor_delta, anchor_lower, lower),),
                "waivable": open_,
                "problems": (),
                "alpha": 0.05,
                "anchor_z": 2.9,
                "candidate": model.digest,
                "champion": against,
                "anchor": self.base.digest,
                "cards": (self.card.digest_,),
            }
        )
        any_ = digest_of(night or verdict)
        ref = ScorecardRef(role="candidate", suite="s", model=model.digest, items=any_, scorer=any_, card=self.card)
        return Evidence(
            night=any_,
            recipe=any_,
            snapshot=any_,
            preferences=any_,
            model=model,
            champion=against,
            anchor=self.base.digest,
            cards=(ref,),
            verdict=found,
            trained_on=self.store.put_bytes(b"pairs"),
            promotable=True,
        )

    def register(
        self, verdict: str, anchor_lower: float = 0.0, anchor_delta: float = 0.0, waivable: bool | None = None,
        champion: Model | None = None, model: Model | None = None, night: str = "", lower: float = 0.0,
        **more: str,
    ) -> int:  # fmt: skip
        """Register a version as the trainer. ``more``: tags, dots written as ``__``."""
        evidence = self.evidence(verdict, anchor_lower, anchor_delta, waivable, champion, model, night, lower)
        blob = self.store.put_bytes(evidence.model_dump_json().encode())
        tags = {
            "nightshift.key": evidence.key,
            "nightshift.role": "candidate",
            "nightshift.night": evidence.night,
            "nightshift.verdict": verdict,
            "nightshift.promotable": "true",
            "nightshift.waivable": str(evidence.verdict.waivable).lower(),
            "nightshift.evidence": blob.model_dump_json(),
            "nightshift.anchor": self.base.digest,
            "nightshift.cost": "0.0250 EUR (estimated)",
            "approval": "requested",
            "approval.expires": (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds"),
            **model_tags(evidence.model, evidence.trained_on, self.store),
            **{key.replace("__", "."): value for key, value in more.items()},
        }
        return self.trainer.create(f"store:/{evidence.night}", None, tags, "")

    def around(self, version: int, **tags: str) -> None:
        """Set tags past the guard, as whoever can write the database may."""
        for key, value in tags.items():
            self.client.set_model_version_tag(NAME, str(version), key.replace("__", "."), value)

    def aliases(self) -> dict[str, int]:
        return {name: int(version) for name, version in self.client.get_registered_model(NAME).aliases.items()}
