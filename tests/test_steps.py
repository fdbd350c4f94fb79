"""The counting of steps: what is linear is known for it, and what is not as well."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from .steps import Counted, grows_linearly

#: Functions of a text that take steps with its square, each in its own way.
SQUARE = {
    "concatenation": """
def read(text):
    held = ""
    for letter in text:
        held += letter
""",
    "concatenation in an attribute": """
class Reader:
    def __init__(self):
        self.held = ""
    def feed(self, piece):
        self.held = self.held + piece
def read(text):
    reader = Reader()
    for letter in text:
        reader.feed(letter)
""",
    "formatting": """
def read(text):
    held = ""
    for letter in text:
        held = f"{held}{letter}"
""",
    "the rest is cut off": """
def read(text):
    while text:
        text = text[1:]
""",
    "partition": """
def read(text):
    while text:
        _, _, text = text.partition("a")
""",
    "searching again": """
def read(text):
    held = []
    for letter in text:
        held.append(letter)
        "x" in "".join(held)
""",
    "finding nothing": """
def read(text):
    at = 0
    while at < len(text):
        at = text.find("x", at) + at + 2
""",
    "a sum of lengths": """
def read(text):
    held = []
    for letter in text:
        held.append(letter)
        sum(map(len, held))
""",
    "looking through a list": """
def read(text):
    seen = []
    for place, _ in enumerate(text):
        if place not in seen:
            seen.append(place)
""",
    "a comprehension": """
def read(text):
    seen = []
    for letter in text:
        seen.append(letter)
        [one for one in seen if one == "x"]
""",
    "taking from the front": """
def read(text):
    letters = list(text)
    while letters:
        letters = [*letters[1:]]
""",
    "a search that begins anew": """
import re
LOOSE = re.compile(r'a(?:[^b])*b')
def read(text):
    LOOSE.search(text)
""",
    "two repeats that overlap": """
import re
def read(text):
    re.fullmatch(r"a*a*b", text)
""",
    "matching to the end at each letter": """
import re
class Reader:
    REST = re.compile(r".*")
def read(text):
    for at in range(len(text)):
        Reader.REST.match(text, at)
""",
    "reading the rest as JSON": """
import json
def read(text):
    for at in range(len(text)):
        try:
            json.loads(text[at:])
        except ValueError:
            pass
""",
}

#: The same jobs, done once for each letter.
LINEAR = {
    "pieces": """
def read(text):
    held = []
    for letter in text:
        held.append(letter)
    "".join(held)
""",
    "a list that grows": """
def read(text):
    held = []
    for letter in text:
        held += [letter]
    (*held, "x")
""",
    "going on where it stopped": """
def read(text):
    at = 0
    while (at := text.find("a", at) + 1):
        text.startswith("ab", at)
""",
    "a set": """
def read(text):
    seen = set()
    for place, _ in enumerate(text):
        if place not in seen:
            seen.add(place)
""",
    "a possessive repeat": """
import re
LOOSE = re.compile(r'(?:[^b"]|"(?:x|y)*+")*+b')
def read(text):
    LOOSE.match(text)
""",
    "short slices": """
def read(text):
    for at in range(0, len(text), 10):
        text[at:at + 10].strip()
""",
    "nested functions": """
def read(text):
    def inner(letter):
        return (lambda one: one.lower())(letter)
    return sum(1 for letter in text if inner(letter) != "x")
""",
}


def reading(source: str) -> tuple[int, int, int] | None:
    counted = Counted(planted=source)
    return grows_linearly(lambda n: counted.of(lambda: counted["planted"].read("a" * n)), 80)


@pytest.mark.parametrize("source", SQUARE.values(), ids=SQUARE)
def test_what_takes_the_square_is_found(source: str) -> None:
    """Whatever it is that goes through all of a text again and again."""
    assert reading(source) is not None


@pytest.mark.parametrize("source", LINEAR.values(), ids=LINEAR)
def test_what_is_linear_is_not_blamed(source: str) -> None:
    """Steps in proportion to the text are all that is asked for."""
    assert reading(source) is None


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("text[10:30]", 20),
        ("text + 'b'", 101),
        ("text.find('x')", 101),
        ("text.find('x', 90)", 11),
        ("text.startswith('aaa')", 3),
        ("'x' in text", 100),
        ("''.join([text, text])", 200 + 2),
        ("re.match('a{3}', text)", 1 + 3),
        ("re.search('x', text)", 101 + 101),
        ("re.fullmatch('(?:a|b)*', text)", 1 + 100 + 1),
    ],
)
def test_a_step_is_a_character_that_is_looked_at(expression: str, steps: int) -> None:
    """The figures are those that one counts by hand."""
    source = f"import re\ndef act(text):\n    {expression}\n"
    counted = Counted(planted=source)

    assert 1 + steps == counted.of(lambda: counted["planted"].act("a" * 100))


def test_the_copying_itself_takes_no_steps() -> None:
    """A copy is made at first use, and what its module does by then is not counted."""
    counted = Counted(planted="def act(text):\n    return text\nact(act('a'))\n")

    assert 1 == counted.of(lambda: counted["planted"].act("a"))


def test_a_copy_works_as_its_module_does() -> None:
    """It uses the copies of others, and the real modules are in their places afterwards."""
    from poe_proxy.shaping import loose_json
    from poe_proxy.shaping.tool_calls import json_body

    names = ("poe_proxy.shaping.loose_json", "poe_proxy.shaping.tool_calls.json_body")
    counted = Counted(*names)
    text = '{"name": "f"}</tool_call>'

    def read(module: Any) -> tuple[int, str]:
        reader = module.JsonBody()
        end = reader.read(text, 0)
        return end, reader.calls("", text[:end])[0].text

    assert read(json_body) == read(counted["json_body"])
    assert counted["json_body"].Nesting is counted["loose_json"].Nesting
    assert counted["loose_json"].Nesting is not loose_json.Nesting
    assert json_body.Nesting is loose_json.Nesting


@pytest.mark.parametrize(
    "pattern",
    [
        "a??b", "a+?b", "(?:ab|a)*?b", "(?:a|ab){2,3}?b", "(?:){2}?b", "a++b", "(?>ab|a)b", "a{2}",
        r"(a+)b\1", r"(?:(a)|b)*\1", r"(a|ab)(b?)\2c", "(a)?(?(1)b|c)", "(a)?(?(1)b)c", "(?!)",
        "a|(?!)", r"\bab\b", r"\Bb", r"a\Z", r"\Ab", "^b$", "(?m)^b$", "(?m)a$", "b$",
        "(?<=a)b", "(?<!a)b", "(?=ab)a", "(?i)AB", "(?s)a.b", "a.b", r"[^a\n]", r"[\d\W]b", "",
    ],
)  # fmt: skip
def test_each_construct_of_patterns_is_tried_as_re_does(pattern: str) -> None:
    """With the same match, or none: the counting looks at that itself."""
    counted = Counted(reading="import re\ndef read(pattern, text):\n    re.search(pattern, text)")
    for length in range(6):
        for letters in product("abc\n", repeat=length):
            counted["reading"].read(pattern, "".join(letters))
    assert counted.steps > 0
