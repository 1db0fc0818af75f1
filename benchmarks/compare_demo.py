"""Six ways to learn from preferences, compared on a task that is made up here: `make compare-demo`.

    python benchmarks/compare_demo.py [FOLDER]

Everything is generated from seeds. A small Llama is first taught a little language by supervised training: sums in
words, which it is taught wrongly on purpose (children's mistakes: counting the first thing twice, forgetting the ten),
and repeating what somebody said. Preference pairs hold a right sum and a mistake; their truth is the number. Then
`nightshift compare` trains every method on the same pairs from that start, and scores sums it was not trained on, how
it ranks held-out pairs, and whether it still repeats. Prints the closing sentences and, as its last line, one JSON
object with one object a method. FOLDER (default: `.nightshift/compare-demo`) keeps the state: the same again goes on
where it was killed, and `rm -r` starts anew.
"""

import json
import os
import platform
import random
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.settings import child_environment, load_settings  # noqa: E402

SEEDS = 2
STEPS, BATCH, TAUGHT = 700, 64, 8000  # of the start's supervised training: its steps, their answers, all of them


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words("ann bob cid dora eva finn gus hana ivan jo kim leo mia ned olga pia")
THINGS = _words("apples pears plums nuts eggs cups books coins stones shells pens hats bells cards seeds stars")
MORE = _words("buys finds gets wins takes makes")
SPOKEN = _words("red blue green gold cat dog bird fish sun moon rain snow")
GLUE = _words("has and more how many does have now , ? . says what say there are user assistant")
TEMPLATE = (
    "{% for message in messages %}{{ '<s> ' + message['role'] + ' ' + message['content'] + ' </s> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s> assistant ' }}{% endif %}"
)
MISTAKES = 0.6  # share of sums that the start is taught wrongly

RECIPE = """
name = "compare-demo"
seed = 1
sources = ["{folder}/pairs.jsonl"]
model = {{ name = "little", source = "{folder}/start" }}
data = {{ holdout = 0.2, max_prompt_tokens = 64, max_answer_tokens = 32, min_new_pairs = 100 }}
budget = {{ max_amount = 1.0, max_hours = 1.0 }}

# what is shared: 384 pairs, or their prompts
[[phase]]
method = "dpo"
beta = 0.1
learning_rate = 1e-3
batch_size = 16
max_steps = 24
warmup_steps = 2
lora = {{ r = 8, alpha = 16 }}
probe_every = 1000          # only after the last step
probe_tokens = 12

# what a method has of its own
[compare.ipo]
beta = 0.2
[compare.kto]
learning_rate = 7e-4
[compare.online]
reward = ["exact_number"]
group_size = 8
max_new_tokens = 10
[compare.grpo]
learning_rate = 2e-3
beta = 0.01
[compare.ppo]
learning_rate = 2e-3
epochs = 2

[gate]
planned_decisions = 30
target = "sums"
min_items = 150
max_items = 300
suites = [
  {{ name = "sums", path = "{folder}/suites/sums", measure = "right", margin = 0.05, budget = 0.1 }},
  {{ name = "repeating", path = "{folder}/suites/repeating", measure = "right", margin = 0.05, budget = 0.1 }},
  {{ name = "house", measure = "probability", margin = 0.05, budget = 0.1 }},
]
[gate.drift]
path = "{folder}/suites/drift"
max_items = 100
max_kl = 5.0
max_length_ratio = 5.0
"""


class Sum(NamedTuple):
    """A question with its true answer and the mistake that is made of it."""

    prompt: str
    right: str
    wrong: str
    truth: int


def make_sum(draw: random.Random) -> Sum:
    name, thing, more = draw.choice(NAMES), draw.choice(THINGS), draw.choice(MORE)
    a, b = draw.randint(2, 9), draw.randint(2, 9)
    total = a + b
    # counted the first one twice; where there is a ten to carry, forgot it
    mistake = total - 10 if total >= 12 else total - 1
    asked = f"{name} has {a} {thing} and {more} {b} more , how many {thing} does {name} have now ?"
    return Sum(asked, f"there are {total} {thing} .", f"there are {mistake} {thing} .", total)


def make_said(draw: random.Random) -> tuple[str, str]:
    """A question that asks to repeat, and its answer."""
    name, words = draw.choice(NAMES), " ".join(draw.sample(SPOKEN, 3))
    return f"{name} says {words} , what does {name} say ?", f"{name} says {words} ."


def make_taught(draw: random.Random) -> tuple[str, str]:
    """What the start is taught: a quarter repeating, the rest sums, most of them wrong."""
    if draw.random() < 0.25:
        return make_said(draw)
    one = make_sum(draw)
    return one.prompt, one.wrong if draw.random() < MISTAKES else one.right


