"""How `poe-tag-id` is made, found by calling the page's own function for it. Web protocol sheet §6.

The function is called in the sandbox with a form key and a body that nobody else has, and what it
digests is watched: what is left of that beside the two is the salt. Pages have called it with
(MD5 function, form key, body), and with (nonce, form key, body); both are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import orjson

from poe_proxy.upstreams.poe_web.functions import unless_there
from poe_proxy.upstreams.poe_web.graphql import swapped, tag
from poe_proxy.upstreams.poe_web.programs import MAX_VALUE, Program, prelude
from poe_proxy.upstreams.poe_web.site import TAG_ORDERS, Tag, TagForm, TagOrder, TagPart

#: The most characters of a salt.
MAX_SALT: Final = 200
#: The most strings of the function's own text that are tried as the salt.
MAX_LITERALS: Final = 200


@dataclass(frozen=True, slots=True)
class _Call:
    """What the function was called with."""

    nonce: str
    formkey: str
    body: str


#: Neither occurs in the other, nor by chance in a page.
_CALLS: Final = (
    _Call(
        "q7Tz0nV2mKc4Wd9x",
        "5d0c2f8ab94e7361f2a8d03b6c9e4175",
        '{"queryName":"kWvQx1","variables":{"n":1},"extensions":{"hash":"3e"}}',
    ),
    _Call(
        "Ls8bJ1yRf6uHp3Ga",
        "a94e17c3d8f05b2660c1e7d29b3f48da",
        '{"queryName":"ZrYj02","variables":{"m":"two"},"extensions":{"hash":"b7"}}',
    ),
)
#: What our MD5 function returns: 32 different characters, which tell where each one goes.
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"

#: Tells what the function digests and returns for each call, in each way of calling it, as JSON.
#: Beside the MD5 function, all is watched by which code reads the characters of a text.
_VALUE: Final = """
(() => {
  "use strict";
  const name = %s, calls = %s, digits = %s, mostText = %d, mostLiterals = %d, mostInAll = %d;
  if (typeof globalThis[name] !== "function") return JSON.stringify({missing: true});
  let call = null, seen = null, last = null;
  const note = (text) => {
    if (seen === null || text === last || typeof text !== "string") return;
    last = text;
    if (text.length <= mostText && text.includes(call.formkey) && text.includes(call.body) &&
        seen.length < 4 && !seen.includes(text)) seen.push(text);
  };
  const watch = (owner, method, ofThis) => {
    const own = owner[method];
    if (typeof own !== "function") return;
    owner[method] = function (...given) {
      note(ofThis ? this : given[0]);
      return own.apply(this, given);
    };
  };
  const ask = (first) => calls.map((one) => {
    call = one; seen = []; last = null;
    const told = {seen};
    try {
      const result = globalThis[name](first === null ? one.nonce : first, one.formkey, one.body);
      told.result = typeof result === "string" ? result.slice(0, 100) : null;
    } catch (failure) {
      told.failed = failure instanceof Error ? String(failure.message).slice(0, 100) : "it throws";
    }
    seen = null;
    return told;
  });
  const withFunction = ask((text) => { note(text); return digits; });
  for (const one of ["charCodeAt", "codePointAt", "charAt", "at", "split", "slice", "substring",
                     "substr", "concat", "normalize", Symbol.iterator])
    watch(String.prototype, one, true);
  for (const one of ["encodeURIComponent", "encodeURI", "escape", "unescape", "btoa"])
    watch(globalThis, one, false);
  watch(Array, "from", false);
  if (typeof TextEncoder === "undefined") globalThis.TextEncoder = class {
    encode(text) {
      const utf8 = unescape(encodeURIComponent(text));
      return Uint8Array.from({length: utf8.length}, (_, at) => utf8.charCodeAt(at));
    }
  };
  const withNonce = ask(null);
  const literals = [];
  const source = Function.prototype.toString.call(globalThis[name]).slice(0, 60000);
  for (const one of source.matchAll(/"([^"\\\\\\n]{1,40})"|'([^'\\\\\\n]{1,40})'/g)) {
    if (literals.length === mostLiterals) break;
    literals.push(one[1] || one[2]);
  }
  const told = JSON.stringify({withFunction, withNonce, literals});
  return told.length <= mostInAll ? told : JSON.stringify({withFunction, withNonce});
})()
"""


def program(blocks: Sequence[str], functions: Sequence[str], name: str, agent: str) -> Program:
    """Return the program that tells how the page's function of this *name* makes a tag.

    *blocks* are the page's own code; *functions* are that of other scripts, as in
    `formkey_program`; *agent* is what the browser calls itself. What the program ends with is for
    `solve`.
    """
    calls = [{"nonce": one.nonce, "formkey": one.formkey, "body": one.body} for one in _CALLS]
    longest = max(len(one.formkey + one.body + one.nonce) for one in _CALLS) + MAX_SALT
    values = [orjson.dumps(one).decode() for one in (name, calls, _DIGITS)]
    return Program(
        scripts=(prelude(agent), *blocks, *unless_there(functions)),
        value=_VALUE % (*values, longest, MAX_LITERALS, MAX_VALUE),
    )


def solve(answer: str | None) -> Tag | str:
    """Return how the page makes the tag, by what the `program` ended with; None if it could not be
    run because no name was found. If it cannot be told, a sentence that says why."""
    if answer is None:
        return "No script of Poe's names the function that makes the tag (pages.tag_function)."
    try:
        data = orjson.loads(answer) if len(answer) <= MAX_VALUE else None
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        return "What the page's function for the tag does cannot be read."
    if data.get("missing"):
        return "The page has no function of the name by which its scripts make the tag."
    with_function, with_nonce = (_Told.read(data.get(key)) for key in ("withFunction", "withNonce"))
    literals = _texts(data.get("literals"))[:MAX_LITERALS]
    return _by_function(with_function) or _by_nonce(with_nonce, literals)


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of the calls."""

    #: For each call, what was digested, as far as it has form key and body in it.
    seen: tuple[list[str], ...]
    #: For each call, what it returned; empty if that was no text.
    results: tuple[str, ...]
    #: The error of a call that failed.
    failed: str

    @classmethod
    def read(cls, data: Any) -> Self:
        calls = data if isinstance(data, list) else []
        told = [one if isinstance(one, dict) else {} for one in (*calls, *_CALLS)][: len(_CALLS)]
        return cls(
            tuple(_texts(one.get("seen")) for one in told),
            tuple("".join(_texts([one.get("result")])) for one in told),
            "".join(_texts([one.get("failed") for one in told])[:1]),
        )

    @property
    def failure(self) -> str:
        return f"The page's function for the tag fails: {' '.join(self.failed[:100].split())}."


