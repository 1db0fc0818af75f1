"""The base of every error of ours: what is wrong, with its value, and what to do next."""

from infra.redact import redact


class NightshiftError(Exception):
    """An error a person can act on. Passwords in URLs are left out of it: it is logged and shown.

    Args:
        what: one sentence that names the offending value.
        do: the next action, as an imperative sentence.
    """

    def __init__(self, what: str, *, do: str) -> None:
        what, do = redact(what), redact(do)
        super().__init__(f"{what}\n  -> {do}")
        self.what = what
        self.do = do

    def __reduce__(self):  # exceptions with keyword arguments don't pickle by themselves; Prefect pickles them
        return (_rebuild, (type(self), self.what, self.do))


def _rebuild(kind: type[NightshiftError], what: str, do: str) -> NightshiftError:
    return kind(what, do=do)


class UnstableValue(NightshiftError):
    """A value without one canonical form was put into a digest."""


class BadSetting(NightshiftError):
    """An environment setting has an unusable value."""


class StoreError(NightshiftError):
    """An object of the store is missing, damaged, or can't be written."""


class PoolError(NightshiftError):
    """A pool can't run a program, or the program failed."""


class JobEnded(PoolError):
    """A pool's job did not complete.

    Args:
        kind: how it ended, one of ``infra.outcome.Kind``.
    """

    def __init__(self, what: str, *, do: str, kind: str = "failed") -> None:
        super().__init__(what, do=do)
        self.kind = kind


class PoolBusy(PoolError):
    """A pool is down or its queue is too long: the night may go to another."""


class TargetError(NightshiftError):
    """A deployment target can't be asked, pointed or believed."""


class ServerError(NightshiftError):
    """A server of ours can't be started or reached."""


class PriceError(NightshiftError):
    """The price book has no usable price for a device."""


class MeterError(NightshiftError):
    """What a meter wrote can't be used."""


class HardwareError(NightshiftError):
    """The hardware book has no usable figures for an accelerator."""


class NightLocked(NightshiftError):
    """Another night holds this machine's state."""


class LedgerError(NightshiftError):
    """The ledger's chain is broken, or its clock runs backwards."""


class ObjectError(NightshiftError):
    """A named object can't be read or written: its name, its place or the way there is bad."""


class ObjectConflict(ObjectError):
    """What a write was to replace isn't what is there; nothing was written."""


class ObjectChanged(ObjectError):
    """An object is no more in the state that was to be read."""


class SigningError(NightshiftError):
    """A signing key can't be used, or a signed envelope isn't what its signer signed."""


class DependencyError(NightshiftError):
    """A package is not the one that was locked, or the locks contradict each other."""


class SecretFound(NightshiftError):
    """Something in the checkout looks like a secret, or could not be looked at."""
