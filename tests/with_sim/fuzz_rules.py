"""What schemathesis is to know besides openapi.json; it loads this file by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

from typing import Any

import schemathesis

#: A bot that both faces of the stand-in have.
BOT = "Claude-Sonnet-4.5"

#: Failures that are the bot's: it speaks to random prompts as bots do, not in random schemas.
_BOT_S_OWN = {"invalid_json_answer", "tool_call_invalid"}


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Ask for a bot that exists where the name is random: most of the way lies behind that."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"].strip():
        return {**body, "model": BOT}
    return body


@schemathesis.check
def no_fault(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Nothing that a client sends is a fault of the proxy, or one of Poe's."""
    if response.status_code >= 500:
        assert 502 == response.status_code, response.text
        error = response.json()["error"]
        # Anthropic's form has no code.
        is_bot_s = (
            error["code"] in _BOT_S_OWN
            if "code" in error
            else error["message"].startswith("The model did not ")
        )
        assert is_bot_s, response.text
