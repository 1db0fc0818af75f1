"""SIGTERM and SIGUSR1 ask a training to end: it keeps a checkpoint of the last whole step and goes."""

import signal
from typing import Any, Protocol


class Asked(Protocol):
    """Called, says whether the training should end now; ``received`` says by whose word."""

    received: str | None

    def __call__(self) -> bool: ...


class EndRequests:
    """Whether a signal has asked the process to end."""

    def __init__(self) -> None:
        self.received: str | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: Any) -> None:
        self.received = signal.Signals(number).name

    def __call__(self) -> bool:
        return self.received is not None
