"""The upstream of a cookie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from poe_proxy.accounts import Account
from poe_proxy.net.fetching import Fetcher
from poe_proxy.settings import Settings
from poe_proxy.shaping import tokenizer
from poe_proxy.upstreams.poe_web import Credentials
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.lengths import Lengths
from poe_proxy.upstreams.poe_web.long_prompts import Fitting, LongPrompts
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCookie:
    """What decides how the upstream of a cookie is made: equal ones can stand for each other."""

    kind: Literal["cookie"] = "cookie"
    #: It has a session.
    has_home: ClassVar[bool] = True
    credential: str = field(repr=False)
    label: str
    proxy: str | None = field(repr=False)
    #: One for all of them, replaced in place.
    site: CurrentSite
    prompt: Prompt
    web_url: str
    ws_url: str | None
    timeout: float
    delete_chats: bool
    long_prompts: LongPrompts
    max_prompt_chars: int
    reuse_chats: bool

    @classmethod
    def of(cls, account: Account, settings: Settings, site: CurrentSite) -> Self:
        return cls(
            credential=account.credential,
            label=account.label,
            proxy=account.proxy,
            site=site,
            prompt=Prompt(
                RoleMode(settings.simulate_roles), settings.role_pattern, settings.role_labels
            ),
            web_url=settings.poe_web_url,
            ws_url=settings.poe_ws_url,
            timeout=settings.timeout,
            delete_chats=settings.delete_chats,
            long_prompts=LongPrompts(settings.long_prompts),
            max_prompt_chars=settings.max_prompt_chars,
            reuse_chats=settings.reuse_chats,
        )

    @property
    def is_pinned(self) -> bool:
        """Whether Poe takes it from one address alone."""
        return Credentials.parse(self.credential).is_of_one_address

    def fetcher(self) -> Fetcher:
        """Return what fetches attachments, for all accounts that go by the same proxy."""
        return Fetcher(self.proxy)

    def make(
        self,
        fetcher: Fetcher,
        lengths: Lengths,
        renewed: Mapping[str, str],
        keep_renewed: Callable[[Mapping[str, str]], None],
    ) -> PoeWeb:
        # Poe counts no tokens on this way, so each answer's are counted here.
        tokenizer.warm_up()
        return PoeWeb(
            Credentials.parse(self.credential),
            site=self.site,
            to_prompt=self.prompt,
            web_url=self.web_url,
            ws_url=self.ws_url,
            proxy=self.proxy,
            timeout=self.timeout,
            delete_chats=self.delete_chats,
            fitting=Fitting(self.long_prompts, self.max_prompt_chars, self.prompt.transcript),
            lengths=lengths,
            reuse_chats=self.reuse_chats,
            fetch=fetcher.fetch,
            renewed=renewed,
            keep_renewed=keep_renewed,
            label=self.label,
        )
