"""The upstream of an API key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from poe_proxy.accounts import Account
from poe_proxy.settings import Settings
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi
from poe_proxy.upstreams.refusals import Refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKey:
    """What decides how the upstream of a key is made: equal ones can stand for each other."""

    kind: Literal["key"] = "key"
    has_home: ClassVar[bool] = False
    is_pinned: ClassVar[bool] = False
    key: str = field(repr=False)
    label: str
    proxy: str | None = field(repr=False)
    api_url: str
    timeout: float
    concurrency: int
    catalogue: Catalogue

    @classmethod
    def of(cls, account: Account, settings: Settings, catalogue: Catalogue) -> Self:
        return cls(
            key=account.credential,
            label=account.label,
            proxy=account.proxy,
            api_url=settings.poe_api_url,
            timeout=settings.timeout,
            concurrency=account.concurrency,
            catalogue=catalogue,
        )

    def make(self, refusals: Refusals) -> PoeApi:
        return PoeApi(
            self.key,
            catalogue=self.catalogue,
            refusals=refusals,
            api_url=self.api_url,
            proxy=self.proxy,
            timeout=self.timeout,
            concurrency=self.concurrency,
            label=self.label,
        )
