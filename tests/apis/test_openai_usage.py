"""OpenAI's usage object."""

from __future__ import annotations

import pytest

from poe_proxy.apis.openai_usage import usage_object
from poe_proxy.chat import Usage


@pytest.mark.parametrize(("total", "told"), [(None, 7), (9, 9), (0, 0)])
def test_the_total_is_poe_s_own_or_the_sum(total: int | None, told: int) -> None:
    """With thoughts it may be more; details are told as they came."""
    details = {"prompt_tokens_details": {"cached_tokens": 1}}

    assert {
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": told, **details,
    } == usage_object(Usage(3, 4, details, total))  # fmt: skip
