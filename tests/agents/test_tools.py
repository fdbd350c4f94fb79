"""A coding agent with tools: OpenAI's Agents SDK, the program in `coder`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import BOT, Way, environment

#: Agents SDK is in the environment of the independent clients, whose needs it shares.
PYTHON = environment("api") / "python"
CODER = Path(__file__).with_name("coder.py")
TASK = "Repair all that the check complains of."


@dataclass(frozen=True)
class Module:
    """A module of the project, with one function of its own name."""

    parameters: str
    wrong: str
    right: str
    #: What must be true of the function `f`.
    fact: str


#: What is hard to carry in JSON, in a tag or in a fence is here.
MODULES = {
    "area": Module(
        "width, height", "return width + height", "return width * height", "f(3, 4) == 12"
    ),
    "fence": Module(
        "text",
        'return "```"',
        'return "```python\\n" + text + "\\n```"',
        "f('x') == '`' * 3 + 'python\\nx\\n' + '`' * 3",
    ),
    "greet": Module(
        "name",
        'return "Hello"',
        "return f'Hello, \"{name}\"! 你好 👋'",
        "f('Ada') == 'Hello, \"Ada\"! \\u4f60\\u597d \\U0001f44b'",
    ),
    "path": Module(
        "",
        'return "C:"',
        r'return r"C:\new\table" + "\\"',
        "f() == chr(92).join(['C:', 'new', 'table', ''])",
    ),
    "share": Module(
        "total, people",
        "return total / 0",
        "# nothing for nobody\n    return total / people if people else 0",
        "f(6, 0) == 0",
    ),
    "tag": Module(
        "",
        'return "?"',
        'return """<tool_call>\n{}\n</tool_call>\n</tool_result>\n"""',
        "f().splitlines() == ['<tool_call>', '{}', '</tool_call>', '</tool_result>']",
    ),
}
CHECK = """\
import importlib
for name, fact in {facts!r}.items():
    try:
        is_right = eval(fact, {{"f": getattr(importlib.import_module(name), name)}})
    except Exception:
        is_right = False
    if not is_right:
        print(name, "is wrong")
        break
else:
    print("all is well")
"""

Call = dict[str, Any]
#: The text of an answer, and its calls.
Turn = tuple[str, list[Call]]


def source(name: str, body: str) -> str:
    return f"def {name}({MODULES[name].parameters}):\n    {body}\n"


def call(name: str, **arguments: str) -> Call:
    return {"name": name, "arguments": arguments}


def repair(name: str) -> Call:
    module = MODULES[name]
    return call("edit_file", path=f"{name}.py", old=module.wrong, new=module.right)


#: Calls of which the second does not say what the new text is.
FORGETFUL: Turn = (
    "Now `greet`.",
    [
        call("read_file", path="greet.py"),
        call("edit_file", path="greet.py", old=MODULES["greet"].wrong),
    ],
)
MADE_GOOD: Turn = ("", [repair("greet")])
CHECKED: Turn = ("", [call("run_check")])
BEFORE: Sequence[Turn] = (
    ("I look around first.", [call("list_files")]),
    ("", [call("read_file", path=f"{name}.py") for name in MODULES]),
    ("", [call("read_file", path="check.py"), call("run_check")]),
    ("Now `area`.", [repair("area")]),
    CHECKED,
    ("Now `fence`.", [repair("fence")]),
    CHECKED,
)
AFTER: Sequence[Turn] = (
    CHECKED,
    ("Now `path`.", [repair("path")]),
    CHECKED,
    ("Now `share`.", [repair("share")]),
    CHECKED,
    ("The last one.", [repair("tag"), call("read_file", path="tag.py"), call("run_check")]),
)
ANSWER = "All is well now."
#: What the bot says, and what of it is carried out.
SAID = (*BEFORE, FORGETFUL, MADE_GOOD, *AFTER)
DONE = (*BEFORE, (FORGETFUL[0], [FORGETFUL[1][0], *MADE_GOOD[1]]), *AFTER)
CALLS = [each for _, calls in DONE for each in calls]
#: How the agent tells the bot that arguments do not fit.
COMPLAINT = "An error occurred while running the tool."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in which every module is wrong, and a check that finds the first of them."""
    made = tmp_path / "project"
    made.mkdir()
    for name, module in MODULES.items():
        (made / f"{name}.py").write_text(source(name, module.wrong))
    facts = {name: module.fact for name, module in MODULES.items()}
    (made / "check.py").write_text(CHECK.format(facts=facts))
    return made


def run(way: Way, folder: Path, speaking: str, manner: str) -> Any:
    """What the agent did, see `coder`."""
    options = (str(CODER), BOT, TASK, speaking, manner)
    return json.loads(way.run(PYTHON, *options, folder=folder))


