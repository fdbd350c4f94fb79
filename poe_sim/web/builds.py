"""A release of the front end: the names and values that change with it, and how it is written."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

_WORD = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def hex_text(rng: random.Random, length: int) -> str:
    """Return *length* random hex characters."""
    return "".join(rng.choices(_HEX, k=length))


def name_text(rng: random.Random, length: int) -> str:
    """Return a random JavaScript name of letters and digits that begins with a letter."""
    return rng.choice(string.ascii_letters) + "".join(rng.choices(_WORD, k=length - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One release of the front end: the names and values that change with it."""

    build_id: str
    revision: str
    decoder: str
    getter: str
    secret_name: str
    secret_value: str
    # The function on `window` that computes the tag, and one that other blocks of the page use.
    signer: str
    step: str

    @classmethod
    def make(cls, rng: random.Random) -> Build:
        """Return a new release with random names."""
        return cls(
            build_id=name_text(rng, 21),
            revision=hex_text(rng, 40),
            decoder=name_text(rng, 17),
            getter=name_text(rng, 17),
            secret_name="_" + name_text(rng, 10),
            secret_value=name_text(rng, 10),
            signer=name_text(rng, 17),
            step=name_text(rng, 8),
        )

    @property
    def manifest(self) -> str:
        """The path of the list of chunks under ``/_next/static/``."""
        return f"{self.build_id}/_buildManifest.js"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How page and scripts are written: the switches of these names, at one moment."""

    markup: str
    chunk_names: str
    script_host: str
    artefact_form: str
    manifest_form: str
    revision_in: str
    salt: str
    tag_order: str
    tag_mode: str
    tag_function: str
    getter_shape: str
    getter_named: bool
    getter_in: str
