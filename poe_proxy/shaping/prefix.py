"""What two texts have in common at their beginning."""

from __future__ import annotations


def common_length(one: str, other: str) -> int:
    """Return the length of the beginning that both have in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        # Only what is not known to be the same: all slices together are as long as the texts.
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
