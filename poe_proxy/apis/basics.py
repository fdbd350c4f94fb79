"""What requests of all APIs have in common: the model, where an answer ends, and fields that are
unknown here."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final, TypeAlias

from poe_proxy.apis.fields import field, limit_length, refusal, whole

#: Parameters of a bot, with the JSON schema of each.
Schemas: TypeAlias = Mapping[str, Mapping[str, Any]]
#: Returns those that a model declares.
Declared: TypeAlias = Callable[[str], Schemas]

#: The most characters of a model's name: each chunk of the answer has it.
MAX_NAME: Final = 300
#: The most stop words, and characters in all of them: each piece of the answer is searched for all.
_MAX_STOPS: Final = 64
_MAX_STOP_LENGTH: Final = 1000


def others(data: Mapping[str, Any], named: Container[str]) -> dict[str, Any]:
    """Return the fields of *data* that are not *named*, but for those that are null: they may be
    parameters of the bot."""
    return {name: value for name, value in data.items() if name not in named and value is not None}


def model(data: Mapping[str, Any], example: str = "Claude-Sonnet-4.5") -> str:
    """Return the name of the model to ask; a refusal names *example*."""
    name = field(data, "model", str)
    if name is None or not name.strip():
        raise refusal("model", f'Name the model to ask, for example "{example}".', missing=True)
    limit_length(name, MAX_NAME, "model")
    return name.strip()


def max_tokens(data: Mapping[str, Any], *names: str) -> int | None:
    """Return the most tokens of the answer by the first of *names* that says it. Some programs
    write 0 or -1 for no limit."""
    for name in names:
        value = whole(data, name)
        if value is not None and value < -1:
            raise refusal(name, f"{name} must be at least 1.")
        if value is not None and value > 0:
            return value
    return None


def stop(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the words of *name* before which an answer ends: one, or a list of them."""
    value = data.get(name)
    if value is None:
        return ()
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise refusal(name, f"{name} must be a string or a list of strings.")
    if len(words) > _MAX_STOPS or sum(map(len, words)) > _MAX_STOP_LENGTH:
        raise refusal(
            name,
            f"{name} must be {_MAX_STOPS} strings at most, "
            f"of {_MAX_STOP_LENGTH} characters together.",
        )
    return tuple(word for word in words if word)


def one_answer(data: Mapping[str, Any], *names: str) -> None:
    """Refuse a request for several answers, by the first of *names* that asks for them: to ignore
    that would be to lie."""
    for name in names:
        if whole(data, name) not in (None, 1):
            raise refusal(name, f"{name} must be 1: Poe gives one answer to a request.")
