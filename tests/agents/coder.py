"""A coding agent on OpenAI's Agents SDK, the program that `test_tools` runs.

It works in the folder that it is started in, and prints one JSON object: `calls`, those that
it carried out in this order with what came out, and `answer`, the bot's last words.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from agents import (
    Agent,
    ModelSettings,
    Runner,
    function_tool,
    set_default_openai_api,
    set_tracing_disabled,
)

CALLS: list[dict[str, Any]] = []


def noted(name: str, arguments: dict[str, Any], result: str) -> str:
    CALLS.append({"name": name, "arguments": arguments, "result": result})
    return result


@function_tool
async def list_files() -> str:
    """List the files of the project, one a line."""
    names = sorted(path.name for path in Path().iterdir() if path.is_file())
    return noted("list_files", {}, "\n".join(names))


@function_tool
async def read_file(path: str) -> str:
    """Read a file.

    Args:
        path: Its name.
    """
    return noted("read_file", {"path": path}, Path(path).read_text())


@function_tool
async def edit_file(path: str, old: str, new: str) -> str:
    """Replace the only place in a file where a text stands.

    Args:
        path: Its name.
        old: The text that stands there now.
        new: The text that will stand there.
    """
    text = Path(path).read_text()
    count = text.count(old)
    if count == 1:
        Path(path).write_text(text.replace(old, new))
    result = "edited" if count == 1 else f"not edited: the text is there {count} times"
    return noted("edit_file", {"path": path, "old": old, "new": new}, result)


@function_tool
async def run_check() -> str:
    """Run the checks of the project; say what is wrong, or that all is well."""
    done = subprocess.run(
        [sys.executable, "-B", "check.py"], capture_output=True, text=True, check=False
    )
    return noted("run_check", {}, done.stdout.strip())


async def main(
    model: str, task: str, speaking: Literal["chat_completions", "responses"], *, stream: bool
) -> None:
    set_tracing_disabled(True)
    set_default_openai_api(speaking)
    agent = Agent(
        name="Coder",
        instructions="You repair the project in this folder with the help of your tools.",
        model=model,
        model_settings=ModelSettings(parallel_tool_calls=True, include_usage=stream or None),
        tools=[list_files, read_file, edit_file, run_check],
    )
    if stream:
        running = Runner.run_streamed(agent, task, max_turns=40)
        async for _ in running.stream_events():
            pass
        answer = running.final_output
    else:
        answer = (await Runner.run(agent, task, max_turns=40)).final_output
    print(json.dumps({"calls": CALLS, "answer": answer}))


if __name__ == "__main__":
    model, task, speaking, manner = sys.argv[1:]
    assert speaking == "chat_completions" or speaking == "responses"
    asyncio.run(main(model, task, speaking, stream=manner == "stream"))
