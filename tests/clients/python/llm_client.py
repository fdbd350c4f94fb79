"""Simon Willison's `llm`: its command line, with models from `extra-openai-models.yaml`."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from llm.cli import cli
from scenes import CALLER, ECHO, KEY, NOBODY, PIXEL, RESULT, TALKER, URL, WRITER, play

HOME = Path(os.environ["HOME"])
os.environ["LLM_USER_PATH"] = str(HOME)
(HOME / "extra-openai-models.yaml").write_text(
    # JSON is YAML.
    json.dumps(
        [
            {
                "model_id": name,
                "model_name": name,
                "api_base": URL,
                "api_key_name": "poe-proxy",
                "supports_tools": True,
                "supports_schema": True,
                "vision": True,
            }
            for name in (TALKER, CALLER, WRITER, NOBODY)
        ]
    )
)
(HOME / "keys.json").write_text(json.dumps({"poe-proxy": KEY}))
(HOME / "pixel.png").write_bytes(base64.b64decode(PIXEL.partition(",")[2]))
TOOL = f"""
def get_weather(city: str) -> str:
    "Tell the weather of a city."
    print("called for " + city)
    return "{RESULT}"
"""


def run(*options: str) -> Any:
    """Run the program; what it printed, or its complaint."""
    result = CliRunner().invoke(cli, options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def say(*options: str) -> str:
    return str(run(*options).stdout).removesuffix("\n")


def tools(*options: str) -> Any:
    # The function prints first, the answer follows.
    printed = say("-m", CALLER, "--functions", TOOL, *options, "How is the weather in Paris?")
    called, _, text = printed.partition("\n")
    city = called.removeprefix("called for ")
    return {"calls": [["get_weather", {"city": city}]], "text": text}


def usage() -> Any:
    printed = run("-m", TALKER, "-u", f"!echo {ECHO}").stderr
    # "Token usage: 9 input, 7 output"
    return [int(word.replace(",", "")) for word in printed.split() if word.strip(",").isdigit()]


play(
    {
        "whole": lambda: say("-m", TALKER, "--no-stream", f"!echo {ECHO}"),
        "streamed": lambda: [say("-m", TALKER, f"!echo {ECHO}")],
        "tools_whole": lambda: tools("--no-stream"),
        "tools_streamed": tools,
        "image": lambda: say("-m", TALKER, "-a", str(HOME / "pixel.png"), "What is it?"),
        "usage": usage,
        "structured": lambda: json.loads(
            say("-m", WRITER, "--schema", "name str, people int", "Which city?")
        ),
        "unknown_model": lambda: run("-m", NOBODY, "Hello").output,
        "wrong_key": lambda: run("-m", TALKER, "--key", "sk-wrong", "Hello").output,
    }
)
