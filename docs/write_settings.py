"""Writes `.env.example` and the table in `docs/settings.md` from what `Settings` declares.

`make docs` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from textwrap import wrap
from typing import Any

from poe_proxy.environment import Setting, declared
from poe_proxy.settings import Settings

ROOT = Path(__file__).parents[1]

_WIDTH = 100

_BEGIN = "<!-- settings -->\n"
_END = "\n<!-- end of settings -->\n"

_HEAD = """\
# poe-proxy: all settings. Copy this file to .env, fill in the two lines that are open, and
# start with `make run`.
#
# A line that begins with # is at its default: remove the # to change it. A blank value counts
# as not set. A variable of the environment wins over this file. Any setting can also be read
# from a file: TOKENS_FILE=/run/secrets/tokens is TOKENS with the text of that file, in which a
# list may have a line for each item.
#
# `make docs` writes this file; docs/settings.md has the same list as a table.
"""


def env_example(settings: type = Settings) -> str:
    """Return the text of `.env.example`: every setting with its meaning, at its default."""
    parts = [_HEAD]
    for field, one in declared(settings):
        if one.heading:
            parts.append(f"# ---- {one.heading}\n")
        line = f"{'' if one.needed else '#'}{one.name}={default_of(field)}"
        parts.append("\n".join([*_comment(one), line, ""]))
    return "\n".join(parts)


def page(text: str, settings: type = Settings) -> str:
    """Return *text*, that of `docs/settings.md`, with today's table between its two marks."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    rows = ["| Setting | Default | Meaning |", "| --- | --- | --- |", *_rows(settings)]
    return before + _BEGIN + "".join(f"{row}\n" for row in rows) + _END + after


def default_of(field: Field[Any]) -> str:
    """Return the default of a field as it would be written in a `.env`."""
    if field.default_factory is not MISSING:
        return _written(field.default_factory())
    return _written(field.default)


def _written(value: object) -> str:
    match value:
        case _ if value is MISSING or value is None:
            return ""
        case bool():
            return str(int(value))
        case float() if value.is_integer():
            return str(int(value))
        case tuple():
            return ",".join(value)
        case Mapping():
            return ",".join(f"{key}={name}" for key, name in value.items())
    return str(value)


def _comment(one: Setting) -> Iterator[str]:
    yield from _wrapped(_meaning(one), "# ", "# ")
    for value, meaning in one.values.items():
        yield from _wrapped(meaning, f"#   {value}  ", "#      ")
    if one.example:
        yield f"#   {one.name}={one.example}"


def _rows(settings: type) -> Iterator[str]:
    for field, one in declared(settings):
        default = default_of(field)
        meaning = _meaning(one)
        if one.values:
            values = (f"`{value}`: {meaning}" for value, meaning in one.values.items())
            meaning += f" {'; '.join(values)}."
        if one.example:
            meaning += f" Example: `{one.example}`."
        default = "needed" if one.needed else f"`{default}`" if default else "none"
        cells = (cell.replace("|", r"\|") for cell in (f"`{one.name}`", default, meaning))
        yield f"| {' | '.join(cells)} |"


def _meaning(one: Setting) -> str:
    alias = f" `{one.alias}` is the same setting." if one.alias else ""
    restart = " A change needs a restart." if one.needs_restart else ""
    return f"{one.meaning}{alias}{restart}"


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def main() -> None:
    (ROOT / ".env.example").write_text(env_example(), "utf-8")
    path = ROOT / "docs" / "settings.md"
    path.write_text(page(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
