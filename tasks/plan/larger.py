"""What the methods of a comparison would take of larger models, by the planner's own counting. Pure; never measured.

The shapes are those of Llama 3.1, from its published configurations. Memory is of one device that would hold all of a
training, however many devices it takes in truth; hours are by the formula for a device that nothing has been measured
on. The last two methods are the pair of a published figure: PPO with its four models needs more than three times the
memory of SFT (Santacroce et al. 2023, arXiv 2309.00754).
"""

from collections.abc import Mapping
from types import MappingProxyType

from infra.attempts import Device
from infra.hardware import hardware_book
from infra.price_book import PriceBook
from tasks.compared import Larger
from tasks.lm.speed import formula
from tasks.phases import METHODS, Phase
from tasks.plan.effort import money
from tasks.plan.held import Facts, Way, on_devices
from tasks.plan.memory import Models, Shape, models_of
from tasks.recipe import Recipe

SIZES: Mapping[str, Shape] = MappingProxyType(
    {
        "8B": Shape(
            parameters=8_030_261_248,
            hidden=4096,
            intermediate=14336,
            layers=32,
            query_width=4096,
            key_width=1024,
            vocabulary=128256,
        ),
        "70B": Shape(
            parameters=70_553_706_496,
            hidden=8192,
            intermediate=28672,
            layers=80,
            query_width=8192,
            key_width=1024,
            vocabulary=128256,
        ),
    }
)
KIND, POOL = "h100", "nvidia-kubernetes"
FULL = "full, bf16"


def larger(recipes: Mapping[str, Recipe], facts: Facts, prices: PriceBook) -> tuple[Larger, ...]:
    """Every method at every size, with the same data and budget; then SFT and PPO in full, the published pair.

    Args:
        recipes: by method, with its phase. facts: of the comparison's data; what they say of the pool is replaced.

    Raises:
        PriceError: the book has no price for the device.
    """
    hardware = hardware_book().of(KIND)
    device = Device(pool=POOL, kind=KIND, count=1, accelerator=True)
    found = []
    for size, shape in SIZES.items():
        there = facts.model_copy(
            update={"shape": shape, "device": device, "hardware": hardware, "rate": formula(KIND, hardware),
                    "shares_weights": False, "train_pairs": max(facts.train_pairs, 1)}
        )  # fmt: skip
        some = next(iter(recipes.values()))
        for method, how, recipe, way in [*_asked(recipes), *_in_full(some)]:
            sft = some.model_copy(update={"phase": (_phase(recipe.phase[0], "sft"),)})
            held = on_devices(recipe, there, 1, way)
            cost = money(prices, device, held.seconds / 3600, 1, hardware)
            base = on_devices(sft, there, 1, Way(sft.phase[0], way.models._replace(**_NO_OTHERS)))
            found.append(
                Larger(
                    size=size,
                    method=method,
                    how=how,
                    device=KIND,
                    memory_bytes=held.memory.total,
                    times_sft=held.memory.total / base.memory.total,
                    device_hours=held.seconds / 3600,
                    kwh=cost.kwh,
                    amount=cost.amount,
                    currency=prices.currency,
                    example=cost.example,
                    rate=there.rate.in_words(),
                )
            )
    return tuple(found)


_NO_OTHERS = {"reference": False, "reward": False, "value": False, "sampled": 0}


def _asked(recipes: Mapping[str, Recipe]) -> list[tuple[str, str, Recipe, Way]]:
    """The methods as they were compared."""
    found = []
    for method, recipe in recipes.items():
        phase = recipe.phase[0]
        way = Way(phase, models_of(phase), METHODS[phase.method].online)
        found.append((method, "full" if phase.adapter == "full" else f"{phase.adapter}, r {phase.lora.r}", recipe, way))
    return found


def _in_full(recipe: Recipe) -> list[tuple[str, str, Recipe, Way]]:
    """What the published figure is of: all weights trained, in bf16; PPO with four models of one size."""
    sft, dpo = _phase(recipe.phase[0], "sft", adapter="full"), _phase(recipe.phase[0], "dpo", adapter="full")
    four = Models(reference=True, reward=True, value=True, bf16=True)
    return [
        ("sft", FULL, recipe.model_copy(update={"phase": (sft,)}), Way(sft, Models(bf16=True))),
        # the forecast of PPO with four models is by what pairs take: an answer each (tasks.plan.effort.online_effort)
        ("ppo", f"{FULL}, four models", recipe.model_copy(update={"phase": (dpo,)}), Way(dpo, four, online=True)),
    ]


def _phase(given: Phase, method: str, **changes: str) -> Phase:
    same = {name: getattr(given, name) for name in ("batch_size", "gradient_checkpointing", "max_tokens", "adapter")}
    steps = given.pairs_of(given.max_steps) // given.batch_size
    lora = {} if changes.get("adapter", given.adapter) == "full" else {"lora": given.lora}
    if method == "sft":
        same.pop("max_tokens")
    return Phase.model_validate({**same, **lora, "method": method, "max_steps": max(steps, 1), **changes})
