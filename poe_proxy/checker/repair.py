"""An odd schema, read as far as it can be read.

Schemas are written by generators of many kinds, and by hand: in the words of another draft, of
OpenAPI or of a maker of models, with null for what is not there, with references that lead
nowhere. What has an evident meaning is put into the words of draft 2020-12: upper-case and other
names of types, `nullable`, tuples as lists of `items`, the boolean `exclusiveMinimum` and
`required` of drafts 3 and 4, `dependencies`, definitions that stand where the reference does not
look. Null is no keyword at all. What cannot be read is left out; a regular expression that is not
known here takes every text.

So a value that fits the schema fits what is made of it: what is left out takes what depends on it
along. `not` without a part of its schema would forbid more than was meant, `oneOf` would find two
alternatives where one was meant, and `additionalProperties: false` would refuse the names of a
`properties` that is gone. A reference counts as read in part only, because what it leads to may
have been.

The forms: https://json-schema.org/specification (all drafts), OpenAPI 3.0 (`nullable`) and
Gemini's API (names of types in upper case).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from poe_proxy.checker.references import References

#: How people and languages name the types of JSON.
_TYPES: Final[Mapping[str, str]] = {
    name: kind
    for kind, names in {
        "string": ("string", "str", "text"),
        "integer": ("integer", "int", "long"),
        "number": ("number", "float", "double", "decimal"),
        "boolean": ("boolean", "bool"),
        "array": ("array", "list", "tuple", "set"),
        "object": ("object", "dict", "map"),
        "null": ("null", "none"),
    }.items()
    for name in names
}
_ANYTHING: Final = ("any", "mixed", "unknown", "type_unspecified")
_ALL_TYPES: Final = tuple(dict.fromkeys(_TYPES.values()))
#: Keywords of which a value says nothing, and those that would give an address another meaning.
_LEFT_OUT: Final = frozenset(
    ("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary",
     "$comment", "title", "description", "format", "contentEncoding", "contentMediaType",
     "contentSchema", "deprecated", "readOnly", "writeOnly", "examples", "example", "nullable")
)  # fmt: skip
#: Keywords whose value is data, so that null is a value.
_DATA: Final = frozenset(("const", "default"))
#: What an object may have beside a reference in it, in drafts in which a reference stands alone.
_BESIDE: Final = frozenset(("$ref", "$defs", "definitions"))
_OLD_DRAFTS: Final = tuple(f"json-schema.org/draft-0{number}/" for number in (3, 4, 6, 7))
#: Keywords that say something of null too, whatever its type.
_OF_NULL: Final = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "const")
#: Keywords that let an object have properties that are named elsewhere.
_NAMING: Final = frozenset(
    ("$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas")
)
#: The most that is counted: the lengths of what there is are less.
_MOST: Final = 2**31
_LOST: Final = object()


def is_odd(schema: Any) -> bool:
    """Whether *schema* may have something that libraries read, but not as it is meant."""
    pending: list[Any] = [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if one.get("nullable") is True or one.get("enum") == [] or _has_ghosts(one):
                return True
            pending += (below for below in one.values() if isinstance(below, dict | list))
        elif isinstance(one, list):
            pending += (below for below in one if isinstance(below, dict | list))
    return False


def repaired(
    schema: Any, is_readable: Callable[[str], bool], *, references: bool = True
) -> Any | None:
    """Return *schema* in the words of draft 2020-12, as far as it can be read; None if nothing
    of it can be.

    *is_readable* says whether a regular expression is. Without *references*, none is followed.
    """
    repair = _Repair(schema, is_readable, references)
    made = repair.schema(schema)
    if repair.is_loose and (made is True or not _READERS.keys() & made.keys()):
        return None
    return made


def types(given: Any) -> tuple[str, ...] | None:
    """Return the types of JSON that the value of a keyword `type` names; None if that cannot be
    read."""
    names = given.split("|") if isinstance(given, str) else given
    if not isinstance(names, list) or not names:
        return None
    found: dict[str, None] = {}
    for name in names:
        plain = "null" if name is None else str(name).strip().lower()
        if plain in _ANYTHING:
            return _ALL_TYPES
        if plain not in _TYPES:
            return None
        found[_TYPES[plain]] = None
    return tuple(found)


class _Repair:
    """Makes a schema anew, part by part."""

    def __init__(
        self, root: Any, is_readable: Callable[[str], bool], follows_references: bool
    ) -> None:
        #: Whether what was made last may take more than what it was made of.
        self.is_loose = False
        self._is_readable = is_readable
        self._references = References(root) if follows_references else None
        draft = root.get("$schema") if isinstance(root, dict) else None
        self._is_old = isinstance(draft, str) and any(one in draft for one in _OLD_DRAFTS)

    def schema(self, given: Any) -> Any:
        """Return what can be read of a schema."""
        if not isinstance(given, dict):
            self.is_loose = not isinstance(given, bool)
            return True if self.is_loose else given
        made: dict[str, Any] = {}
        loose: set[str] = set()
        alone = self._is_old and isinstance(given.get("$ref"), str)
        for name, below in given.items():
            if name in _LEFT_OUT or (below is None and name not in _DATA):
                continue
            if alone and name in _READERS and name not in _BESIDE:
                continue
            self.is_loose = False
            value = _READERS.get(name, _Repair._unknown)(self, below)
            if value is not _LOST:
                made[name] = value
            if self.is_loose or value is _LOST:
                loose.add(name)
        _modernize(made)
        self._require(given, made)
        _forgive(made, loose)
        if given.get("nullable") is True:
            made = _with_null(made)
        self.is_loose = bool(loose)
        return made

    def _unknown(self, below: Any) -> Any:
        """A keyword that means nothing, but a reference may lead into it."""
        if isinstance(below, list):
            return [self._unknown(one) for one in below]
        made = self.schema(below) if isinstance(below, dict) else below
        self.is_loose = False
        return made

    def _schema_or_tuple(self, below: Any) -> Any:
        return self._each(below) if isinstance(below, list) else self.schema(below)

    def _schemas(self, below: Any) -> Any:
        return self._each(below) if isinstance(below, list) and below else _LOST

    def _each(self, below: list[Any]) -> list[Any]:
        made, loose = [], False
        for one in below:
            made.append(self.schema(one))
            loose |= self.is_loose
        self.is_loose = loose
        return made

    def _by_name(self, below: Any) -> Any:
        if not isinstance(below, dict):
            return _LOST
        return dict(zip(below, self._each(list(below.values())), strict=True))

    def _by_pattern(self, below: Any) -> Any:
        if not isinstance(below, dict):
            return _LOST
        known = {one: rule for one, rule in below.items() if self._is_readable(one)}
        made = self._by_name(known)
        if len(known) == len(below):
            return made
        self.is_loose = True
        # An empty pattern takes every name, so that none is refused as additional.
        return {"": True, **made}

    def _dependencies(self, below: Any) -> Any:
        if not isinstance(below, dict):
            return _LOST
        made, loose = {}, False
        for name, one in below.items():
            made[name] = self._required(one) if isinstance(one, list) else self.schema(one)
            loose |= self.is_loose
        self.is_loose = loose
        return made

    def _required(self, below: Any) -> Any:
        if isinstance(below, bool):  # of the object that has this property, in draft 3
            return []
        if not isinstance(below, list):
            return _LOST
        return list(dict.fromkeys(name for name in below if isinstance(name, str)))

    def _pattern(self, below: Any) -> Any:
        if not isinstance(below, str):
            return _LOST
        self.is_loose = not self._is_readable(below)
        return "" if self.is_loose else below

    def _type(self, below: Any) -> Any:
        found = types(below)
        if found is None:
            return _LOST
        return found[0] if len(found) == 1 else list(found)

    def _data(self, below: Any) -> Any:
        return below

    def _enum(self, below: Any) -> Any:
        return below if isinstance(below, list) and below else _LOST

    def _flag(self, below: Any) -> Any:
        return below if isinstance(below, bool) else _LOST

    def _number(self, below: Any) -> Any:
        return below if _is_number(below) else _LOST

    def _number_or_flag(self, below: Any) -> Any:
        return below if isinstance(below, int | float) else _LOST

    def _divisor(self, below: Any) -> Any:
        return below if _is_number(below) and below > 0 else _LOST

    def _count(self, below: Any) -> Any:
        return below if _is_number(below) and 0 <= below < _MOST and below % 1 == 0 else _LOST

    def _reference(self, below: Any) -> Any:
        self.is_loose = True
        if self._references is None or not isinstance(below, str):
            return _LOST
        address = self._references.address(below)
        return _LOST if address is None else address

    def _require(self, given: dict[str, Any], made: dict[str, Any]) -> None:
        """Require what a property requires of itself; and nothing that may not be there, or that
        an object with a list of its properties does not have."""
        properties = given.get("properties")
        if isinstance(properties, dict):
            own = [
                name
                for name, one in properties.items()
                if isinstance(one, dict) and one.get("required") is True
            ]
            if own:
                made["required"] = list(dict.fromkeys((*made.get("required", ()), *own)))
        if not _has_ghosts(made):
            return
        is_closed = made.get("additionalProperties") is False and "patternProperties" not in made
        is_listed = "type" in made and "object" in made["type"] and not _NAMING & made.keys()
        if is_closed or is_listed:
            there = made["properties"]
            made["required"] = [name for name in made["required"] if name in there]


_READERS: Final[Mapping[str, Callable[[_Repair, Any], Any]]] = {
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef"), _Repair._reference),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _Repair._schemas),
    **dict.fromkeys(
        ("not", "if", "then", "else", "contains", "propertyNames", "additionalItems",
         "additionalProperties", "unevaluatedItems", "unevaluatedProperties"),
        _Repair.schema,
    ),
    **dict.fromkeys(("properties", "dependentSchemas"), _Repair._by_name),
    **dict.fromkeys(("minimum", "maximum"), _Repair._number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _Repair._number_or_flag),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains",
         "minProperties", "maxProperties"),
        _Repair._count,
    ),
    "patternProperties": _Repair._by_pattern,
    "dependencies": _Repair._dependencies,
    "dependentRequired": _Repair._dependencies,
    "items": _Repair._schema_or_tuple,
    "multipleOf": _Repair._divisor,
    "uniqueItems": _Repair._flag,
    "required": _Repair._required,
    "pattern": _Repair._pattern,
    "type": _Repair._type,
    "enum": _Repair._enum,
    "const": _Repair._data,
}  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_ghosts(schema: dict[str, Any]) -> bool:
    """Whether an object must have what is not among its properties."""
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or not isinstance(properties, dict):
        return False
    return any(name not in properties for name in required if isinstance(name, str))


def _modernize(made: dict[str, Any]) -> None:
    """Put what has another name, or form, in draft 2020-12 into its place."""
    for name in ("$dynamicRef", "$recursiveRef"):
        if name in made:
            made.setdefault("$ref", made.pop(name))
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and limit in made:
            made[exclusive] = made.pop(limit)
    further = made.pop("additionalItems", None)
    if isinstance(made.get("items"), list):
        first = made.pop("items")
        if first:
            made["prefixItems"] = first
        if further is not None:
            made["items"] = further
    for name, one in {**made.pop("dependencies", {}), **made.pop("dependentRequired", {})}.items():
        place = "dependentRequired" if isinstance(one, list) else "dependentSchemas"
        made.setdefault(place, {})[name] = one


def _forgive(made: dict[str, Any], loose: set[str]) -> None:
    """Leave out what would forbid more than was meant, where some keywords take more."""
    if "not" in loose:
        made.pop("not", None)
    if "if" in loose:
        for name in ("if", "then", "else"):
            made.pop(name, None)
    if "oneOf" in loose and "oneOf" in made:
        branches = made.pop("oneOf")
        made.setdefault("anyOf", branches)
    if "contains" in loose:
        made.pop("maxContains", None)
    if {"properties", "patternProperties"} & loose - made.keys():
        made.pop("additionalProperties", None)
    if {"prefixItems", "items"} & loose - made.keys():
        made.pop("items", None)
    if loose:
        made.pop("unevaluatedProperties", None)
        made.pop("unevaluatedItems", None)


def _with_null(made: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that takes null as well."""
    if "type" in made:
        kinds = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*kinds, *(("null",) if "null" not in kinds else ())]
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    moved = {name: made.pop(name) for name in _OF_NULL if name in made}
    if moved:
        made["anyOf"] = [moved, {"type": "null"}]
    return made
