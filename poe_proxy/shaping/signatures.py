"""A tool as a short signature, which a bot that is taught reads in place of its JSON schema.

    get_weather(city: string, unit?: "c"|"f" = "c", days?: integer(1..7)): The weather of a city.
      - city: Its name in English
      - days: How many

Types are those of TypeScript, in which models are taught tools elsewhere, too (OpenAI's harmony
format: https://developers.openai.com/cookbook/articles/openai-harmony). What is told of a schema:
types, what is required, enumerations and constants, defaults, bounds, formats, descriptions and
examples; nested objects in their place, references resolved. A schema that says what a signature
cannot is told as it is, and so is one that is shorter: conditions, patterns of names, recursion,
deep nesting. Nothing else is left out but long defaults and examples, titles that repeat a name,
and the ends of very long descriptions, which are marked.

The same tool always gives the same text. Names and descriptions come from strangers: each name is
one word or a JSON string, a description keeps to lines that are indented, and nothing in them is
a tag of a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from poe_proxy.chat import Tool
from poe_proxy.shaping.loose_json import write
from poe_proxy.shaping.signature_words import (
    between,
    bounds,
    in_json,
    is_number,
    limits_of_text,
    prose,
    word,
)

#: The most characters of a tool's description, and of that of an argument.
MAX_DESCRIPTION: Final = 8_000
MAX_NOTE: Final = 2_000
#: The most parts of a schema that are read, each as often as it is referred to; and how deep.
MAX_PARTS: Final = 1_000
MAX_DEPTH: Final = 16
#: A signature may have so many characters even if the schema is shorter.
_SHORT: Final = 400
#: The most characters of a default, of examples, of a name, and of a branch that is named.
LONG: Final = 100
_LONG_NAME: Final = 200
#: The most types that a value may have by name.
_KINDS: Final = 10

#: Keywords that a signature cannot say.
_UNSAYABLE: Final = frozenset(
    {
        "patternProperties", "propertyNames", "if", "then", "else", "not", "contains",
        "minContains", "maxContains", "dependentRequired", "dependentSchemas", "dependencies",
        "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "extends",
        "disallow",
    }
)  # fmt: skip
#: Those that it cannot say of all arguments together.
_UNSAYABLE_AT_THE_ROOT: Final = frozenset(
    {"const", "enum", "anyOf", "oneOf", "minProperties", "maxProperties"}
)
#: Keywords that are about people, not about values.
_ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly", "discriminator", "$comment", "$schema", "$id", "id", "$anchor", "$defs",
        "definitions",
    }
)  # fmt: skip
#: A keyword that only values of one type have, for schemas that name none.
_TELLING: Final = {
    "properties": "object", "additionalProperties": "object", "required": "object",
    "items": "array", "prefixItems": "array", "minItems": "array", "maxItems": "array",
    "pattern": "string", "format": "string", "minLength": "string", "maxLength": "string",
    "minimum": "number", "maximum": "number", "exclusiveMinimum": "number",
    "exclusiveMaximum": "number", "multipleOf": "number",
}  # fmt: skip


_KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")


class _Unsayable(Exception):
    """A signature cannot say it."""


def signature(tool: Tool, breathe: Callable[[], None]) -> str:
    """Return what a bot reads of *tool*; *breathe* is called in between.

    Raises `ValueError` for a schema that is no JSON.
    """
    schema = tool.schema or {}
    full = write(schema)
    breathe()
    described = prose(tool.description or "", MAX_DESCRIPTION)
    reader = _Reader(schema, max(len(full), _SHORT), breathe)
    try:
        head, notes = word(tool.name) + reader.arguments(tool.description or ""), reader.notes()
    except _Unsayable:
        head = f"{word(tool.name)}(arguments by the JSON schema below)"
        notes = iter((in_json(full),))
    lines = [f"{head}: {described}" if described else head, *(f"  {one}" for one in notes)]
    # Half of a surrogate pair cannot be sent.
    return "\n".join(lines).encode(errors="replace").decode()


class _Reader:
    """Reads one schema. Its methods raise `_Unsayable`."""

    def __init__(self, root: Mapping[str, Any], most: int, breathe: Callable[[], None]) -> None:
        self._root = root
        self._breathe = breathe
        #: How many characters, keys and parts there may still be.
        self._characters = self._keys = most
        self._parts = MAX_PARTS
        #: The references within which we are.
        self._open: list[str] = []
        #: What is said of each argument below the signature; empty if nothing is.
        self._notes: list[str] = []

    def arguments(self, described: str) -> str:
        """Return the arguments, in parentheses; the tool is *described* elsewhere."""
        node = self._resolved(self._root)
        if "object" not in _kinds({"type": "object", **node}):
            raise _Unsayable
        if not _UNSAYABLE_AT_THE_ROOT.isdisjoint(node):
            raise _Unsayable
        if node.get("description"):
            self._note("", node, name=described)
        members = self._members(node, "", 0)
        if not members and node.get("additionalProperties") is True:
            members = "[key: string]: any"
        return f"({members})"

    def notes(self) -> Iterator[str]:
        """Yield the lines below the signature."""
        return filter(None, self._notes)

    def _spend(self, text: str) -> str:
        """Return *text*, unless that would be more than there may be."""
        self._characters -= len(text)
        if self._characters < 0:
            raise _Unsayable
        return text

    def _literal(self, value: Any) -> str:
        try:
            return self._spend(in_json(write(value)))
        except ValueError:
            raise _Unsayable from None

    # ---- references

    def _resolved(self, node: Any) -> dict[str, Any]:
        """Return *node* with all that it refers to, as one schema without references."""
        self._parts -= 1
        self._breathe()
        if not isinstance(node, Mapping) or self._parts < 0:
            raise _Unsayable
        merged: dict[str, Any] = {}
        self._merge(merged, node)
        while "$ref" in merged or "allOf" in merged:
            parts: list[Any] = []
            if "$ref" in merged:
                parts.append(self._target(merged.pop("$ref")))
            if "allOf" in merged:
                also = merged.pop("allOf")
                parts += also if isinstance(also, list) else [also]
            self._parts -= len(parts)
            if self._parts < 0:
                raise _Unsayable
            for part in parts:
                self._merge(merged, part)
        if not _UNSAYABLE.isdisjoint(merged):
            raise _Unsayable
        return merged

    def _merge(self, into: dict[str, Any], part: Any) -> None:
        """Add what *part* says to *into*: a value must fit both."""
        if part is True:
            return
        if not isinstance(part, Mapping):
            raise _Unsayable
        self._count(part)
        for key, value in part.items():
            if value is None and key not in ("const", "default"):
                continue
            if key in ("unevaluatedProperties", "unevaluatedItems") and isinstance(value, bool):
                continue
            if key == "propertyNames" and value == {"type": "string"}:  # as all names are
                continue
            if key in _ANNOTATIONS:
                into.setdefault(key, value)
            elif key == "properties" and isinstance(value, Mapping):
                known = into.setdefault(key, {})
                if not known.keys().isdisjoint(value):
                    raise _Unsayable
                self._count(value)
                known.update(value)
            elif key == "required" and isinstance(value, list):
                into[key] = [*into.get(key, ()), *value]
            elif key not in into:
                into[key] = value
            elif isinstance(value, dict | list) or into[key] != value:
                raise _Unsayable

    def _count(self, keys: Mapping[str, Any]) -> None:
        self._keys -= len(keys)
        if self._keys < 0:
            raise _Unsayable

    def _target(self, reference: Any) -> Any:
        """Return what *reference* leads to, within this schema."""
        if not isinstance(reference, str) or reference in self._open:
            raise _Unsayable  # a schema within itself
        self._open.append(reference)
        start, *steps = reference[:_LONG_NAME].split("/")
        if start != "#" or len(reference) > _LONG_NAME:
            raise _Unsayable
        found: Any = self._root
        for step in steps:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise _Unsayable
        return found

    # ---- types

    def _type(self, given: Any, path: str, depth: int) -> tuple[str, dict[str, Any]]:
        """Return the type of the value at *path*, and its schema without references."""
        options, node = self._options(given, path, depth)
        return "|".join(options), node

    def _options(self, given: Any, path: str, depth: int) -> tuple[list[str], dict[str, Any]]:
        if depth > MAX_DEPTH:
            raise _Unsayable
        if given is True:
            given = {}
        is_open = len(self._open)
        node = self._resolved(given)
        options = dict.fromkeys(self._alternatives(node, path, depth))
        if node.get("nullable") is True:
            options["null"] = None
        del self._open[is_open:]
        return list(options), node

    def _alternatives(self, node: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
        choices = [key for key in ("const", "enum", "anyOf", "oneOf") if key in node]
        if len(choices) > 1:
            raise _Unsayable
        match choices:
            case ["const"]:
                yield self._literal(node["const"])
            case ["enum"]:
                if not isinstance(node["enum"], list) or not node["enum"]:
                    raise _Unsayable
                yield from map(self._literal, node["enum"])
            case [key]:
                yield from self._branches(node, node[key], path, depth)
            case _:
                kinds = _kinds(node)
                for kind in kinds:
                    yield self._of_kind(kind, node, path, depth)

    def _branches(
        self, node: Mapping[str, Any], branches: Any, path: str, depth: int
    ) -> Iterator[str]:
        beside = node.keys() - _ANNOTATIONS - {"anyOf", "oneOf", "nullable"}
        if not isinstance(branches, list) or not branches or beside - {"type"}:
            raise _Unsayable
        others = [one for one in branches if one != {"type": "null"}]
        for number, branch in enumerate(branches, 1):
            if beside and isinstance(branch, Mapping):
                branch = {"type": node["type"], **branch}
            place = self._place()
            text, read = self._type(branch, path, depth + 1)
            form = text if len(text) <= LONG else f"form {number}"
            self._note(path if len(others) == 1 else f"{path} ({form})", read, place)
            yield text

    def _of_kind(self, kind: str, node: Mapping[str, Any], path: str, depth: int) -> str:
        match kind:
            case "object":
                text = self._object(node, path, depth)
                limits = [between(node, "Properties", "keys")]
            case "array":
                text = self._array(node, path, depth)
                limits = [between(node, "Items", "items")]
                limits.append("unique" if node.get("uniqueItems") is True else "")
            case "string":
                if len(str(node.get("pattern", ""))) > _LONG_NAME:
                    raise _Unsayable
                text, limits = kind, list(limits_of_text(node))
            case "number" | "integer":
                text, limits = kind, [bounds(node)]
                if is_number(step := node.get("multipleOf")):
                    limits.append(f"multiple of {write(step)}")
            case _:
                return self._spend(kind)
        told = ", ".join(filter(None, limits))
        return self._spend(f"{text}({told})" if told else text)

    def _object(self, node: Mapping[str, Any], path: str, depth: int) -> str:
        members = self._members(node, path, depth)
        return f"{{{members}}}" if members else "object"

    def _members(self, node: Mapping[str, Any], path: str, depth: int) -> str:
        properties = node.get("properties", {})
        required = node.get("required", [])
        if not isinstance(properties, Mapping):
            raise _Unsayable
        needed = {one: None for one in required if isinstance(one, str)} if required else {}
        members: list[str] = []
        for name, given in properties.items():
            at = self._name(name)
            where = f"{path}.{at}" if path else at
            place = self._place()
            options, read = self._options(given, where, depth + 1)
            self._note(where, read, place, name)
            mark = "" if name in needed or read.get("required") is True else "?"
            if mark and read.get("default", "") is None:
                # Null is the same as to leave it out.
                options = [one for one in options if one != "null"] or options
            members.append(self._spend(f"{at}{mark}: ") + "|".join(options) + self._default(read))
        members += [f"{self._name(one)}: any" for one in needed if one not in properties]
        others = node.get("additionalProperties")
        if others is True and members:
            members.append("[key: string]: any")
        elif isinstance(others, Mapping):
            text, read = self._type(others, f"{path}[key]", depth + 1)
            self._note(f"{path}[key]", read)
            members.append(f"[key: string]: {text}")
        return ", ".join(members)

    def _array(self, node: Mapping[str, Any], path: str, depth: int) -> str:
        items, first = node.get("items"), node.get("prefixItems")
        if isinstance(items, list):  # before draft 2020-12
            items, first = node.get("additionalItems"), items
        more = ""
        if isinstance(items, Mapping):
            place = self._place()
            options, read = self._options(items, f"{path}[]", depth + 1)
            self._note(f"{path}[]", read, place)
            more = f"({'|'.join(options)})[]" if len(options) > 1 else f"{options[0]}[]"
        if first is None:
            return more or "any[]"
        if not isinstance(first, list):
            raise _Unsayable
        parts = []
        for number, one in enumerate(first):
            text, read = self._type(one, f"{path}[{number}]", depth + 1)
            self._note(f"{path}[{number}]", read)
            parts.append(text)
        return f"[{', '.join([*parts, f'...{more}'] if more else parts)}]"

    # ---- what stands beside types

    def _name(self, name: Any) -> str:
        if not isinstance(name, str) or len(name) > _LONG_NAME:
            raise _Unsayable
        return self._spend(word(name))

    def _default(self, node: Mapping[str, Any]) -> str:
        if node.get("default") is None:
            return ""
        text = self._literal(node["default"])
        return f" = {text}" if len(text) <= LONG else ""

    def _place(self) -> int:
        """Keep a line free for what is said of a value, above what is said of its parts."""
        self._notes.append("")
        return len(self._notes) - 1

    def _note(
        self, path: str, node: Mapping[str, Any], place: int | None = None, name: str = ""
    ) -> None:
        """Say what people are told of the value at *path*."""
        told = node.get("description")
        if not told and " " in str(title := node.get("title"))[:_LONG_NAME]:
            told = title  # of one word it is the name of a class
        if not isinstance(told, str) or _letters(told) in ("", _letters(name)):
            told = ""
        pieces = [prose(told, MAX_NOTE)] if told else []
        if examples := ", ".join(self._examples(node)):
            pieces.append(f"(for example {examples})")
        if node.get("deprecated") is True:
            pieces.append("(deprecated)")
        if not pieces:
            return
        if place is None:
            place = self._place()
        said = " ".join(pieces)
        self._notes[place] = self._spend(f"- {path}: {said}" if path else said)

    def _examples(self, node: Mapping[str, Any]) -> Iterator[str]:
        given = node.get("examples", [node["example"]] if "example" in node else [])
        left = LONG
        for one in given[:3] if isinstance(given, list) else ():
            text = self._literal(one)
            left -= len(text)
            if left >= 0:
                yield text


def _kinds(node: Mapping[str, Any]) -> list[str]:
    """Return the types that *node* names, or those that its keywords are about."""
    given = node.get("type")
    if given is None:
        return list(dict.fromkeys(_TELLING[key] for key in node if key in _TELLING)) or ["any"]
    kinds = [
        one.lower() if isinstance(one, str) else ""
        for one in (given[: _KINDS + 1] if isinstance(given, list) else [given])
    ]
    if not 0 < len(kinds) <= _KINDS or not all(map(_KIND.fullmatch, kinds)):
        raise _Unsayable
    return kinds


def _letters(text: str) -> str:
    """Return the letters in the beginning of *text*, by which a title is known to repeat a name."""
    return "".join(filter(str.isalnum, text[:MAX_NOTE])).casefold()
