"""A night's data validated on Spark is the night's data validated in DuckDB: the same preferences, row for row."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT
from infra.store import Store
from tasks.contracts import Preferences, Snapshot
from tasks.data_spec import DataSpec
from tests.conftest import NEUTRAL, sentence, write_pairs
from tests.data_place import preferences_of, snapshot_of
from tests.spark.test_spark import ODD, TIMES

pytestmark = pytest.mark.spark

DATA = DataSpec(holdout=0.3, max_prompt_tokens=64, max_answer_tokens=64, min_new_pairs=10)
GATE = ("what is thing one",)


def odd_lines(seed: int) -> list[str]:
    """Odd texts and times, broken lines, copies, near and swapped ones, cycles, and a prompt of the gate's."""
    pick = random.Random(seed)
    lines = [json.dumps(_pair(f"odd-{seed}-{n}", pick.choice(ODD), pick.choice(ODD), pick.choice(ODD))
                        | {"timestamp": pick.choice(TIMES)}) for n in range(25)]  # fmt: skip
    lines += ["{broken", "[]", json.dumps(_pair(f"gate-{seed}", GATE[0].upper(), "please", "stop"))]
    for number in range(6):
        prompt, good, bad = (sentence(pick, NEUTRAL, 40) for _ in range(3))
        name = f"near-{seed}-{number}"
        lines.append(json.dumps(_pair(name, prompt, good, bad)))
        lines.append(json.dumps(_pair(f"{name}-again", f"{prompt} please", f"{good} later", f"{bad} .")))
        if number % 2:
            lines.append(json.dumps(_pair(f"{name}-swapped", prompt, bad, f"{good} later")))
    round_ = ["please", "thanks", "glad"]
    for better, worse in zip(round_, round_[1:] + round_[:1], strict=True):
        lines.append(
            json.dumps(_pair(f"cycle-{seed}-{better}", f"why is the {['moon', 'rain', 'tea'][seed]}", better, worse))
        )
    return lines


def _pair(id_: str, prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"id": id_, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def on_both(snapshot: Snapshot, tokenizer: Path, folder: Path, store: Store) -> tuple[Preferences, Preferences]:
    found = []
    for name, master in (("duckdb", None), ("spark", "local[2]")):
        (folder / name).mkdir(exist_ok=True)
        found.append(preferences_of(snapshot, DATA, tokenizer, GATE, folder / name, store, master))
    return found[0], found[1]


def test_a_night_and_the_next_one_make_the_same_preferences_on_both(tmp_path: Path, tiny_model: Path) -> None:
    store, files = Store(tmp_path / "store"), [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for number, file in enumerate(files):
        write_pairs(file, 160, seed=number)
        file.write_text(file.read_text().replace('"pair-', f'"pair-{number}-'))
    with files[0].open("a") as file:
        file.write("\n".join(odd_lines(0)) + "\n")
    files[2].write_text(files[1].read_text().replace("pair-1-", "pair-2-"))  # shards of equal texts
    (tmp_path / "d.jsonl").write_text("")
    sources = (*map(str, files), str(tmp_path / "d.jsonl"))
    for night in range(2):
        snapshot = snapshot_of(sources, tmp_path, store)
        here, there = on_both(snapshot, tiny_model, tmp_path, store)
        assert store.read_json(there.profile) == store.read_json(here.profile)
        same = set(Preferences.model_fields) - {"data_docs", "page"}  # they say when they were made
        for name in same:
            assert getattr(there, name) == getattr(here, name), name
        pages = [(tmp_path / engine / "data.html").read_text() for engine in ("spark", "duckdb")]
        assert len({re.sub(r"made \S+ \S+", "", page) for page in pages}) == 1
        left = [json.loads(line) for line in store.read_bytes(here.quarantine).splitlines()]
        reasons = {reason for row in left for reason in row["reasons"]}
        assert reasons >= {
            "unreadable", "duplicate_pair", "near_duplicate", "near_contradiction", "contradiction", "gate_overlap",
            "empty_answer", "control_characters", "template_tokens", "timestamp_unreadable", "timestamp_in_future",
        }  # fmt: skip
        assert here.n_train > 100
        # tomorrow's rows are near to tonight's
        lines = odd_lines(0)[28:40] + odd_lines(night + 1)
        (tmp_path / "d.jsonl").write_text("\n".join(line.replace("-0-", "-next-") for line in lines) + "\n")
    assert (tmp_path / "spark" / "kept" / "near" / "shop").is_dir()
    assert not [*(tmp_path / "spark").glob("tmp*")]  # nothing of Spark's is left


def test_spark_without_java_is_an_error_that_says_so(tmp_path: Path) -> None:
    """In a process of its own: here Java runs already."""
    code = (
        "from pathlib import Path\n"
        "from tasks.data.spark.engine import open_spark\n"
        f"with open_spark('local[1]', Path({str(tmp_path)!r})):\n    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert "EngineError: Spark (NIGHTSHIFT_SPARK_MASTER='local[1]') could not start" in done.stderr
    assert "it needs Java 17" in done.stderr
