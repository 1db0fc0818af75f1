"""The records of a comparison of methods: what each training was, what came of it, and the differences. Shared."""

from typing import Literal

from infra.digest import Digest, Record
from tasks.judged import Measure
from tasks.recipe import Recipe

START = "start"  # the model that every training of a comparison begins from

State = Literal["Finished", "Unhealthy", "Failed"]


class Marks(Record):
    """One model's results on one suite: a value in [0, 1] an item, by the suite's measure.

    Attributes:
        families: what an item stands or falls with, one an item; itself where nothing.
    """

    suite: str
    measure: Measure
    ids: tuple[str, ...]
    families: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


class Distance(Record):
    """How far a model is from the start. None: nothing measured it.

    Attributes:
        kl: nats a token on its own sampled answers, at the training's last look (``tasks.align.probe``).
        length_ratio: of those answers over the start's.
        anchor_kl, anchor_length_ratio: on the drift suite's prompts (``tasks.gate.drift``), the start the anchor.
    """

    kl: float | None = None
    length_ratio: float | None = None
    anchor_kl: float | None = None
    anchor_length_ratio: float | None = None


class Spent(Record):
    """What one training took, all attempts, failed ones too; of its bill.

    Attributes:
        steps: of the bill that are counted: what trains, not what scores the result alike for all methods.
        seconds: held; ``queue_seconds`` before.
        estimated: energy is board power × time, for nothing measured all of it.
        example: the price is nobody's.
        whole_amount: the training and its scoring.
    """

    steps: tuple[str, ...]
    attempts: int
    failed: int
    seconds: float
    queue_seconds: float
    device_hours: float
    gpu_hours: float
    kwh: float
    estimated: bool
    meter: str | None
    peak_memory_bytes: int | None
    planned_memory_bytes: int | None
    amount: float
    whole_amount: float
    currency: str
    digits: int
    example: bool
    price_book: str


class Training(Record):
    """One training of a comparison, finished or not: a method with a seed.

    Attributes:
        why: what ended it; empty where it finished.
        shown: preferences that it was shown, pairs or prompts; ``shown_digest`` of their ids, so that equal budgets are
            seen and not assumed.
        drawn: answers that it drew.
        steps: that it took of ``of_steps``.
    """

    method: str
    seed: int
    state: State
    why: str = ""
    pool: str
    device: str
    accelerator: bool
    shown: int | None = None
    shown_digest: Digest | None = None
    drawn: int = 0
    steps: int = 0
    of_steps: int
    model: Digest | None = None
    marks: tuple[Marks, ...] = ()
    distance: Distance = Distance()
    spent: Spent | None = None


class Difference(Record):
    """A method minus another model on one suite, paired over items: one value a seed, and an interval over items.

    Attributes:
        seeds, deltas: seeds that both finished, and the difference of each.
        n: families, of ``items``.
        delta: the mean over seeds; ``lower``, ``upper``: two-sided bounds over items at ``alpha``, the means of each
            seed's bounds: whatever the seeds share, they are wide enough.
        enough: whether there are enough items for a bound to be worth something.
    """

    method: str
    other: str
    suite: str
    measure: Measure
    seeds: tuple[int, ...]
    deltas: tuple[float, ...]
    n: int
    items: int
    delta: float
    lower: float
    upper: float
    alpha: float
    enough: bool


class Larger(Record):
    """A method's training at another size, as the planner forecasts it: never measured.

    Attributes:
        memory_bytes: of one device that holds all of it; ``times_sft``: over that of ``sft`` of the same adapter.
        device_hours, amount: of the comparison's budget of preferences on such a device.
    """

    size: str
    method: str
    how: str
    device: str
    memory_bytes: int
    times_sft: float
    device_hours: float
    kwh: float
    amount: float
    currency: str
    example: bool
    rate: str


class Trial(Record):
    """One training that a comparison asks for: a method, and a recipe with its phase, seed and pool."""

    method: str
    recipe: Recipe

    @property
    def seed(self) -> int:
        return self.recipe.seed
