"""A state folder of made-up nights for tests of `nightshift clean`: real records, a real store, an imagined registry.

What must stay is noted here by structure, as each thing is made; the code under test finds it by marking.
"""

import json
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

from infra.digest import Digest, digest_of, short
from infra.store import Blob, Store, Tree
from tasks.contracts import (
    Candidate,
    Evidence,
    Inputs,
    Model,
    Plan,
    Preferences,
    ScorecardRef,
    Shard,
    Snapshot,
    Verdict,
)
from tasks.registry.client import ModelSeen, VersionSeen, model_tags
from tasks.retained import DAY, Policy

NOW = time.time()
POLICY = Policy(nights=400, checkpoints=7, snapshots=90)


class Spec(NamedTuple):
    """One night. ``age``: days since it ended; ``used``: days since a result of its was reused."""

    age: float
    used: float
    registered: bool
    alias: str = ""
    approval: str = "rejected: no"
    ended: bool = True
    rejudged: bool = False  # a second, young version with the same inputs
    shares: bool = False  # its raw rows are those of the night before


class Kept:
    """The folder."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, Store(home / "store")
        self.needed: set[Digest] = set()  # objects that must stay
        self.doomed: set[Digest] = set()  # objects that must go, unless something else needs them
        self.aged: dict[Digest, float] = {}
        self.model = ModelSeen({"nightshift.initialised": "yes"}, "", {}, {})
        self.rows = b""

    @property
    def seen(self) -> dict[str, ModelSeen]:
        return {"shop": self.model}

    def tree(self, name: str, files: dict[str, bytes]) -> Tree:
        folder = self.home / "made" / name
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        return self.store.put_tree(folder)

    def put(self, data: bytes, age: float) -> Blob:
        blob = self.store.put_bytes(data)
        # the same bytes put later are as young as that
        self.aged[blob.digest_] = min(age, self.aged.get(blob.digest_, age))
        return blob

    def night(self, number: int, one: Spec) -> None:
        """Everything that a night leaves."""
        text = f"night {number} ".encode()
        rows = self.rows if one.shares and self.rows else b"PAR1" + text
        self.rows = rows
        snapshot = Snapshot(shards=(Shard(rows=self.put(rows, one.age), n_rows=3),), n_rows=3, files=())
        names = ("train", "house", "quarantine", "profile", "page")
        blobs = {name: self.put(name.encode() + text, one.age) for name in names}
        docs = self.tree(f"docs-{number}", {"index.html": b"<p>" + text})
        preferences = Preferences(
            **blobs, data_docs=docs, n_train=1, n_house=1, n_held_out=1, n_quarantined=0, warnings=()
        )
        base = self.tree("base", {"weights": b"the base", "tokenizer.json": b"{}"})
        model = Model(base=base, adapter=self.tree(f"adapter-{number}", {"weights": text}))
        history, card = self.put(b"[]" + text, one.age), self.put(b"[1]" + text, one.age)
        id_ = digest_of(number)
        candidate = Candidate(
            model=model, preferences=preferences.digest, recipe=id_, history=history, mlflow_run=f"run {number}"
        )
        within = [blob.digest_ for blob in (*blobs.values(), history)]
        within += [file.digest_ for tree in (docs, model.base, model.adapter) if tree for file in tree.files]
        for digest in within:
            self.aged[digest] = min(one.age, self.aged.get(digest, one.age))
        self._results(number, one, snapshot, preferences, candidate)
        self._folder(id_, one)
        raw = snapshot.shards[0].rows.digest_
        young_result = one.used <= POLICY.snapshots
        if one.registered:
            within += self._versions(id_, one, snapshot, preferences, candidate, card)
        (self.needed if one.registered else self.doomed).add(card.digest_)  # no result of a step made here names it
        recent = one.age < POLICY.snapshots
        live = bool(one.alias) or one.approval == "requested"
        (self.needed if one.registered or young_result else self.doomed).update(within)
        keeps_rows = young_result or (one.registered and (live or recent or one.rejudged))
        (self.needed if keeps_rows else self.doomed).add(raw)

    def _results(
        self, number: int, one: Spec, snapshot: Snapshot, preferences: Preferences, candidate: Candidate
    ) -> None:
        folder = self.home / "prefect" / "storage"
        folder.mkdir(parents=True, exist_ok=True)
        for name, record in (("collect", snapshot), ("validate", preferences), ("align", candidate)):
            path = folder / f"{name}-{number}"
            # as Prefect writes it: JSON inside JSON
            path.write_text(json.dumps({"metadata": {}, "result": record.model_dump_json()}))
            age_file(path, one.used)

    def _folder(self, id_: Digest, one: Spec) -> None:
        folder = self.home / "nights" / short(id_, 16)
        folder.mkdir(parents=True)
        names = ["name", "attempts.jsonl", *(["bill.json", "summary.json"] if one.ended else [])]
        for name in names:
            (folder / name).write_text("{}")
            age_file(folder / name, one.age)
        age_file(folder, one.age)

    def _versions(
        self, id_: Digest, one: Spec, snapshot: Snapshot, preferences: Preferences, candidate: Candidate, card: Blob
    ) -> list[Digest]:
        plan = Plan(
            train=True, reason="", new_pairs=1, pairs=1, steps=1, memory_bytes=1, seconds=1.0, amount=0.0,
            currency="EUR",
        )  # fmt: skip
        recipe = self.put(b'{"recipe": 1}' + id_.encode()[-8:], one.age)
        inputs = Inputs(
            recipe=recipe, snapshot=snapshot, preferences=preferences, plan=plan, candidate=candidate
        )  # fmt: skip
        inside = self.put(inputs.model_dump_json().encode(), one.age)
        evidence = evidence_of(id_, candidate.model, preferences.train, card, inside)
        written = self.put(evidence.model_dump_json(indent=1).encode(), one.age)
        tags = {
            "nightshift.night": id_,
            "nightshift.evidence": written.model_dump_json(),
            "approval": one.approval,
            **model_tags(candidate.model, preferences.train, self.store),
        }
        reference = Blob.model_validate_json(tags["nightshift.model_ref"]).digest_
        self.aged.setdefault(reference, one.age)
        number = ""
        for age in (one.age, *([1.5] if one.rejudged else [])):
            number = str(len(self.model.versions) + 1)
            self.model.versions[number] = VersionSeen(str(int((NOW - age * DAY) * 1000)), tags, "", "None")
        if one.alias:
            self.model.aliases[one.alias] = number
        return [recipe.digest_, inside.digest_, written.digest_, reference]

    def junk(self, count: int, age: float) -> None:
        """Objects that nothing refers to, and what a killed writer left."""
        for number in range(count):
            self.doomed.add(self.put(f"junk {number} {age}".encode(), age).digest_)
        if age > 1:
            left = self.home / "store" / "sha256" / "aa" / f".writing-{count}"
            left.parent.mkdir(parents=True, exist_ok=True)
            left.write_bytes(b"half")
            age_file(left, age)

    def settle(self) -> None:
        """Give every object its age."""
        for path in (self.home / "store" / "sha256").glob("*/*"):
            if not path.name.startswith("."):
                age_file(path, self.aged.get(f"sha256:{path.name}", 1000.0))
        self.needed |= {digest for digest, age in self.aged.items() if age < 1}

    def there(self) -> set[Digest]:
        return {f"sha256:{path.name}" for path in (self.home / "store" / "sha256").glob("*/[!.]*")}

    def files(self) -> dict[str, int]:
        """All files under HOME, and their size."""
        found = (path for path in self.home.rglob("*") if path.is_file() and "made" not in path.parts)
        return {str(path.relative_to(self.home)): path.stat().st_size for path in found}


def evidence_of(id_: Digest, model: Model, trained_on: Blob, card: Blob, inputs: Blob | None) -> Evidence:
    verdict = Verdict.model_validate(
        {
            "verdict": "PASS", "paragraph": "", "suites": (), "waivable": False, "problems": (), "alpha": 0.05,
            "anchor_z": 2.9, "candidate": model.digest, "champion": id_, "anchor": id_, "cards": (card.digest_,),
        }
    )  # fmt: skip
    ref = ScorecardRef(role="candidate", suite="s", model=model.digest, items=id_, scorer=id_, card=card)
    return Evidence(
        night=id_, recipe=id_, snapshot=id_, preferences=id_, model=model, champion=id_, anchor=id_, cards=(ref,),
        verdict=verdict, trained_on=trained_on, promotable=True, inputs=inputs,
    )  # fmt: skip


def age_file(path: Path, days: float) -> None:
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))


def some_nights(rng: random.Random) -> list[Spec]:
    """Nights of all ages and fates; aliases once each."""
    aliases = ["champion", "previous", "anchor"]
    rng.shuffle(aliases)
    found = []
    for _ in range(rng.randint(1, 6)):
        age = rng.choice([0.2, 3.0, 60.0, 120.0, 500.0])
        registered = rng.random() < 0.6
        found.append(
            Spec(
                age=age,
                used=rng.choice([age, min(age, 5.0), age]),
                registered=registered,
                alias=aliases.pop() if registered and aliases and rng.random() < 0.4 else "",
                approval=rng.choice(["requested", "rejected: no", "expired"]),
                ended=rng.random() < 0.8,
                rejudged=rng.random() < 0.2,
                shares=rng.random() < 0.2,
            )
        )
    return found