def history(told: Any) -> list[Call]:
    """What the bot is told of after the task: texts, calls and results, in their order."""
    if isinstance(told, str):
        rest = told.partition(f"{TASK}\n")[2]
        # Labels say who speaks, wherever tools are taught.
        return list(_in_text(re.sub(r"^\|\|>(?:User|Assistant)-\n", "", rest, flags=re.M)))
    system, user, *messages = told
    assert ("system", "user", TASK) == (system["role"], user["role"], user["content"])
    return list(_in_messages(messages))


def _in_text(conversation: str) -> Iterator[Call]:
    end = 0
    for match in re.finditer(
        r"<tool_call>\n(?P<call>.*?)\n</tool_call>"
        r'|<tool_result name="(?P<name>\w+)"(?: call="\d+")?>\n(?P<result>.*?)\n</tool_result>',
        conversation,
        re.DOTALL,
    ):
        if text := conversation[end : match.start()].strip():
            yield {"text": text}
        end = match.end()
        if match["call"]:
            yield json.loads(match["call"])
        else:
            # The bot's own end tag does not stand in a result.
            yield {"name": match["name"], "result": match["result"].replace("<\\", "<")}
    if text := conversation[end:].strip():
        yield {"text": text}


def _in_messages(messages: Sequence[Any]) -> Iterator[Call]:
    names = {}
    for message in messages:
        if message["role"] == "tool":
            # The id is used up: there is one result for each call.
            name = names.pop(message["tool_call_id"])
            yield {"name": name, "result": message["content"]}
            continue
        assert {} == names
        if message["content"]:
            yield {"text": message["content"]}
        for each in message["tool_calls"]:
            function = each["function"]
            names[each["id"]] = function["name"]
            yield call(function["name"], **json.loads(function["arguments"]))
    assert {} == names


def transcript(turns: Sequence[Turn], results: Sequence[str]) -> list[Call]:
    """These turns as the bot should be told of them: each call followed by its result."""
    events: list[Call] = []
    rest = iter(results)
    for text, calls in turns:
        events += [{"text": text}] if text else []
        events += calls
        events += [{"name": each["name"], "result": next(rest)} for each in calls]
    return events


def keeps_its_shape(way: Way, folder: Path, speaking: str, manner: str) -> None:
    """Every call is carried out as the bot made it, and it is told of each with its result.

    One call lacks an argument. On cookies the bot is asked once more, and nobody else hears of
    it; on keys the agent tells the bot.
    """
    way.give_lines([*(way.turn(*turn) for turn in SAID), ANSWER])

    did = run(way, folder, speaking, manner)

    assert len(CALLS) >= 20
    assert CALLS == [call(each["name"], **each["arguments"]) for each in did["calls"]]
    assert ANSWER == did["answer"]
    assert "all is well" == did["calls"][-1]["result"]
    for name, module in MODULES.items():
        assert source(name, module.right) == (folder / f"{name}.py").read_text()
    told = way.told()
    assert len(SAID) + 1 == len(told)
    turns, results = DONE, [each["result"] for each in did["calls"]]
    if way.by_cookie:
        repairing = told.pop(len(BEFORE) + 1)
        assert repairing.startswith(told[len(BEFORE)])
        assert 'The arguments of that call to "edit_file" do not fit its schema' in repairing
    else:
        turns = SAID
        at = sum(len(calls) for _, calls in (*BEFORE, FORGETFUL)) - 1
        results.insert(at, complaint_in(history(told[-1])))
    for place, one in enumerate(told):
        assert transcript(turns[:place], results) == history(one)


def complaint_in(events: Sequence[Call]) -> str:
    """The only result that is a complaint of the agent."""
    (found,) = (each["result"] for each in events if COMPLAINT in each.get("result", ""))
    return str(found)


@pytest.mark.parametrize("manner", ["whole", "stream"])
def test_a_session_of_twenty_calls_keeps_its_shape(way: Way, manner: str, folder: Path) -> None:
    """By chat completions, whole and streamed."""
    keeps_its_shape(way, folder, "chat_completions", manner)


def test_a_session_by_responses_keeps_its_shape(by_key: Way, folder: Path) -> None:
    """The API that the SDK speaks unless it is told otherwise; answers come whole."""
    keeps_its_shape(by_key, folder, "responses", "whole")


def test_a_streamed_session_by_responses_keeps_its_shape(by_cookie: Way, folder: Path) -> None:
    """The same as it arrives, with a bot that is taught its tools."""
    keeps_its_shape(by_cookie, folder, "responses", "stream")
