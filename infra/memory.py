"""Memory of this process."""

import psutil


def memory_in_use() -> int:
    """Resident bytes."""
    return psutil.Process().memory_info().rss
