"""Fields that are not sent to Poe, unless the bot declares a parameter of that name."""

from __future__ import annotations

from typing import Final

#: Those that OpenAI has and Poe ignores (§3.1). Veo declares `seed`.
_OPENAI: Final = frozenset(
    {
        "audio", "frequency_penalty", "logit_bias", "logprobs", "metadata", "modalities",
        "moderation", "n", "prediction", "presence_penalty", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "seed",
        "service_tier", "store", "top_logprobs", "user", "web_search_options",
    }
)  # fmt: skip
#: OpenRouter's, which Roo Code, Cline and Cherry Studio send, and Vercel's gateway's.
_ROUTERS: Final = frozenset(
    {
        "include_reasoning", "models", "plugins", "provider", "providerOptions",
        "provider_options", "reasoning", "route", "transforms", "usage",
    }
)  # fmt: skip
#: Anthropic's, and those of the Responses API.
_OTHER_APIS: Final = frozenset(
    {
        "anthropic_beta", "cache_control", "client_metadata", "context_management", "include",
        "mcp_servers", "previous_response_id", "thinking", "truncation",
    }
)  # fmt: skip
#: Those of servers that run models themselves: vLLM, SGLang, llama.cpp, Ollama, DashScope.
_ENGINES: Final = frozenset(
    {
        "cache_prompt", "chat_template_kwargs", "enable_search", "guided_json", "keep_alive",
        "reasoning_format", "reasoning_split", "separate_reasoning", "venice_parameters",
    }
)  # fmt: skip
#: What clients need for themselves: LiteLLM and LangChain, Open WebUI, LibreChat, LobeChat.
_CLIENTS: Final = frozenset(
    {
        "allowed_openai_params", "api_base", "api_key", "api_version", "background_tasks",
        "base_url", "caching", "chat_id", "conversation_id", "custom_fields",
        "custom_llm_provider", "drop_params", "extra_body", "extra_headers", "extra_query",
        "fallbacks", "features", "filter_ids", "headers", "id", "langfuse_metadata",
        "litellm_metadata", "litellm_session_id", "litellm_trace_id", "max_retries", "message_id",
        "mock_response", "model_item", "parent_id", "parent_message", "prompt_id", "request_id",
        "session_id", "skill_ids", "terminal_id", "timeout", "tool_ids", "tool_servers", "trace",
        "user_id", "user_message", "variables",
    }
)  # fmt: skip

FIELDS: Final = _OPENAI | _ROUTERS | _OTHER_APIS | _ENGINES | _CLIENTS
