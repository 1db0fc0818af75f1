"""Cutting a step's pairs into parts that fit the memory, and weighing each part so that the step stays what it was.

A step is ``batch_size`` pairs, whatever the memory: the recipe's learning rate means that. A part is what goes through
the model at once, at most ``max_tokens`` tokens of it. Pure.
"""

from collections.abc import Sequence

# losses that look at all pairs of a batch together: half a batch is another loss
COUPLED = frozenset({"aot", "aot_unpaired"})
# losses that are a mean over tokens, where the others are a mean over pairs
BY_TOKENS = frozenset({"sft"})


def split(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices of pairs in parts of at most ``max_tokens`` tokens (or one pair). Pure first fit, longest first, so that
    pairs of like length come together.

    Args:
        lengths: tokens of each pair.
    """
    found: list[list[int]] = []
    rooms: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for number, room in enumerate(rooms):
            if lengths[index] <= room:
                found[number].append(index)
                rooms[number] -= lengths[index]
                break
        else:
            found.append([index])
            rooms.append(max_tokens - lengths[index])
    return [sorted(part) for part in found]


def shares(losses: Sequence[str], pairs: tuple[float, float], tokens: tuple[float, float]) -> list[float]:
    """What each loss of a part counts in its step, so that the parts' sum is the step's loss.

    Args:
        losses: loss types, as in TRL's ``loss_type``.
        pairs: of the part and of the whole step; a fraction of processes where there are several.
        tokens: chosen answers' tokens, likewise.
    """
    by_pairs, by_tokens = pairs[0] / pairs[1], tokens[0] / max(tokens[1], 1.0)
    return [by_tokens if loss in BY_TOKENS else by_pairs for loss in losses]
