"""Where scorecards, item results, sample answers and A/A checks are found again, under the digests they depend on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.digest import Digest, digest_of, short
from infra.store import Blob
from tasks.contracts import Engine, Model, Noise, Role
from tasks.gate.scorecard import card_key, scorer_digest
from tasks.gate.suites import Suite
from tasks.recipe import Recipe


class CardIndex:
    """The index of one night: one engine, one gate, one set of models."""

    def __init__(
        self, home: Path, recipe: Recipe, engine: Engine, models: Mapping[Role, Model], samples: Mapping[str, int]
    ) -> None:
        self._home, self._recipe, self.engine, self._samples = home, recipe, engine, samples
        self.anchor = models["anchor"].digest if "anchor" in models else None
        self.champion = models["champion"].digest if "champion" in models else None
        # what decides where a scoring stopped, beside the candidate's own results
        self._stop = digest_of([self.champion, recipe.gate])

    def card(self, role: Role, model: Digest, suite: Suite) -> Blob | None:
        """The whole card; of a candidate, else the one that stopped for harm under this gate and champion."""
        whole = self._read(self._card(model, suite))
        if whole is None and role == "candidate":
            return self._read(self._card(model, suite, stopped=True))
        return whole

    def put_card(self, model: Digest, suite: Suite, blob: Blob, *, stopped: bool) -> None:
        _write(self._card(model, suite, stopped=stopped), blob.model_dump_json())

    def _card(self, model: Digest, suite: Suite, *, stopped: bool = False) -> Path:
        key = card_key(model, suite.items_digest, self._scorer(suite))
        name = short(digest_of([key, self._stop]), 64) if stopped else key
        return self._home / "scorecards" / f"{name}.json"

    def results(self, model: Digest, suite: Suite) -> Path:
        """The folder of a model's item results: not of these items, of any that this scorer has scored."""
        return self._home / "results" / short(digest_of([model, self._scorer(suite)]), 32)

    def reference(self, suite: Suite) -> Path:
        """The file of the anchor's answers that drift is measured against."""
        return self._home / "references" / f"{short(digest_of([suite.items_digest, self._scorer(suite)]), 32)}.npz"

    def _scorer(self, suite: Suite) -> Digest:
        return scorer_digest(suite.scorer, self.engine, self.anchor)

    def samples(self, model: Digest, suite: Suite) -> list[str] | None:
        path = self._sample_file(model, suite)
        return json.loads(path.read_text()) if path.is_file() else None

    def put_samples(self, model: Digest, suite: Suite, answers: Sequence[str]) -> None:
        _write(self._sample_file(model, suite), json.dumps(answers))

    def _sample_file(self, model: Digest, suite: Suite) -> Path:
        key = digest_of([model, suite.items_digest, dict(self._samples), self.engine])
        return self._home / "samples" / f"{short(key, 32)}.json"

    def aa_before(self) -> dict[str, Any] | None:
        """The last A/A check of this recipe: ``champion``, ``engine``, ``noise``."""
        path = self._aa()
        return json.loads(path.read_text()) if path.is_file() else None

    def aa_noise(self) -> tuple[Noise, ...]:
        """The noise of the last check, which may be of another champion or engine (see noise.what_is_new)."""
        before = self.aa_before()
        return tuple(Noise.model_validate(one) for one in before["noise"]) if before else ()

    def put_aa(self, champion: Digest, noise: Sequence[Noise]) -> None:
        body = {
            "champion": champion,
            "engine": self.engine.model_dump(),
            "noise": [one.model_dump() for one in noise],
        }
        _write(self._aa(), json.dumps(body, allow_nan=False))

    def _aa(self) -> Path:
        return self._home / "aa" / f"{self._recipe.name}.json"

    def _read(self, path: Path) -> Blob | None:
        return Blob.model_validate_json(path.read_text()) if path.is_file() else None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a killed night must not leave half an index entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    temporary.write_text(text)
    temporary.replace(path)
