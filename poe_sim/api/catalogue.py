"""The models, official API sheet §6: ``models.json`` is the table, the full shape is made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import resources
from typing import Any, Literal

import orjson

Json = dict[str, Any]
Kind = Literal["text", "image", "mixed", "audio", "video"]

_ENDPOINTS: Mapping[str, str] = {
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "videos": "/v1/videos",
    "images": "/v1/images",
    "audio": "/v1/audio",
}
# Owners whose answers have the short usage; the sheet has each shape about half of the time.
_USAGE_A_OWNERS = frozenset({"Anthropic", "Google", "ElevenLabs", "Poe"})
# A day between two entries keeps the order of the table.
_FIRST_CREATED_MS = 1_741_000_000_000
_DAY_MS = 86_400_000
_ANTHROPIC_DATE = re.compile(r"-\d{8}$")
_FAULT_NAME = re.compile(r"sim-http-(\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row of the table; from ``kind`` on it says how the stand-in plays the model."""

    name: str
    owner: str
    context: Sequence[int | None] | None
    price: Sequence[str] | Mapping[str, str] | None
    endpoints: Sequence[str]
    features: Sequence[str]
    parameters: Mapping[str, Json]
    kind: Kind = "text"
    style: str = ""
    snapshot: str | None = None
    image_price: str | None = None
    reasoning_required: bool = False
    allowed_tools: bool = False
    structured: bool = False
    thought_signature: bool = False
    quoted_thinking: bool = False
    deep_research: bool = False
    refuses_tools: int | None = None
    # Why the model cannot be asked: private, creator or unpriced.
    refused: str | None = None
    listed: bool = True
    # The last part of its address on the site, and its title there, where they are not the name.
    handle: str = ""
    shown: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name as the list has it."""
        return self.name.lower()

    @property
    def usage_variant(self) -> str:
        """Variant A is the short usage, B the one with details (§3.5)."""
        return "A" if self.owner in _USAGE_A_OWNERS else "B"

    @property
    def takes_tools(self) -> bool:
        """Whether it accepts tools; some models advertise them and refuse all the same (§6.2)."""
        return "tools" in self.features and self.refuses_tools is None

    @property
    def context_length(self) -> int | None:
        """The largest prompt, in tokens."""
        return self.context[0] if self.context else None

    def serves(self, endpoint: str) -> bool:
        """Return whether the catalogue tags the model for an endpoint."""
        return endpoint in self.endpoints

    def entry(self, number: int) -> Json:
        """Return the model's entry in the list, in the full shape of §6."""
        length, most = self.context or (None, None)
        window = {"context_length": length, "max_output_tokens": most} if self.context else None
        inputs = ["text", "image"] if self.kind in ("text", "mixed", "image") else ["text"]
        outputs = {"text": ["text"], "mixed": ["text", "image"]}.get(self.kind, [self.kind])
        return {
            "id": self.id,
            "object": "model",
            "created": _FIRST_CREATED_MS + number * _DAY_MS,
            "description": f"{self.name} by {self.owner}, played by a stand-in.",
            "owned_by": self.owner,
            "root": self.id,
            "architecture": {
                "input_modalities": inputs,
                "output_modalities": outputs,
                "modality": f"{','.join(inputs)}->{','.join(outputs)}",
            },
            "supported_features": list(self.features),
            "supported_endpoints": [_ENDPOINTS[name] for name in self.endpoints],
            "pricing": self._pricing(),
            "context_window": window,
            "context_length": length,
            "metadata": {
                "display_name": self.shown or self.name,
                "image": {
                    "url": f"https://pfst.cf2.poecdn.net/base/image/{number:064x}?w=128&h=128",
                    "alt": f"{self.name} picture",
                    "width": 128,
                    "height": 128,
                },
                "url": f"https://poe.com/{self.handle or self.name}",
            },
            "reasoning": self._reasoning(),
            "parameters": [self._parameter(name) for name in self.parameters],
        }

    def _pricing(self) -> Json | None:
        if self.price is None:
            return None
        prices: dict[str, str | None] = dict.fromkeys(
            ("prompt", "completion", "image", "request", "input_cache_read", "input_cache_write")
        )
        if isinstance(self.price, Mapping):
            prices.update(self.price)
            return prices
        prices["prompt"], prices["completion"] = (_per_token(price) for price in self.price)
        prices["image"] = self.image_price
        if self.owner == "Anthropic":
            cached = Decimal(self.price[0])
            prices["input_cache_read"] = _per_token(str(cached / 10))
            prices["input_cache_write"] = _per_token(str(cached * Decimal("1.25")))
        return prices

    def _reasoning(self) -> Json | None:
        names = self.parameters.keys()
        takes_effort = bool(names & {"reasoning_effort", "output_effort"})
        if "thinking_budget" in names:
            schema = self.parameters["thinking_budget"]
            budget = {"min_tokens": schema["minimum"], "max_tokens": schema["maximum"]}
        elif takes_effort or names & {"thinking_level", "enable_thinking"}:
            budget = None
        else:
            return None
        return {
            "budget": budget,
            "required": self.reasoning_required,
            "supports_reasoning_effort": takes_effort,
        }

    def _parameter(self, name: str) -> Json:
        schema = self.parameters[name]
        parameter: Json = {"name": name, "schema": schema}
        # Some have a default, some a description, some neither: clients must accept all.
        if schema["type"] == "boolean":
            parameter["default_value"] = False
        elif "enum" in schema and "medium" in schema["enum"]:
            parameter["default_value"] = "medium"
            parameter["description"] = f"How much of {name.replace('_', ' ')} to use."
        return parameter

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Return the points for one call, at USD 0.00003 each (§1); at least one."""
        match self.price:
            case None:
                dollars = Decimal("0.009") if self.kind != "text" else Decimal("0.00045")
            case Mapping() as flat:
                dollars = Decimal(flat["request"])
            case (prompt, completion):
                millionths = Decimal(prompt) * prompt_tokens
                millionths += Decimal(completion) * completion_tokens
                dollars = millionths / 1_000_000
            case _:
                raise AssertionError("a price is null, a pair or a flat one")
        return max(1, int(dollars / Decimal("0.00003")))


def _per_token(usd_per_million: str) -> str:
    return f"{(Decimal(usd_per_million) / 1_000_000).normalize():f}"


class Catalogue:
    """All models; names are found in any case."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._by_name = {model.id: model for model in models}
        listed = [model for model in self._by_name.values() if model.listed]
        self._entries = {model.id: model.entry(number) for number, model in enumerate(listed)}
        # Claude is found by Anthropic's names too: with hyphens and perhaps a date (§6.1).
        self._by_hyphens = {
            model.id.replace(".", "-"): model
            for model in self._by_name.values()
            if model.serves("messages")
        }

    def entries(self, hidden: Iterable[str]) -> list[Json]:
        """Return the list of §6 without the *hidden* models."""
        gone = {name.lower() for name in hidden}
        return [entry for name, entry in self._entries.items() if name not in gone]

    def find(self, name: str) -> Model | None:
        """Return the model of that name; ``Sim-Http-429`` answers with a 429."""
        lower = name.lower()
        if match := _FAULT_NAME.fullmatch(lower):
            return Model(
                name=name,
                owner="Poe",
                context=None,
                price=None,
                endpoints=("messages", "responses", "chat"),
                features=("tools",),
                parameters={},
                listed=False,
                words={"http": match[1]},
            )
        return self._by_name.get(lower)

    def find_for_messages(self, name: str) -> Model | None:
        """Return the model by its own name or by Anthropic's name for it (§5)."""
        plain = _ANTHROPIC_DATE.sub("", name.lower())
        return self.find(name) or self._by_hyphens.get(plain)


def load() -> Catalogue:
    """Read the table."""
    rows = orjson.loads(resources.files(__package__).joinpath("models.json").read_bytes())
    return Catalogue(Model(**row) for row in rows)
