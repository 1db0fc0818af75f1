"""A phase: one alignment step of a recipe. A field that its method ignores is an error (``tasks.method_table``)."""

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from infra.digest import Record
from tasks.data_spec import TOPIC
from tasks.method_table import METHODS, MODEL, NEED_TRUTH, SPECIAL, Loss, Method, MethodName, RewardName

Adapter = Literal["lora", "dora", "rslora", "qlora", "full"]

_DPO_ONLY = frozenset({"beta", "max_tokens", "packing"})  # of what rejection sampling takes, none for SFT
_ROUNDING = 1e-9
_SMOOTHED = frozenset({"exo_pair", "robust", "aot", "aot_unpaired"})


class LoraSpec(Record):
    r: int = Field(default=16, gt=0, description="rank of the adapter")
    alpha: int = Field(default=32, gt=0, description="its scale")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout inside the adapter")


class HealthLimits(Record):
    """Thresholds of the stop conditions. Windows are in steps, log-ratios in nats of a whole answer."""

    displacement_window: int = Field(default=10, ge=2, description="steps a chosen answer's fall is averaged over")
    displacement_nats: float = Field(
        default=30.0, gt=0, description="fall of the chosen answers' log-likelihood, a whole answer, that counts"
    )
    displacement_share: float = Field(
        default=0.8, gt=0, lt=1, description="share of the rejected answers' fall that the chosen ones' must exceed"
    )
    saturated_window: int = Field(default=50, ge=2, description="steps that every pair must be ranked right for")
    saturated_accuracy: float = Field(default=0.999, gt=0.5, lt=1, description="reward accuracy that counts as all")
    saturated_loss: float = Field(default=0.01, gt=0, lt=1, description="share of the first loss that counts as none")
    max_kl: float = Field(default=0.5, gt=0, description="nats a sampled token, policy to reference")
    max_length_ratio: float = Field(default=2.5, gt=1, description="mean answer length over the reference's, at most")
    min_length_ratio: float = Field(default=0.25, gt=0, lt=1, description="mean answer length over it, at least")
    spike_factor: float = Field(
        default=10.0, gt=1, description="gradient norm over the usual one; two such are a fault"
    )
    spike_factor_alone: float = Field(default=100.0, gt=1, description="over the usual one; a single such is a fault")
    spike_window: int = Field(default=5, ge=2, description="newest steps that two spikes must lie in")
    spike_min_steps: int = Field(default=10, ge=2, description="steps after warm-up that make a usual gradient norm")
    no_signal_window: int = Field(
        default=25, ge=2, description="rollouts in a row in which all answers to a prompt earn the same, at most"
    )
    hacking_window: int = Field(
        default=8, ge=4, description="looks at held-out answers that are compared, half of them with as many before"
    )
    hacking_errors: float = Field(
        default=3.5, gt=0, description="standard errors that prove a rise, or that there is none"
    )
    hacking_rise: float = Field(
        default=0.5, gt=0, description="rise of the trained reward, in its answers' first deviations, that counts"
    )
    hacking_flat: float = Field(
        default=0.25, gt=0, description="rise of the watch, in the deviations of its scores, that counts as none"
    )
    not_moving_window: int = Field(default=100, ge=5, description="steps compared with the start and with no margin")
    not_moving_min_steps: int = Field(default=200, ge=10, description="steps after warm-up a run is given to move")
    not_moving_errors: float = Field(default=2.0, gt=0, description="standard errors within which nothing has moved")