def _texts(data: Any) -> list[str]:
    return [one for one in data if isinstance(one, str)] if isinstance(data, list) else []


def _recipes(told: _Told) -> list[tuple[TagOrder, str]]:
    """Return each order and salt by which something was put together that both calls digested."""
    first, other = (
        {found for text in texts if (found := _taken_apart(text, call))}
        for texts, call in zip(told.seen, _CALLS, strict=True)
    )
    return sorted(first & other)


def _taken_apart(text: str, call: _Call) -> tuple[TagOrder, str] | None:
    """Return order and salt of a text that was digested; None if there is more than a salt."""
    at, key_at = text.find(call.body), text.find(call.formkey)
    if at < 0 or key_at < 0:
        return None
    names: list[TagPart] = ["body", "formkey"]
    if key_at < at:
        names.reverse()
    first, second = ((at, call.body), (key_at, call.formkey))[:: 1 if at < key_at else -1]
    pieces = (
        text[: first[0]],
        text[first[0] + len(first[1]) : second[0]],
        text[second[0] + len(second[1]) :],
    )
    salts = [place for place, piece in enumerate(pieces) if piece]
    if len(salts) > 1 or any(len(piece) > MAX_SALT for piece in pieces):
        return None
    # Without any salt it does not matter where it would be.
    place = salts[0] if salts else 2
    names.insert(place, "salt")
    return cast("TagOrder", tuple(names)), pieces[place]


def _form(digests: Sequence[str], results: Sequence[str]) -> TagForm | None:
    """Return the form in which each of *digests* became the one of *results*."""
    if list(digests) == list(results):
        return "plain"
    return "swapped" if [swapped(one) for one in digests] == list(results) else None


def _by_function(told: _Told) -> Tag | str | None:
    """Return what the calls with a function tell; None if they did not call it."""
    if not any(told.seen):
        return None
    if told.failed:
        return told.failure
    recipes = _recipes(told)
    if len(recipes) != 1:
        return (
            "The page's function for the tag digests more than form key, body and one salt, or "
            "something else each time."
        )
    form = _form([_DIGITS] * len(_CALLS), told.results)
    if form is None:
        return "The page's function for the tag puts its MD5 into an order that is not known."
    order, salt = recipes[0]
    return Tag(salt, form, order)


def _by_nonce(told: _Told, literals: Sequence[str]) -> Tag | str:
    """Return what the calls with a nonce tell."""
    if told.failed:
        return told.failure
    if not all(told.results):
        return "The page's function for the tag returns no text."
    guessed = [(order, salt) for salt in dict.fromkeys(literals) for order in TAG_ORDERS]
    for order, salt in (*_recipes(told), *guessed):
        made = Tag(salt, "plain", order)
        digests = [tag(one.body.encode(), one.formkey, made, made.form) for one in _CALLS]
        if form := _form(digests, told.results):
            return Tag(salt, form, order)
    return (
        "The page's function for the tag gives what is no MD5 of form key, body and a salt that "
        "could be found."
    )