def make_tokenizer() -> PreTrainedTokenizerFast:
    words = ["<unk>", "<s>", "</s>", *(str(number) for number in range(19)), *NAMES, *THINGS, *MORE, *SPOKEN, *GLUE]
    numbered = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",
        chat_template=TEMPLATE,
    )  # fmt: skip


def encode(tokenizer: PreTrainedTokenizerFast, asked: str, answer: str) -> tuple[list[int], int]:
    """A conversation as token ids, and where its answer begins."""
    question = {"role": "user", "content": asked}
    whole: Any = tokenizer.apply_chat_template([question, {"role": "assistant", "content": answer}], tokenize=False)
    before: Any = tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(whole, add_special_tokens=False)
    return ids, len(tokenizer.encode(before, add_special_tokens=False))


def train_start(folder: Path) -> float:
    """The start that all methods have: taught sums, mostly wrong, and repeating; its last loss."""
    tokenizer, draw = make_tokenizer(), random.Random(7)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    taught = [encode(tokenizer, *make_taught(draw)) for _ in range(TAUGHT)]
    last = 0.0
    for _ in range(STEPS):
        rows = draw.sample(taught, BATCH)
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.full((BATCH, longest), 2)
        labels = torch.full((BATCH, longest), -100)
        for row, (tokens, begin) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, begin : len(tokens)] = torch.tensor(tokens[begin:])
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        last = loss.item()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return last


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def unlike(draw: random.Random, seen: set[str], make: Any, count: int) -> list[Any]:
    """So many, none of which asks what another one has asked."""
    found: list[Any] = []
    while len(found) < count:
        one = make(draw)
        if one[0] not in seen:
            seen.add(one[0])
            found.append(one)
    return found


def write_data(folder: Path) -> None:
    """Pairs, and suites of other questions."""
    draw, seen = random.Random(11), set[str]()
    pairs = [
        {
            "id": f"sum-{number}",
            "prompt": [{"role": "user", "content": one.prompt}],
            "chosen": [{"role": "assistant", "content": one.right}],
            "rejected": [{"role": "assistant", "content": one.wrong}],
            "truth": one.truth,
        }
        for number, one in enumerate(unlike(draw, seen, make_sum, 1000))
    ]
    write_lines(folder / "pairs.jsonl", pairs)
    sums = [
        {"id": f"s-{number}", "prompt": one.prompt, "checks": [{"kind": "number", "number": one.truth}]}
        for number, one in enumerate(unlike(draw, seen, make_sum, 300))
    ]
    said = [
        {"id": f"r-{number}", "prompt": asked, "checks": [{"kind": "exact", "texts": [answer]}]}
        for number, (asked, answer) in enumerate(unlike(draw, seen, make_said, 150))
    ]
    plain = [make_sum(draw).prompt if number % 2 else make_said(draw)[0] for number in range(300)]
    drift = [{"id": f"d-{number}", "prompt": text} for number, text in enumerate(dict.fromkeys(plain))][:100]
    for name, items, scorer in (
        ("sums", sums, 'kind = "checks"\nmax_tokens = 12'),
        ("repeating", said, 'kind = "checks"\nmax_tokens = 12'),
        ("drift", drift, 'kind = "drift"\nmax_tokens = 12'),
    ):
        write_lines(folder / "suites" / name / "items.jsonl", items)
        (folder / "suites" / name / "suite.toml").write_text(f"[scorer]\n{scorer}\n")


def main(folder: Path, methods: str | None) -> None:
    folder = folder.resolve()
    began = time.monotonic()
    recipe = folder / "compare-demo.toml"
    if not recipe.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)  # on tensors this small, several wait for each other
        loss = train_start(folder / "start")
        write_data(folder)
        recipe.write_text(RECIPE.format(folder=folder))  # last: what is there is whole
        print(f"the start: {time.monotonic() - began:.0f} s of supervised training, loss {loss:.3f}", file=sys.stderr)
    settings = load_settings().model_copy(update={"home": folder / "home"})
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "compare", str(recipe), "--seeds", str(SEEDS), "--json"]
        + (["--methods", methods] if methods else []),
        cwd=ROOT,
        env=child_environment(settings) | {"NIGHTSHIFT_THREADS": str(settings.threads or 1)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout.splitlines()[-1])
    print("\n".join(made["sentences"]))
    print(made["page"])
    figures = made["figures"]
    result = {
        "benchmark": "compare_demo",
        "methods": {one["method"]: one for one in figures["methods"]},
        "hours": figures["hours"],
        "differences": figures["differences"],
        "larger": figures["larger"],
        "sentences": made["sentences"],
        "page": made["page"],
        "seconds": round(time.monotonic() - began, 1),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "prefect")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".nightshift" / "compare-demo",
        sys.argv[2] if len(sys.argv) > 2 else None,
    )
