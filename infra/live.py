"""Progress of a running program, live in three places: Prefect's log and progress artifact, MLflow, the terminal."""

import sys
import time
from collections.abc import Callable
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from tqdm import tqdm

from infra.pools.base import OnEvent

OnMetrics = Callable[[dict[str, float], int], None]

_LOG_EVERY = 0.1  # of the whole: a line in the log each tenth, beside the bar that moves all the time


class Live:
    """Handles a program's events; use as a context manager around the run."""

    def __init__(
        self, step: str, on_metrics: OnMetrics | None = None, price: Callable[[float], str] | None = None
    ) -> None:
        self._step = step
        self._price = price
        self._on_metrics = on_metrics
        self._log = get_run_logger()
        self._artifact: Any = None
        self._bar: tqdm[Any] | None = None
        self._began = time.monotonic()
        self._kind = ""
        self._logged = 0.0
        self._since = self._began

    def __enter__(self) -> OnEvent:
        self._artifact = create_progress_artifact(progress=0.0, description=f"{self._step}: share done")
        return self.handle

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def handle(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind in ("metrics", "progress") and kind != self._kind:
            self._start_over(kind)
        match kind:
            case "metrics":
                values = event["values"]
                if self._on_metrics is not None:
                    self._on_metrics(values, event["step"])
                self._show(event["step"], event["total"], self._sentence(values), values.get("seconds_left"))
            case "progress":
                self._show(event["done"], event["total"], event["what"])
            case "log":
                self._log.info("%s: %s", self._step, event["text"])

    def _start_over(self, kind: str) -> None:
        """Another count begins: what is prepared is not counted in what is trained."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._kind, self._logged, self._since = None, kind, 0.0, time.monotonic()

    def _show(self, done: int, total: int, text: str, left: float | None = None) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=total, desc=self._step, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False
            )
        self._bar.update(done - self._bar.n)
        self._bar.set_postfix_str(text)
        share = done / total
        if share >= self._logged + _LOG_EVERY or done == total:
            self._logged = share
            if left is None:
                left = (time.monotonic() - self._since) / done * (total - done)
            self._log.info("%s %d/%d  %s  (%.0f s left)", self._step, done, total, text, left)
            update_progress_artifact(self._artifact, progress=100.0 * share)

    def _sentence(self, values: dict[str, float]) -> str:
        parts = [text.format(values[key]) for key, text in _SHOWN.items() if key in values]
        if self._price is not None:
            parts.append(f"{self._price(time.monotonic() - self._began)} so far")
        return "  ".join(parts)


_SHOWN = {
    "loss": "loss {:.3f}",
    "rewards_margins": "margin {:.3f}",
    "rewards_accuracies": "accuracy {:.2f}",
    "margin": "margin {:.3f}",
    "accuracy": "accuracy {:.2f}",
    "pairs_per_second": "{:.2f} pairs/s",
    "tokens_per_second": "{:.0f} tokens/s",
    "mfu": "MFU {:.0%}",
    "memory_gb": "{:.1f} GB",
}
