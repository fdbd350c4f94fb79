"""The bots of the stand-in, web protocol sheet §19, and a few that make trouble."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Style = Literal["plain", "thinking", "image", "search"]


@lru_cache(maxsize=10_000)
def node_id(kind: str, number: int) -> str:
    """Return a Relay id, web protocol sheet §2: base64 of ``Type:number``."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """One bot: users see its handle, frames carry its codename."""

    handle: str
    codename: str
    bot_id: int
    other_handles: tuple[str, ...] = ()
    price: int = 15
    prompt_limit: int = 4_000_000
    style: Style = "plain"
    accepts_files: bool = True
    timeout: int = 120
    is_down: bool = False
    is_private: bool = False
    is_deleted: bool = False
    no_access: str | None = None

    def names(self) -> set[str]:
        """Return all names of the bot, in lower case."""
        handles = (self.handle, *self.other_handles)
        spellings = {self.codename, *handles, *(name.replace(" ", "") for name in handles)}
        return {spelling.lower() for spelling in spellings}

    def brief(self) -> dict[str, Any]:
        """Return the bot as messages and chats have it, web protocol sheet §12.1."""
        return {
            "__typename": "Bot",
            "id": node_id("Bot", self.bot_id),
            "botId": self.bot_id,
            "displayName": self.handle,
            "handle": self.handle,
            "nickname": self.codename,
            "messageTimeoutSecs": self.timeout,
            "isApiBot": False,
            "deletionState": "deleted" if self.is_deleted else "not_deleted",
        }

    def full(self) -> dict[str, Any]:
        """Return the bot as its landing page has it, web protocol sheet §10.6."""
        return {
            **self.brief(),
            "model": self.codename,
            "description": f"{self.handle}, played by a stand-in.",
            "introduction": "",
            "poweredBy": "poe_sim",
            "supportsFileUpload": self.accepts_files,
            "allowsImageAttachments": self.accepts_files,
            "uploadFileSizeLimit": 350_000_000,
            "isDown": self.is_down,
            "isServerBot": False,
            "isOfficialBot": True,
            "isTrustedBot": True,
            "isPrivateBot": self.is_private,
            "canUserAccessBot": self.no_access is None,
            "noAccessMessage": self.no_access,
            "limitedAccessType": "no_limit",
            "viewerIsCreator": False,
            "customUIDefinition": "{}",
            "messagePointLimit": {
                "displayMessagePointPrice": self.price,
                "numRemainingMessages": None,
            },
        }


class Catalogue:
    """All bots; any of their names finds them, in any case."""

    def __init__(self, bots: Iterable[Bot]) -> None:
        self.bots = list(bots)
        self._by_name = {name: bot for bot in self.bots for name in bot.names()}

    def find(self, name: str) -> Bot | None:
        """Return the bot with this handle or codename, or None."""
        lower = name.strip().lower()
        return self._by_name.get(lower) or self._by_name.get(lower.replace(" ", "-"))


# Handle, codename, botId, other handles: the table of web protocol sheet §19.
_TABLE: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("Assistant", "capybara", 3002, ("Sage",)),
    ("GPT-3.5-Turbo", "chinchilla", 3004, ("ChatGPT",)),
    ("GPT-3.5-Turbo-Raw", "gpt3_5", 3012, ()),
    ("GPT-3.5-Turbo-Instruct", "chinchilla_instruct", 3013, ()),
    ("ChatGPT-16k", "agouti", 3009, ()),
    ("GPT-4", "beaver", 3007, ("GPT-4-Turbo",)),
    ("GPT-4-32k", "vizcacha", 3010, ("GPT-4-Turbo-128k", "GPT-4-128k")),
    ("GPT-4-Classic", "gpt4_classic", 3014, ()),
    ("GPT-4o", "gpt4_o", 3015, ()),
    ("GPT-4o-128k", "gpt4_o_128k", 3016, ()),
    ("GPT-4o-Mini", "gpt4_o_mini", 3017, ()),
    ("GPT-4o-Mini-128k", "gpt4_o_mini_128k", 3018, ()),
    ("GPT-5.1-Instant", "gpt_5_1_chat", 3050, ()),
    ("Google-PaLM", "acouchy", 3020, ()),
    ("Gemini-1.5-Flash-Search", "gemini_pro_search", 3021, ()),
    ("Gemini-1.5-Pro-2M", "gemini_1_5_pro_1m", 3022, ()),
    ("Claude-instant", "a2", 1006, ()),
    ("Claude-instant-100k", "a2_100k", 1009, ()),
    ("Claude-2", "claude_2_short", 1010, ()),
    ("Claude-2-100k", "a2_2", 1008, ("Claude+",)),
    ("Claude-3-Opus", "claude_2_1_cedar", 1012, ()),
    ("Claude-3-Sonnet", "claude_2_1_bamboo", 1013, ()),
    ("Claude-3-Haiku", "claude_3_haiku", 1014, ()),
    ("Claude-3-Opus-200k", "claude_3_opus_200k", 1015, ()),
    ("Claude-3-Sonnet-200k", "claude_3_sonnet_200k", 1016, ()),
    ("Claude-3-Haiku-200k", "claude_3_haiku_200k", 1017, ()),
    ("Claude-3.5-Sonnet", "claude_3_igloo", 1020, ()),
    ("Claude-3.5-Sonnet-200k", "claude_3_igloo_200k", 1021, ()),
    ("Claude-Opus-4.5", "claude_opus_4_5", 1040, ()),
    ("Llama-2-7b", "llama_2_7b_chat", 4001, ()),
    ("Llama-2-13b", "llama_2_13b_chat", 4002, ()),
    ("Llama-2-70b", "llama_2_70b_chat", 4003, ()),
    ("Code-Llama-13b", "code_llama_13b_instruct", 4004, ()),
    ("Code-Llama-34b", "code_llama_34b_instruct", 4005, ()),
    ("Solar-Mini", "upstage_solar_0_70b_16bit", 4006, ()),
    ("Dragonfly", "nutria", 4007, ()),
    # Others in a catalogue of today.
    ("Claude-Sonnet-4.5", "claude_sonnet_4_5", 1041, ()),
    ("Claude-Haiku-4.5", "claude_haiku_4_5", 1042, ()),
    ("Claude-Sonnet-4", "claude_sonnet_4", 1035, ()),
    ("GPT-5.1", "gpt_5_1", 3051, ()),
    ("GPT-5", "gpt_5", 3045, ()),
    ("GPT-5-mini", "gpt_5_mini", 3046, ()),
    ("GPT-4.1", "gpt_4_1", 3040, ()),
    ("GPT-4.1-mini", "gpt_4_1_mini", 3041, ()),
    ("o3", "o3", 3042, ()),
    ("o4-mini", "o4_mini", 3043, ()),
    ("Gemini-3-Pro", "gemini_3_pro", 3060, ()),
    ("Gemini-2.5-Pro", "gemini_2_5_pro", 3061, ()),
    ("Gemini-2.5-Flash", "gemini_2_5_flash", 3062, ()),
    ("Grok-4", "grok_4", 5001, ()),
    ("DeepSeek-V3.1", "deepseek_v3_1", 5003, ()),
    ("Mistral-Large-2", "mistral_large_2", 5007, ()),
    ("Llama-3.3-70B", "llama_3_3_70b", 5008, ()),
    ("Claude-Sonnet-4.6", "claude_sonnet_4_6", 7001, ()),
    ("Claude-Opus-4.6", "claude_opus_4_6", 7002, ()),
    ("Claude-Opus-4.7", "claude_opus_4_7", 7003, ()),
    ("GPT-5.2", "gpt_5_2", 7004, ()),
    ("GPT-5.3-Codex", "gpt_5_3_codex", 7005, ()),
    ("GPT-5.4", "gpt_5_4", 7006, ()),
    ("GPT-5.4-Mini", "gpt_5_4_mini", 7007, ()),
    ("GPT-5.4-Nano", "gpt_5_4_nano", 7008, ()),
    ("GPT-5.4-Pro", "gpt_5_4_pro", 7009, ()),
    ("o3-mini", "o3_mini", 7010, ()),
    ("o3-Deep-Research", "o3_deep_research", 7011, ()),
    ("Gemini-3-Flash", "gemini_3_flash", 7012, ()),
    ("Gemini-3.1-Pro", "gemini_3_1_pro", 7013, ()),
    ("Gemini-3.1-Flash-Lite", "gemini_3_1_flash_lite", 7014, ()),
    ("Grok-3", "grok_3", 7015, ()),
    ("Grok-4.1-Fast-Reasoning", "grok_4_1_fast_reasoning", 7016, ()),
    ("Grok-Code-Fast-1", "grok_code_fast_1", 7017, ()),
    ("Kimi-K2.5", "kimi_k2_5", 7018, ()),
    ("Kimi-K2.5-FW", "kimi_k2_5_fw", 7019, ()),
    ("DeepSeek-V3.2", "deepseek_v3_2", 7020, ()),
    ("GLM-5", "glm_5", 7021, ()),
    ("GLM-4.7-FW", "glm_4_7_fw", 7022, ()),
    ("MiniMax-M2.5", "minimax_m2_5", 7023, ()),
    ("GPT-OSS-120B", "gpt_oss_120b", 7024, ()),
    ("GPT-OSS-120B-CS", "gpt_oss_120b_cs", 7025, ()),
    ("GPT-4o-Search", "gpt_4o_search", 7026, ()),
    ("ChatGPT-4o-Latest", "chatgpt_4o_latest", 7027, ()),
    ("Python", "python", 7028, ()),
    ("Sora-2", "sora_2", 7029, ()),
    ("Sora-2-Pro", "sora_2_pro", 7030, ()),
    ("Veo-3", "veo_3", 7031, ()),
    ("Veo-3.1", "veo_3_1", 7032, ()),
    ("Veo-3.1-Fast", "veo_3_1_fast", 7033, ()),
    ("ElevenLabs-v3", "elevenlabs_v3", 7034, ()),
    ("Sim-Slash", "sim_slash", 7035, ()),
    ("Sim-Titled", "sim_titled", 7036, ()),
)

# Bots that write drafts and replace them, end of web protocol sheet §19.
_REWRITING: tuple[tuple[str, str, int], ...] = (
    ("DeepSeek-R1", "deepseek_r1", 5002),
    ("GLM-4.6", "glm_4_6", 5004),
    ("Kimi-K2", "kimi_k2", 5005),
    ("Qwen3-Max", "qwen3_max", 5006),
)


_DRAWING: tuple[tuple[str, str, int], ...] = (
    ("GPT-Image-1.5", "gpt_image_1_5", 6011),
    ("DALL-E-3", "dall_e_3", 6012),
    ("Nano-Banana-Pro", "nano_banana_pro", 6013),
)


def catalogue() -> Catalogue:
    """Return the bots of a fresh stand-in."""
    return Catalogue(
        (
            *(
                Bot(handle=handle, codename=codename, bot_id=number, other_handles=others)
                for handle, codename, number, others in _TABLE
            ),
            *(
                Bot(handle=handle, codename=codename, bot_id=number, style="thinking")
                for handle, codename, number in _REWRITING
            ),
            Bot(
                handle="GPT-Image-1", codename="gpt_image_1", bot_id=6001, style="image", price=300
            ),
            *(
                Bot(handle=handle, codename=codename, bot_id=number, style="image", price=300)
                for handle, codename, number in _DRAWING
            ),
            Bot(handle="Imagen-4", codename="imagen_4", bot_id=6002, style="image", price=300),
            Bot(handle="Web-Search", codename="web_search", bot_id=6003, style="search"),
            Bot(handle="Sim-Text-Only", codename="sim_text_only", bot_id=9001, accepts_files=False),
            Bot(handle="Sim-Short-Memory", codename="sim_short", bot_id=9002, prompt_limit=2_000),
            Bot(
                handle="Sim-Short-Text-Only",
                codename="sim_short_text_only",
                bot_id=9008,
                prompt_limit=2_000,
                accepts_files=False,
            ),
            Bot(handle="Sim-Expensive", codename="sim_expensive", bot_id=9003, price=5_000_000),
            Bot(handle="Sim-Down", codename="sim_down", bot_id=9004, is_down=True),
            Bot(
                handle="Sim-Private",
                codename="sim_private",
                bot_id=9005,
                is_private=True,
                no_access="This bot is private.",
            ),
            Bot(
                handle="Sim-Subscribers",
                codename="sim_subscribers",
                bot_id=9006,
                no_access="This bot is for subscribers.",
            ),
            Bot(
                handle="Sim-Deleted",
                codename="sim_deleted",
                bot_id=9007,
                is_deleted=True,
                no_access="This bot was deleted.",
            ),
        )
    )
