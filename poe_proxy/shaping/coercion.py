"""What a bot evidently meant, where its arguments deviate a little from their schema.

A bot writes `"5"` for 5, `null` for what it leaves out, one value for a list of one, or the name of
a property in another case. To ask it again for that costs a turn, and often brings the same. So a
value that does not fit is changed where only one thing can be meant; what fits stays, and whatever
is left unclear is for the check to find. Nothing here judges: the result is checked.

The schema is read as it came, odd or not. A value is looked at once for each part of the schema
that speaks of it; alternatives are chosen by what can be seen at their surface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from poe_proxy.checker.repair import types
from poe_proxy.shaping.conversions import NOT, is_any, is_same, one_of, read_plainly, taken

#: The most looks at a value and a part of the schema; whatever takes more stays as it is.
MAX_LOOKS: Final = 20_000
#: How deep values and references are followed.
MAX_DEPTH: Final = 60
#: Looks after which the others may have their turn.
_STRETCH: Final = 100
#: Characters of a text that are read in the time of one look, about.
_PER_LOOK: Final = 50


class _TooMuch(Exception):
    """It takes more than may be spent on it."""


def coerced(
    given: Any, schema: Any, *, untyped: bool = False, breathe: Callable[[], None] = lambda: None
) -> Any:
    """Return what was meant by a value that does not fit its *schema*; mostly a call's arguments.

    What is *untyped* comes from a notation in which all values are texts: they are read as the
    schema says. A text is wanted: it stays, letter by letter; it says nothing: what is plainly a
    number, true, false, null, a list or an object in JSON is one.

    The value itself is not changed. *breathe* is called in between, and may raise.
    """
    coercion = _Coercion(schema, breathe)
    try:
        return coercion.value(given, schema, untyped)
    except _TooMuch:
        return given


class _Coercion:
    def __init__(self, root: Any, breathe: Callable[[], None]) -> None:
        self._root = root
        self._breathe = breathe
        self._looks = 0
        self._depth = 0
        #: What each reference leads to.
        self._targets: dict[str, Any] = {}
        #: The plain forms of the names of an object's properties, by the identity of these.
        self._plain_names: dict[int, Mapping[str, str | None]] = {}

    def _look(self, times: int = 1) -> None:
        before = self._looks
        self._looks += times
        if self._looks > MAX_LOOKS:
            raise _TooMuch
        if before // _STRETCH != self._looks // _STRETCH:
            self._breathe()

    def value(self, given: Any, rule: Any, untyped: bool) -> Any:
        """Return what is meant by a value of which *rule* speaks."""
        self._look()
        if not isinstance(rule, dict) or self._depth >= MAX_DEPTH:
            return read_plainly(given) if untyped and rule in (True, None) else given
        self._depth += 1
        try:
            return self._value(given, rule, untyped)
        finally:
            self._depth -= 1

    def _value(self, given: Any, rule: dict[str, Any], untyped: bool) -> Any:
        is_open = True
        for part in self._parts(rule):
            given = self.value(given, part, untyped)
            is_open = False
        for name in ("anyOf", "oneOf"):
            if isinstance(branches := rule.get(name), list) and branches:
                given = self._chosen(given, branches, untyped)
                is_open = False
        fitted = self._fitted(given, rule, untyped and is_open)
        # What was read out of a text has types of its own.
        untyped = untyped and not (isinstance(given, str) and not isinstance(fitted, str))
        if isinstance(fitted, dict):
            return self._object(fitted, rule, untyped)
        if isinstance(fitted, list):
            return self._list(fitted, rule, untyped)
        return fitted

    def _parts(self, rule: dict[str, Any]) -> Iterable[Any]:
        """Yield what else holds for the values of which *rule* speaks."""
        if isinstance(reference := rule.get("$ref"), str):
            yield self._target(reference)
        if isinstance(parts := rule.get("allOf"), list):
            yield from parts

    def _target(self, reference: str) -> Any:
        if reference not in self._targets:
            self._look(1 + len(reference) // _PER_LOOK)
            self._targets[reference] = _found(self._root, reference)
        return self._targets[reference]

    # ---- one value

    def _fitted(self, given: Any, rule: dict[str, Any], is_plain: bool) -> Any:
        kinds = _kinds(rule)
        values = _values(rule)
        if values is not None:
            self._look(len(values))
            meant = one_of(given, values)
            return given if meant is NOT else meant
        if kinds is None:
            return self._read_plainly(given) if is_plain else given
        if is_any(given, kinds):
            if isinstance(given, float) and "number" not in kinds and given.is_integer():
                return int(given)
            return given
        if isinstance(given, str):
            self._look(len(given) // _PER_LOOK)
        meant = taken(given, kinds)
        return self._alone(given, kinds) if meant is NOT else meant

    def _read_plainly(self, given: Any) -> Any:
        if isinstance(given, str):
            self._look(len(given) // _PER_LOOK)
        return read_plainly(given)

    def _alone(self, given: Any, kinds: tuple[str, ...]) -> Any:
        """Return a list of one, where a list is wanted."""
        if "array" not in kinds or given is None:
            return given
        if isinstance(given, str) and given.lstrip()[:1] == "[":
            return given  # a list that could not be read
        return [] if given == "" else [given]

    # ---- alternatives

    def _chosen(self, given: Any, branches: list[Any], untyped: bool) -> Any:
        fitting = [branch for branch in branches if self._fits(given, branch)]
        if fitting:
            return self.value(given, fitting[0], untyped) if len(fitting) == 1 else given
        meant: list[Any] = []
        for branch in branches:
            one = self.value(given, branch, untyped)
            if self._fits(one, branch) and not any(is_same(one, other) for other in meant):
                meant.append(one)
        if len(meant) > 1:  # a list of one is the least certain of all
            meant = [one for one in meant if not isinstance(one, list)]
        return meant[0] if len(meant) == 1 else given

    def _fits(self, given: Any, rule: Any) -> bool:
        """Whether a value fits *rule* as far as can be seen at its surface."""
        self._look()
        if not isinstance(rule, dict) or self._depth >= MAX_DEPTH:
            return rule is not False
        self._depth += 1
        try:
            if not all(self._fits(given, part) for part in self._parts(rule)):
                return False
            for name in ("anyOf", "oneOf"):
                branches = rule.get(name)
                if not isinstance(branches, list) or not branches:
                    continue
                if not any(self._fits(given, branch) for branch in branches):
                    return False
            return self._fits_itself(given, rule)
        finally:
            self._depth -= 1

    def _fits_itself(self, given: Any, rule: dict[str, Any]) -> bool:
        kinds, values = _kinds(rule), _values(rule)
        if kinds is not None and not is_any(given, kinds):
            return False
        if values is not None:
            self._look(len(values))
            if not any(is_same(given, value) for value in values):
                return False
        if not isinstance(given, dict):
            return True
        properties, required = _properties(rule), _required(rule)
        self._look(len(given) + len(required))
        if not all(name in given for name in required):
            return False
        is_closed = rule.get("additionalProperties") is False and "patternProperties" not in rule
        if is_closed and not all(name in properties for name in given):
            return False
        for name, one in given.items():
            values = _values(properties.get(name))
            if values is not None:
                self._look(len(values))
                if not any(is_same(one, value) for value in values):
                    return False
        return True

    # ---- objects and lists

    def _object(self, given: dict[str, Any], rule: dict[str, Any], untyped: bool) -> Any:
        properties, required = _properties(rule), set(_required(rule))
        further = rule.get("additionalProperties")
        has_patterns = isinstance(rule.get("patternProperties"), dict)
        self._look(len(given) + len(required))
        names = self._renamed(given, properties) if properties and not has_patterns else {}
        made: dict[str, Any] = {}
        for key, one in given.items():
            name = names.get(key, key)
            if name in properties:
                meant = self.value(one, properties[name], untyped)
                is_left_out = _is_empty(one) and name not in required
                if is_left_out and not self._fits(meant, properties[name]):
                    continue
            elif has_patterns:
                meant = one
            elif further is False:
                if _is_empty(one) or one in ([], {}):
                    continue
                meant = one
            else:
                meant = self.value(one, True if further is None else further, untyped)
            made[name] = meant
        for name in _required(rule):
            if name in properties and (made.get(name) is None):
                only = _only_value(properties[name])
                if only is not NOT and (name not in made or not self._fits(None, properties[name])):
                    made[name] = only
        return made

    def _renamed(self, given: dict[str, Any], properties: dict[str, Any]) -> dict[str, str]:
        """Return the names that are meant by those that are not known."""
        unknown = [key for key in given if key not in properties]
        if not unknown:
            return {}
        plain = self._plain_names.get(id(properties))
        if plain is None:
            self._look(len(properties))
            plain = self._plain_names[id(properties)] = _by_plain_name(properties)
        wanted = _by_plain_name(unknown)
        return {
            key: name
            for form, key in wanted.items()
            if key is not None and (name := plain.get(form)) is not None and name not in given
        }

    def _list(self, given: list[Any], rule: dict[str, Any], untyped: bool) -> list[Any]:
        items = rule.get("items")
        first = items if isinstance(items, list) else rule.get("prefixItems")
        rest = rule.get("additionalItems") if isinstance(items, list) else items
        first = first if isinstance(first, list) else []
        rest = True if rest is None else rest
        return [
            self.value(one, first[place] if place < len(first) else rest, untyped)
            for place, one in enumerate(given)
        ]


# ---- what a rule says


def _kinds(rule: dict[str, Any]) -> tuple[str, ...] | None:
    kinds = types(rule.get("type"))
    if kinds is not None and rule.get("nullable") is True:
        return (*kinds, "null")
    return kinds


def _values(rule: Any) -> list[Any] | None:
    """Return the only values that a rule takes; None if it does not list them."""
    if not isinstance(rule, dict):
        return None
    if "const" in rule:
        return [rule["const"]]
    values = rule.get("enum")
    if not isinstance(values, list) or not values:
        return None
    return [*values, None] if rule.get("nullable") is True else values


def _only_value(rule: Any) -> Any:
    """Return what a rule says where nothing is said."""
    if isinstance(rule, dict) and rule.get("default") is not None:
        return rule["default"]
    values = _values(rule)
    return values[0] if values is not None and len(values) == 1 else NOT


def _properties(rule: dict[str, Any]) -> dict[str, Any]:
    properties = rule.get("properties")
    return properties if isinstance(properties, dict) else {}


def _required(rule: dict[str, Any]) -> list[str]:
    required = rule.get("required")
    return [one for one in required if isinstance(one, str)] if isinstance(required, list) else []


def _found(root: Any, reference: str) -> Any:
    """Return what a reference within the schema leads to, None if that is nothing."""
    at = root
    if not reference.startswith("#"):
        return None
    for step in filter(None, reference[1:].split("/")):
        if not isinstance(at, dict):
            return None
        at = at.get(step.replace("~1", "/").replace("~0", "~"))
    return at


def _by_plain_name(names: Iterable[str]) -> dict[str, str | None]:
    """Return names by what is the same in all their ways of being written; None for a form that
    two have."""
    found: dict[str, str | None] = {}
    for name in names:
        form = name.lower().replace("_", "").replace("-", "").replace(" ", "")
        found[form] = None if form in found else name
    return found


def _is_empty(given: Any) -> bool:
    return given is None or given == ""
