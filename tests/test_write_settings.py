"""What `make docs` writes of a setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from docs import write_settings
from poe_proxy.environment import as_pairs, number, parsed, setting, whole_number

ONS = " ".join(["on"] * 40)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Settings of this test alone."""

    share: float = setting(
        "SHARE", number, default=0.25, heading="New", meaning="A share: `a|b`.", alias="PART"
    )
    labels: Mapping[str, str] = setting(
        "LABELS", parsed(as_pairs), default={"a": "b", "c": "d"}, meaning="Labels.", example="x=y"
    )
    mode: int = setting(
        "MODE", whole_number, needed=True, meaning="How.", values={"0": "off", "1": ONS}
    )


def test_env_example_has_a_comment_and_a_line_for_each_setting() -> None:
    """The line is at the default, and a comment unless it is needed; long comments are wrapped."""
    assert f"""\
# ---- New

# A share: `a|b`. `PART` is the same setting.
#SHARE=0.25

# Labels.
#   LABELS=x=y
#LABELS=a=b,c=d

# How.
#   0  off
#   1  {ONS[: 3 * 31 - 1]}
#      {ONS[3 * 31 :]}
MODE=
""" == write_settings.env_example(Declared).partition("as a table.\n\n")[2]


def test_the_table_has_a_row_for_each_setting() -> None:
    """It takes the place of the one that stood there; a bar in a cell does not end it."""
    old = "Before.\n\n<!-- settings -->\nold\n\n<!-- end of settings -->\n\nBehind.\n"

    assert f"""\
Before.

<!-- settings -->
| Setting | Default | Meaning |
| --- | --- | --- |
| `SHARE` | `0.25` | A share: `a\\|b`. `PART` is the same setting. |
| `LABELS` | `a=b,c=d` | Labels. Example: `x=y`. |
| `MODE` | needed | How. `0`: off; `1`: {ONS}. |

<!-- end of settings -->

Behind.
""" == write_settings.page(old, Declared)


@pytest.mark.parametrize("mark", ["<!-- settings -->", "<!-- end of settings -->"])
def test_a_page_without_a_mark_is_not_written(mark: str) -> None:
    """A table that has no place would be left out in silence otherwise."""
    page = "<!-- settings -->\n\n<!-- end of settings -->\n".replace(mark, "")

    with pytest.raises(ValueError, match="unpack"):
        write_settings.page(page)
