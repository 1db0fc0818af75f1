"""Our packages have generic names: refuse to run when one of them comes from somewhere else."""

import importlib.util
from pathlib import Path

from infra.errors import BadSetting
from infra.settings import ROOT

PACKAGES = ("flows", "tasks", "expectations", "infra")


def check_one_root(root: Path = ROOT) -> None:
    """Raise when a package isn't this checkout's.

    Raises:
        BadSetting: names the package and where it was found.
    """
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found != root / name:
            raise BadSetting(
                f"the package {name} is imported from {found}, not from {root / name}",
                do="run `nightshift` from one checkout, without a PYTHONPATH",
            )