class Phase(Record):
    """One alignment step. What a method or loss would ignore can't be set."""

    method: MethodName = Field(default="dpo", description="how the phase trains")
    on: str | None = Field(
        default=None,
        pattern=TOPIC,
        description="only rows of sources with this `topic`, `reasoning` say; unset: all (docs/design/phases.md)",
    )
    max_hours: float | None = Field(
        default=None,
        gt=0,
        description="hours the phase may hold the pool; spent, it ends, and what came before is judged",
    )
    max_amount: float | None = Field(
        default=None, gt=0, description="money the phase may cost, in the price book's currency; spent, as `max_hours`"
    )
    loss: tuple[Loss, ...] = Field(
        default=(), description="DPO: one of TRL's losses or a list of them, `sigmoid` unless set; KTO, CPO: likewise"
    )
    loss_weights: tuple[float, ...] = Field(default=(), description="one a loss, where `loss` is a list; else all 1")
    beta: float = Field(default=0.1, gt=0, description="how closely the candidate is held to the reference")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="share of flipped labels; `robust`, `exo_pair`, `aot`, `aot_unpaired`"
    )
    discopop_tau: float = Field(default=0.05, gt=0, description="temperature of `discopop`")
    desirable_weight: float = Field(default=1.0, gt=0, description="KTO: weight of good answers")
    undesirable_weight: float = Field(default=1.0, gt=0, description="KTO: weight of bad answers")
    cpo_alpha: float = Field(default=1.0, ge=0, description="CPO: weight of its SFT term")
    simpo_gamma: float = Field(default=0.5, ge=0, description="SimPO: the margin that is asked for")
    reward: tuple[RewardName, ...] = Field(
        default=(),
        description="PPO, GRPO, RLOO, online DPO, reject: what an answer earns, one or a list (docs/design/online.md); "
        "`model` is the reward model of an earlier phase (docs/design/rewards.md)",
    )
    reward_weights: tuple[float, ...] = Field(default=(), description="one a reward; else all 1")
    watch: RewardName | None = Field(
        default=None,
        description="PPO, GRPO, RLOO: what answers to held-out prompts are looked at by, beside what is trained on; "
        "unset: the rewards themselves",
    )
    group_size: int = Field(default=4, ge=2, description="answers drawn to a prompt")
    max_new_tokens: int = Field(default=64, gt=0, description="most tokens of an answer that is drawn")
    temperature: float = Field(default=1.0, gt=0, description="that answers are drawn with, and scored")
    rollouts: Literal["own", "vllm"] = Field(
        default="own", description="what draws the answers: ours, or vLLM where it is installed (docs/guides/vllm.md)"
    )
    clip: float = Field(default=0.2, gt=0, lt=1, description="how far a ratio to the drawing policy counts")
    epochs: int = Field(default=1, gt=0, description="steps that the same answers serve")
    kl_target: float = Field(
        default=0.1,
        gt=0,
        description="PPO: nats a token from the reference, which beta is moved to hold; it begins there",
    )
    gae_lambda: float = Field(default=0.95, ge=0, le=1, description="PPO: lambda of generalised advantages")
    train_as: Literal["sft", "dpo"] = Field(
        default="sft", description="reject: imitate the best answers, or prefer them to the worst"
    )
    max_kept: int = Field(default=1, gt=0, description="reject: answers (pairs) kept of a prompt, at most")
    min_gap: float = Field(
        default=0.02, gt=0, description="reject: rewards that differ by no more than it count as equal"
    )
    draw_factor: float = Field(
        default=1.5, ge=1, description="reject: prompts drawn for, at most, for each row that the steps take"
    )
    reward_holdout: float = Field(
        default=0.2, gt=0, lt=0.9, description="reward: share of the prompts it isn't trained on, but measured on"
    )
    reward_floor: float = Field(
        default=0.55,
        ge=0.5,
        lt=1,
        description="reward: lower 95 % bound of its held-out accuracy, below which no phase may use it",
    )
    center_rewards: float = Field(
        default=0.01, ge=0, description="reward: weight of the squared sum of a pair's rewards (arXiv 2312.09244)"
    )
    adapter: Adapter = Field(
        default="lora", description="what is trained: a LoRA, DoRA, rsLoRA or QLoRA adapter, or the `full` model"
    )
    lora: LoraSpec = Field(default_factory=LoraSpec, description="the adapter; nothing for `full`")
    learning_rate: float = Field(default=1e-4, gt=0, description="peak; falls linearly")
    batch_size: int = Field(default=4, gt=0, description="pairs a step; prompts, of a method that draws answers")
    max_steps: int = Field(gt=0, description="most steps; fewer where the pairs don't fill them")
    warmup_steps: int = Field(default=0, ge=0, description="steps until the peak")
    max_grad_norm: float = Field(default=1.0, gt=0, description="longer gradients are cut to this norm")
    max_tokens: int | None = Field(
        default=None,
        gt=0,
        description="tokens that go through the model at once; a step takes as many parts as it needs. "
        "Unset: 16384 on accelerators, 640 on a CPU",
    )
    packing: bool = Field(default=True, description="shared prefixes once and no padding; false is TRL's own forward")
    gradient_checkpointing: bool = Field(
        default=False, description="keep less for the backward pass and compute it again: a third slower"
    )
    compile: bool = Field(default=False, description="torch.compile; minutes at the start (docs/design/align.md)")
    checkpoint_every: int = Field(default=50, gt=0, description="steps between checkpoints")
    probe_every: int = Field(
        default=100,
        ge=0,
        description="steps between looks at the answers' length and divergence; 0: none, else also last",
    )
    probe_prompts: int = Field(default=32, gt=0, description="prompts of such a look")
    probe_tokens: int = Field(default=64, gt=0, description="most tokens of an answer in such a look")
    health: HealthLimits = Field(default_factory=HealthLimits, description="when the training is stopped as unhealthy")

    def identity(self) -> dict[str, Any]:
        # how the work is cut and kept changes no result beyond rounding; what it may cost ends it or doesn't
        how = {"max_tokens", "packing", "gradient_checkpointing", "compile", "checkpoint_every"}
        how |= {"max_hours", "max_amount", *(() if self.on else ("on",))}
        how |= {"rollouts"} if self.rollouts == "own" else set()  # what draws decides which answers are drawn
        return {name: value for name, value in super().identity().items() if name not in how}

    @field_validator("loss", "reward", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _nothing_ignored(self) -> "Phase":
        method = METHODS[self.method]
        given = self.model_fields_set
        for name in sorted(given & SPECIAL - method.fields - {"loss"}):
            takers = [other for other, one in METHODS.items() if name in one.fields]
            raise ValueError(f"method {self.method!r} ignores {name}, which is for {', '.join(takers)}: take it out")
        self._check_losses(method)
        self._check_drawing(method)
        self._check_online(method)
        if self.adapter == "full" and "lora" in given:
            raise ValueError('adapter "full" ignores lora: take the table out, or choose an adapter')
        if "probe_every" in given and self.probe_every == 0 and given & {"probe_prompts", "probe_tokens"}:
            raise ValueError("probe_every = 0 ignores probe_prompts and probe_tokens: take them out")
        return self

    def pairs_of(self, steps: int) -> int:
        """Pairs that so many steps take: answers that serve several steps are to the same prompts; of others some are
        held out, or yield nothing to train on."""
        return math.ceil(self.rows_of(steps) / self.used_share - _ROUNDING)

    def rows_of(self, steps: int) -> int:
        """Rows that so many steps are trained on."""
        return -(-steps // self.epochs) * self.batch_size

    def steps_of(self, pairs: int) -> int:
        """Steps that so many pairs fill, whole batches only; not more than the recipe wants."""
        used = math.floor(pairs * self.used_share + _ROUNDING)
        return min(self.max_steps, used // self.batch_size * self.epochs)

    @property
    def used_share(self) -> float:
        """The share of the pairs that a plan counts on for the steps."""
        match self.method:
            case "reward":
                return 1 - self.reward_holdout
            case "reject":
                return 1 / self.draw_factor
            case _:
                return 1.0

    @property
    def trained(self) -> "Phase":
        """The phase that trains: of ``reject`` what it does with the answers it has drawn, else itself."""
        if self.method != "reject":
            return self
        fields = METHODS[self.train_as].fields
        same = {name: getattr(self, name) for name in self.model_fields_set - SPECIAL | self.model_fields_set & fields}
        return Phase.model_validate({**same, "method": self.train_as})

    def _check_drawing(self, method: Method) -> None:
        given = self.model_fields_set
        if method.draws and not self.reward:
            raise ValueError(f'method {self.method!r} learns from rewards: set reward, as in reward = ["not_refused"]')
        if self.watch is not None and self.probe_every == 0:
            raise ValueError("probe_every = 0 ignores watch, which looks at the same answers: take one of them out")
        if self.watch is not None and self.reward == (self.watch,):
            raise ValueError(f"watch {self.watch!r} is the trained reward, which is looked at anyway: take it out")
        if len(set(self.reward)) < len(self.reward):
            raise ValueError(f"reward names one twice: {', '.join(self.reward)}")
        if self.reward_weights and len(self.reward_weights) != len(self.reward):
            raise ValueError(f"{len(self.reward_weights)} reward_weights for {len(self.reward)} rewards: one each")
        if self.method == "reject" and self.train_as == "sft" and (ignored := given & _DPO_ONLY):
            raise ValueError(f'train_as "sft" ignores {", ".join(sorted(ignored))}: take it out, or train_as "dpo"')

    def _check_online(self, method: Method) -> None:
        if self.method == "reward" and self.adapter == "qlora":
            raise ValueError(
                'method "reward" leaves a whole model, which weights of four bits are none of: take adapter = "lora"'
            )
        if self.rollouts == "vllm" and self.adapter == "qlora":
            raise ValueError(
                'rollouts = "vllm" hands over weights as they are, and adapter "qlora" has them in four bits: '
                "take one out"
            )
        if method.online and self.lora.dropout:
            raise ValueError(
                f"method {self.method!r} compares the policy with itself, token by token, which lora.dropout = "
                f"{self.lora.dropout:g} would blur: take it out"
            )

    @property
    def trained_answers(self) -> int:
        """Of the answers drawn to a prompt, those that are trained on."""
        return 2 if METHODS[self.method].ranks else self.group_size

    def tokens_at_once(self, *, accelerator: bool) -> int:
        """``max_tokens``, or what suits the device: a CPU is as fast in small parts, which take less memory."""
        return self.max_tokens or (16384 if accelerator else 640)

    def _check_losses(self, method: Method) -> None:
        wrong = [loss for loss in self.loss if loss not in method.losses]
        if wrong and not method.losses:
            raise ValueError(
                f"method {self.method!r} has one loss of its own and ignores loss {wrong[0]!r}: take it out"
            )
        if wrong:
            raise ValueError(f"method {self.method!r} has no loss {wrong[0]!r}, only {', '.join(method.losses)}")
        if len(set(self.loss)) != len(self.loss):
            raise ValueError(f"losses repeat: {list(self.loss)}")
        if len(self.loss) > 1 and self.method != "dpo":
            raise ValueError(f"method {self.method!r} takes one loss, not {len(self.loss)}")
        if self.loss_weights and len(self.loss_weights) != len(self.losses):
            raise ValueError(f"{len(self.loss_weights)} loss_weights for {len(self.losses)} losses")
        if self.method == "dpo":
            self._check_dpo()

    def _check_dpo(self) -> None:
        given = self.model_fields_set
        if "label_smoothing" in given and not _SMOOTHED & set(self.losses):
            raise ValueError(
                f"loss {', '.join(self.losses)} ignores label_smoothing, which is for {', '.join(sorted(_SMOOTHED))}"
            )
        if "exo_pair" in self.losses and not self.label_smoothing > 0:
            raise ValueError("the loss 'exo_pair' needs label_smoothing above 0; its paper takes 0.001")
        if "discopop_tau" in given and "discopop" not in self.losses:
            raise ValueError(f"loss {', '.join(self.losses)} ignores discopop_tau, which is for discopop")
        if self.losses == ("sft",):
            raise ValueError("loss 'sft' alone makes no use of preferences: write method = \"sft\"")

    @property
    def needs_truth(self) -> bool:
        """Whether a reward compares answers with a row's ``truth``: then only rows with one are trained on."""
        return not NEED_TRUTH.isdisjoint(self.reward)

    @property
    def needs_model(self) -> bool:
        """Whether a reward is the model that a phase before it trains."""
        return MODEL in self.reward

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that are trained; the method's first where none is named."""
        return self.loss or METHODS[self.method].losses[:1]


__all__ = ["METHODS", "MODEL", "NEED_TRUTH", "HealthLimits", "LoraSpec", "Method", "Phase", "RewardName"]
