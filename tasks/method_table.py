"""The table of methods: what each is, which losses and fields it takes, what it makes. A row is a way to train."""

from typing import Literal, NamedTuple

MethodName = Literal[
    "dpo", "kto", "sft", "orpo", "cpo", "simpo", "ppo", "grpo", "rloo", "online_dpo", "reject", "reward"
]  # fmt: skip
RewardName = Literal["exact_number", "json_schema", "unit_tests", "safety", "not_refused", "length_penalty", "model"]
MODEL = "model"  # the reward that an earlier phase of method "reward" trained
NEED_TRUTH = frozenset({"exact_number", "json_schema", "unit_tests", "safety"})  # they compare with a row's `truth`
Loss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sigmoid_norm", "sft",
    "kto", "apo_zero_unpaired",
]  # fmt: skip

_DPO = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sigmoid_norm", "sft",
)  # fmt: skip


class Method(NamedTuple):
    """A way to train: its losses, the fields it takes beside those all take, whether it holds to a reference."""

    what: str
    losses: tuple[str, ...]
    fields: frozenset[str]
    reference: bool
    packed: bool = False
    labels: Literal["all", "good", "none"] = "none"  # unpaired ones it learns from (tasks/trainable.py)
    fused: bool = False  # its loss scores tokens in tiles and keeps no logits (TRL's fused head, or ours)
    online: bool = False  # it draws answers to the pairs' prompts while it trains, and learns from their rewards
    draws: bool = False  # it draws answers, while it trains or before
    ranks: bool = False  # it trains on the best and the worst of a prompt's answers, as a pair
    makes: Literal["candidate", "reward"] = "candidate"  # a reward model is no candidate: later phases learn from it


_DRAWING = frozenset(
    {"beta", "reward", "reward_weights", "group_size", "max_new_tokens", "temperature", "max_tokens", "rollouts"}
)
_ONLINE = _DRAWING | {"clip", "epochs", "watch"}

METHODS: dict[str, Method] = {
    "dpo": Method(
        "direct preference optimisation (arXiv 2305.18290) and its family, one loss or a weighted sum",
        _DPO,
        frozenset({"beta", "loss_weights", "label_smoothing", "discopop_tau", "max_tokens", "packing"}),
        reference=True,
        packed=True,
        fused=True,
    ),
    "kto": Method(
        "Kahneman-Tversky optimisation (arXiv 2402.01306) on unpaired labels; a pair is two",
        ("kto", "apo_zero_unpaired"),
        frozenset({"beta", "desirable_weight", "undesirable_weight"}),
        reference=True,
        labels="all",
        fused=True,
    ),
    "sft": Method(
        "supervised fine-tuning on the chosen answers, and on those of good labels",
        (),
        frozenset(),
        reference=False,
        labels="good",
        fused=True,
    ),
    "orpo": Method("odds ratio preference optimisation (arXiv 2403.07691)", (), frozenset({"beta"}), reference=False),
    "cpo": Method(
        "contrastive preference optimisation (arXiv 2401.08417)",
        ("sigmoid", "hinge", "ipo"),
        frozenset({"beta", "cpo_alpha"}),
        reference=False,
    ),
    "simpo": Method("SimPO (arXiv 2405.14734)", (), frozenset({"beta", "simpo_gamma"}), reference=False),
    "ppo": Method(
        "proximal policy optimisation (arXiv 1707.06347) on its own answers: value head, GAE, adaptive divergence",
        (),
        _ONLINE | {"kl_target", "gae_lambda"},
        reference=True,
        fused=True,
        online=True,
        draws=True,
    ),
    "grpo": Method(
        "group relative policy optimisation (arXiv 2402.03300) on its own answers",
        (),
        _ONLINE,
        reference=True,
        fused=True,
        online=True,
        draws=True,
    ),
    "rloo": Method(
        "REINFORCE leave-one-out (arXiv 2402.14740) on its own answers",
        (),
        _ONLINE,
        reference=True,
        fused=True,
        online=True,
        draws=True,
    ),
    "reject": Method(
        "rejection sampling: the best of several drawn answers become SFT examples, or with the worst DPO pairs",
        (),
        _DRAWING | {"train_as", "max_kept", "min_gap", "draw_factor", "packing"},
        reference=True,
        fused=True,
        draws=True,
    ),
    "reward": Method(
        "a reward model (Bradley-Terry, arXiv 2203.02155), which later phases draw on; makes no candidate",
        (),
        frozenset({"reward_holdout", "reward_floor", "center_rewards"}),
        reference=False,
        fused=True,  # its head is one number wide
        makes="reward",
    ),
    "online_dpo": Method(
        "online direct preference optimisation (arXiv 2402.04792): the best of its own answers over the worst",
        (),
        _ONLINE - {"clip"},
        reference=True,
        fused=True,
        online=True,
        draws=True,
        ranks=True,
    ),
}
# what only some methods or losses take; every other field is for all
SPECIAL = frozenset().union(*(method.fields for method in METHODS.values()), {"loss"})
