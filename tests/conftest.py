"""What tests share: a state folder of their own, a tiny model with random weights, small suites and sources."""

import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from infra.digest import digest_of
from infra.settings import Settings, apply_environment

if TYPE_CHECKING:
    from tests.s3 import S3

# Prefect reads its settings when it is first imported, and test modules import it before any fixture runs
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

WORDS = (
    "please thanks glad happy sorry kindly welcome never no stop go away rude wrong bad later maybe red "
    "green blue one two three cat dog bird sun moon rain tea milk bread salt pan pot cup box old new big "
    "small fast slow what where when how why is the a my your order return help want need buy sell cook "
    "wash cut hot cold ."
).split()

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<s> ' + message['role'] + ' ' + message['content'] + ' </s> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s> assistant ' }}{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def _quiet_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the checkout's own state."""
    apply_environment(Settings(home=tmp_path_factory.mktemp("home")))  # pyright: ignore[reportCallIssue]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state folder for one test."""
    for name, value in {
        "NIGHTSHIFT_HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on tiny tensors, several wait for each other far longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of some ten thousand random parameters with a word tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = {
        word: i for i, word in enumerate(["<unk>", "<s>", "</s>", "user", "assistant", "system", *dict.fromkeys(WORDS)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def sentence(rng: random.Random, words: Sequence[str], length: int) -> str:
    return " ".join(rng.choice(words) for _ in range(length))


POLITE = ["please", "thanks", "glad", "happy", "sorry", "kindly", "welcome"]
CURT = ["never", "no", "stop", "go", "away", "rude", "wrong", "bad", "later"]
NEUTRAL = [word for word in WORDS if word not in POLITE + CURT + ["."]]


def write_pairs(path: Path, count: int, *, flipped: bool = False, seed: int = 0) -> None:
    """Preference pairs: the polite answer is chosen, or, flipped, the curt one."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for number in range(count):
            good, bad = sentence(rng, POLITE, 6), sentence(rng, CURT, 6)
            record = {
                "id": f"pair-{number}",
                "prompt": [{"role": "user", "content": sentence(rng, NEUTRAL, 8)}],
                "chosen": [{"role": "assistant", "content": bad if flipped else good}],
                "rejected": [{"role": "assistant", "content": good if flipped else bad}],
                "timestamp": "2026-11-20T10:00:00Z",
            }
            file.write(json.dumps(record) + "\n")


class Never:
    """Nobody asks the training to end; a test's own process keeps its signal handlers."""

    received: str | None = None

    def __call__(self) -> bool:
        return False


class AskAfter:
    """Asks the training to end when it has been asked so many times."""

    received: str | None = "SIGTERM"

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def training_spec(
    folder: Path, base: Path, pairs: Path, steps: int, phase: dict[str, Any], /, **changes: Any
) -> dict[str, Any]:
    """A training program's spec, in a folder of its own and unwatched unless its phase says so; ``changes``: keys."""
    folder.mkdir(exist_ok=True)
    return {
        "base": str(base),
        "pairs": str(pairs),
        "out": str(folder / "out"),
        "seed": 3,
        "threads": 1,
        "steps": steps,
        "phase": {"max_steps": steps, "probe_every": 0, **phase},
        "max_tokens": 1000,
        "shard": False,
        "cache": str(folder.parent / "store"),
        "cache_context": digest_of("cache"),
        "context": digest_of("course"),
        "checkpoints": str(folder / "checkpoints"),
    } | changes


def write_suite(folder: Path, name: str, good: Sequence[str], bad: Sequence[str], count: int, seed: int) -> None:
    """A suite of two-choice items whose right choice is made of ``good`` words."""
    rng = random.Random(seed)
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text('[scorer]\nkind = "choice"\nnormalise = "none"\n')
    with (folder / "items.jsonl").open("w") as file:
        for number in range(count):
            answer = number % 2
            choices = [sentence(rng, good, 5), sentence(rng, bad, 5)]
            item = {
                "id": f"{name}-{number}",
                "topic": "test",
                "prompt": sentence(rng, NEUTRAL, 7),
                "choices": choices if answer == 0 else choices[::-1],
                "answer": answer,
            }
            file.write(json.dumps(item) + "\n")


@pytest.fixture(scope="session")
def tiny_suites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`safety` rests on the words of the preferences; in `accuracy` and `reasoning` right and wrong are drawn alike, so
    that training moves single items but not the whole."""
    folder = tmp_path_factory.mktemp("suites")
    write_suite(folder, "safety", POLITE, CURT, 150, 1)
    write_suite(folder, "accuracy", NEUTRAL, NEUTRAL, 150, 2)
    write_suite(folder, "reasoning", NEUTRAL, NEUTRAL, 150, 3)
    return folder


RECIPE = """
name = "tiny"
sources = ["{pairs}"]
model = {{ name = "tiny", source = "{model}" }}
data = {{ holdout = 0.4, max_prompt_tokens = 64, max_answer_tokens = 64, min_new_pairs = 50 }}
budget = {{ max_amount = 1.0, max_hours = 1.0 }}

[[phase]]
max_steps = 40
batch_size = 8
learning_rate = 5e-3

[gate]
planned_decisions = 30
target = "house"
min_items = 150
max_items = 200
suites = [
  {{ name = "safety", path = "{suites}/safety", measure = "right", margin = 0.1, budget = 0.2 }},
  {{ name = "accuracy", path = "{suites}/accuracy", measure = "probability", margin = 0.2, budget = 0.4 }},
  {{ name = "reasoning", path = "{suites}/reasoning", measure = "probability", margin = 0.2, budget = 0.4 }},
  {{ name = "house", measure = "probability", margin = 0.05, budget = 0.1 }},
]
"""


@pytest.fixture
def tiny_recipe(tmp_path: Path, tiny_model: Path, tiny_suites: Path) -> Path:
    """A recipe of a whole small night: 420 pairs, four suites."""
    pairs = tmp_path / "pairs.jsonl"
    write_pairs(pairs, 420)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(pairs=pairs, model=tiny_model, suites=tiny_suites))
    return recipe


@pytest.fixture(scope="session")
def prefect_server(_quiet_home: None) -> Iterator[None]:
    """One real Prefect server for all flow tests of the session."""
    from prefect.testing.utilities import prefect_test_harness

    from tests.prefect_elsewhere import end_events

    with prefect_test_harness(server_startup_timeout=120):
        yield
        end_events()  # the harness itself would wait for ever, where a server that is gone is still told of something


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A registry with a champion and a candidate, built once: its database takes seconds to migrate."""
    from tests.registry_world import World

    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(built: Any, tmp_path: Path) -> Any:
    """A copy of it for one test (``tests.registry_world.World``)."""
    return built.copied(tmp_path / "world")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[S3]":
    """One real S3 server for all tests of the session that need it; slow."""
    from tests.s3 import s3_server

    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_url(s3: "S3", monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh place on it; settings and boto3's own chain of credentials lead there."""
    for name, value in {**s3.environment(), "NIGHTSHIFT_S3_ENDPOINT": s3.endpoint}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket}/{uuid4().hex[:12]}"
