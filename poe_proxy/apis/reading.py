"""How much one request has brought so far, whichever API it speaks, and what it may still cost."""

from __future__ import annotations

from typing import Any, Final

from poe_proxy.apis.fields import too_many
from poe_proxy.budget import Budget

#: The most messages of a request, and parts and tool calls in all of them.
MAX_MESSAGES: Final = 10_000
MAX_PARTS: Final = 10_000
MAX_CALLS: Final = 10_000


class Reading:
    """The reading of one request. What is counted is counted over all its messages together."""

    def __init__(
        self, budget: Budget, part_types: str = "text, image_url, file and input_audio"
    ) -> None:
        """*part_types* names those of the API, for a refusal; those of all are read."""
        self.budget = budget
        self.part_types = part_types
        self._parts = 0
        self._calls = 0

    def count_parts(self, given: list[Any], path: str) -> None:
        """Count the parts of a content, those within others included; refuse too many."""
        self._parts += len(given)
        if self._parts > MAX_PARTS:
            raise too_many(path, f"The messages of a request may have {MAX_PARTS:,} parts at most.")
        self.budget.breathe()

    def count_calls(self, given: list[Any], path: str) -> None:
        """Count the tool calls of a message; refuse too many."""
        self._calls += len(given)
        if self._calls > MAX_CALLS:
            raise too_many(
                path, f"The messages of a request may have {MAX_CALLS:,} tool calls at most."
            )
        self.budget.breathe()
