"""The recipe's ``[harden]``: what is tried where the gate says FAIL or INCONCLUSIVE, and what it may take."""

from pydantic import Field, model_validator

from infra.digest import Record
from tasks.phases import METHODS, Phase


class HardenSpec(Record):
    """Off unless ``on``. Soups first, in their order, then rounds of training (docs/design/harden.md)."""

    on: bool = Field(default=False, description="whether a candidate that didn't pass is hardened the same night")
    soup: tuple[float, ...] = Field(
        default=(), description="shares of the candidate in an average with the champion, each one try: `[0.5]`"
    )
    max_rounds: int = Field(default=1, ge=0, le=8, description="rounds of training on twins; 0: soups only")
    topics: int = Field(default=4, gt=0, description="weakest topics that a round trains on, at most")
    twins: int = Field(default=256, gt=0, description="training twins of a round, at most")
    mix: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="share of a round's rows that are the night's own preferences: it keeps what these taught",
    )
    max_hours: float = Field(default=1.0, gt=0, description="hours that all tries together may hold the pool")
    max_amount: float | None = Field(
        default=None, gt=0, description="money that all tries together may cost; unset: what the night's budget leaves"
    )
    phase: Phase = Field(
        default_factory=lambda: Phase(max_steps=64), description="how a round trains: the keys are those of `phase[]`"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "HardenSpec":
        wrong = [share for share in self.soup if not 0 < share < 1]
        if wrong:
            raise ValueError(f"soup has the share {wrong[0]:g}: of candidate and champion, so it lies between 0 and 1")
        if len(set(self.soup)) != len(self.soup):
            raise ValueError(f"soup names a share twice: {list(self.soup)}")
        if self.on and not self.soup and not self.max_rounds:
            raise ValueError("harden is on and tries nothing: give soup a share, or max_rounds at least 1")
        if METHODS[self.phase.method].makes != "candidate" or self.phase.needs_model:
            raise ValueError(
                f"harden.phase trains or needs a reward model (method {self.phase.method!r}), a round is one phase: "
                "take a method and rewards that need none"
            )
        if elsewhere := [name for name in ("on", "max_hours", "max_amount") if getattr(self.phase, name) is not None]:
            raise ValueError(
                f"harden.phase.{elsewhere[0]} is ignored: a round trains on twins, under harden.max_hours and "
                "harden.max_amount: take it out"
            )
        if self.phase.adapter in ("dora", "full") and self.max_rounds:
            raise ValueError(
                f"harden.phase.adapter {self.phase.adapter!r} can't be joined to the candidate's adapter: "
                "choose lora, rslora or qlora"
            )
        return self

    @property
    def tries(self) -> int:
        """Decisions that a night may spend beside its first one."""
        return len(self.soup) + self.max_rounds if self.on else 0
