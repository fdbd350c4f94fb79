"""`shell-gpt`, its command line, with a function of its own to call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scenes import CALLER, KEY, NOBODY, RESULT, TALKER, URL, WORDS, play

HOME = Path(os.environ["HOME"])
FUNCTIONS = HOME / "functions"
FUNCTIONS.mkdir()
(FUNCTIONS / "get_weather.py").write_text(f'''
from pydantic import BaseModel, Field

class Function(BaseModel):
    """Tell the weather of a city."""

    city: str = Field(...)

    @classmethod
    def execute(cls, city: str) -> str:
        return "{RESULT}"

    @classmethod
    def openai_schema(cls):
        return {{
            "type": "function",
            "function": {{
                "name": "get_weather",
                "description": cls.__doc__,
                "parameters": cls.model_json_schema(),
            }},
        }}
''')


def run(model: str, prompt: str, *options: str, key: str = KEY) -> str:
    """What the program prints; when it fails, its complaint."""
    done = subprocess.run(
        [Path(sys.executable).with_name("sgpt"), "--model", model, "--no-cache", *options, prompt],
        env={
            **os.environ,
            "API_BASE_URL": URL,
            "OPENAI_API_KEY": key,
            "OPENAI_FUNCTIONS_PATH": str(FUNCTIONS),
            "PRETTIFY_MARKDOWN": "false",
            "NO_COLOR": "1",
            "COLUMNS": "1000",
        },
        input="",
        capture_output=True,
        text=True,
        timeout=200,
    )
    return (done.stderr if done.returncode else done.stdout).strip()


def tools() -> Any:
    printed = run(CALLER, "How is the weather in Paris?")
    called, _, text = printed.partition("` \n\n")
    return {"called": called, "text": text.strip()}


play(
    {
        "streamed": lambda: [run(CALLER, f"{WORDS} Hello", "--no-functions")],
        "tools": tools,
        "unknown_model": lambda: run(NOBODY, "Hello"),
        "wrong_key": lambda: run(TALKER, "Hello", key="sk-wrong"),
    }
)
