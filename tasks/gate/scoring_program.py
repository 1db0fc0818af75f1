"""Program: score models on suites. ``python -m tasks.gate.scoring_program SPEC RESULT [NUMBER]``.

Spec: see tasks/gate/work.py. Writes item results as they come, then one scorecard file a model and suite, and sample
answers; imports neither Prefect nor MLflow. With a NUMBER above 0 it is a further process that only takes part.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.errors import NightshiftError
from infra.events import die_with_parent, emit
from infra.settings import load_settings
from tasks.contracts import Engine
from tasks.errors import EngineError
from tasks.gate.drift import Anchored
from tasks.gate.drift_reference import make_reference, read_reference
from tasks.gate.judging import graders
from tasks.gate.result_store import ResultStore
from tasks.gate.scorecard import ItemResult, read_card
from tasks.gate.scorers import Context
from tasks.gate.scoring_engine import LocalScoring, open_engine
from tasks.gate.scoring_run import (
    Job,
    Outcome,
    Process,
    card_of,
    may_stop,
    run_job,
    score_twice,
    suites_to_score,
)
from tasks.gate.sharing import Claims, any_alive, helpers
from tasks.gate.suites import Scorer, Suite, spread
from tasks.lm.loading import use_device, use_threads
from tasks.recipe import GateSpec

Results = Mapping[str, ItemResult | None]


def main(spec_path: str, result_path: str, number: str = "0") -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    use_device(int(number))
    folder = Path(spec_path).parent
    more = spec["workers"] - 1 if number == "0" else 0
    with helpers("tasks.gate.scoring_program", spec_path, more) as others:
        process = Process(int(number), Claims(folder / "claims"), partial(any_alive, others))
        try:
            result = _score(spec, folder, process)
        except EngineError as error:  # of the machine and no model's: the night ends, and scores once it is mended
            result = {"no_engine": [error.what, error.do]}
    if process.leads:
        Path(result_path).write_text(json.dumps(result, allow_nan=False))


def _score(spec: dict[str, Any], folder: Path, process: Process) -> dict[str, Any]:
    engine_settings, gate = Engine.model_validate(spec["engine"]), GateSpec.model_validate(spec["gate"])
    suites = {name: Suite.model_validate(suite) for name, suite in spec["suites"].items()}
    cards = {name: read_card(Path(path).read_bytes()) for name, path in spec["champion_cards"].items()}
    champion = {name: {one.id: one for one in card.results} for name, card in cards.items()}
    result: dict[str, Any] = {"cards": [], "samples": {}, "parity": {}, "noise": [], "problems": []}
    progress = _Progress(sum(len(suites[name].items) for model in spec["models"] for name in model["suites"]))
    settings = load_settings()
    grades, ungraded = graders(
        suites, settings.judge_url, settings.judge_model, settings.judge_key, settings.home / "judge"
    )
    result["problems"] += ungraded
    for model in spec["models"]:
        emit("log", text=f"scoring the {model['role']} ({model['digest'][7:15]})")
        try:
            sampled: int = spec["samples"]["max_tokens"]
            engine = open_engine(model, engine_settings, suites, sampled, on_log=lambda text: emit("log", text=text))
        except EngineError:
            raise
        except (NightshiftError, OSError, ValueError) as error:
            result["problems"].append(f"{model['role']}: the model can't be loaded: {str(error).splitlines()[0]}")
            continue
        result["parity"][model["digest"]] = engine.parity
        aa = spec["aa"] if spec["aa"] is not None and spec["aa"]["model"] == model["digest"] else None
        stops = model["role"] == "candidate" and may_stop(gate, suites, champion)
        names = suites_to_score(model["suites"], suites, aa=aa is not None, stops=stops)
        if "drift" in names or ("drift" in suites and model["digest"] == spec["anchor"]):
            anchored = _anchored(spec, model, suites["drift"], engine, process)
        else:
            anchored = {}
        if "drift" in names and not anchored:
            names.remove("drift")  # without the anchor nothing is measured, and the gate blocks
        graded = {name for name in names if suites[name].scorer.kind in ("judge", "reward")}
        names = [name for name in names if name not in graded or suites[name].scorer.digest in grades]
        context = Context(anchored, grades)
        job = Job(
            model["digest"],
            {name: suites[name] for name in names},
            {name: ResultStore(Path(model["results"][name])) for name in names},
            champion if stops else {},
        )
        advance = partial(progress.advance, model["suites"])
        outcome = run_job(job, gate, engine, context, engine.tokens, engine_settings.tokens, process, advance)
        if model["digest"] == spec["champion"]:
            champion |= {name: _scored(found) for name, found in outcome.results.items()}
        if not process.leads:
            continue
        if aa:
            tokens, limit = engine.tokens, engine_settings.tokens
            how = aa["items"], aa["floor"], aa["cause"]
            noise = score_twice(job.suites, outcome.results, *how, engine, context, tokens, limit)
            result["noise"] = [one.model_dump() for one in noise]
        _write_cards(model, outcome, suites, engine_settings, spec["anchor"], folder, result)
        if model["samples"]:
            result["samples"][model["digest"]] = _samples(engine, spec["samples"], suites)
        engine.close()
        del engine
    return result


def _write_cards(
    model: dict[str, Any],
    outcome: Outcome,
    suites: dict[str, Suite],
    settings: Engine,
    anchor: str | None,
    folder: Path,
    result: dict[str, Any],
) -> None:
    for name in (name for name in model["suites"] if name in outcome.results):
        card = card_of(model["digest"], suites[name], outcome.results[name], settings, anchor, stopped=outcome.stopped)
        path = folder / f"{model['digest'][7:23]}-{name}.json"
        path.write_text(card.model_dump_json())
        result["cards"].append({"model": card.model, "suite": name, "path": str(path), "stopped": card.stopped})


def _anchored(
    spec: dict[str, Any], model: dict[str, Any], suite: Suite, engine: LocalScoring, process: Process
) -> dict[str, Anchored]:
    """The anchor's answers, which drift is measured against; the anchor itself, loaded first, makes them."""
    path = Path(spec["reference"])
    if not path.is_file() and model["digest"] == spec["anchor"] and process.leads:
        make_reference(engine, suite, path)
    word = f"reference-{model['digest'][7:23]}"
    if process.leads:
        process.claims.open_stage(word, path.is_file())
    elif not process.claims.wait_for_stage(word):
        return {}
    return read_reference(path) if path.is_file() else {}


def _samples(engine: LocalScoring, wanted: dict[str, Any], suites: dict[str, Suite]) -> list[str]:
    """Greedy answers to a few prompts, for people to read."""
    items = spread(suites[wanted["suite"]].items, wanted["count"])
    scorer = Scorer(kind="checks", max_tokens=wanted["max_tokens"])
    return [engine.answer(one[0], scorer) for one in engine.generate(items, scorer)]


def _scored(results: Results) -> dict[str, ItemResult]:
    return {id_: one for id_, one in results.items() if one is not None}


class _Progress:
    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def advance(self, counted: Sequence[str], count: int, what: str) -> None:
        if what not in counted:
            return
        self.done = min(self.done + count, self.total)
        emit("progress", done=self.done, total=self.total, what=what)


if __name__ == "__main__":
    main(*sys.argv[1:])
