"""What users see who point their program here: the same facts, by every client that can tell."""

from __future__ import annotations

import json

import pytest

from .conftest import BUILT, CITY, ECHO, NOBODY, SUNNY, TAGS, TITLE, Upstream, is_left_out

#: Each client with what it can do besides streaming and showing errors.
ALL_CLIENTS = {
    "openai_python": "whole tools_whole tools_streamed image usage structured reasoning models",
    "openai_node": "whole tools_whole tools_streamed image usage models",
    "langchain_client": "whole tools_whole tools_streamed image usage structured",
    "ai_sdk": "whole tools_whole tools_streamed image usage structured reasoning",
    "llm_client": "whole tools_whole tools_streamed image usage structured",
    "nextchat": "whole tools_streamed image reasoning models",
    "open_webui": "whole tools_streamed image models",
    "shell_gpt_client": "",
    "langchain_js": "whole tools_whole tools_streamed image usage structured",
    "openai_go_1": "whole tools_whole tools_streamed image usage structured models",
    "openai_go_3": "whole tools_whole tools_streamed image usage structured models",
    "go_openai": "whole tools_whole tools_streamed image usage structured reasoning models",
    "async_openai": "whole tools_whole tools_streamed image usage structured models",
}
CLIENTS = {name: scenes for name, scenes in ALL_CLIENTS.items() if not is_left_out(name)}
#: They print what they stream; of them only the whole is seen here.
PRINTERS = {"llm_client", "shell_gpt_client"}


def clients_with(scene: str) -> list[str]:
    return [client for client, scenes in CLIENTS.items() if scene in scenes.split()]


@pytest.mark.parametrize("client", clients_with("whole"))
def test_a_whole_answer_arrives(upstream: Upstream, client: str) -> None:
    """A whole answer is the bot's, letter by letter."""
    assert ECHO == upstream.report(client)["whole"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_streamed_answer_arrives(upstream: Upstream, client: str) -> None:
    """The pieces of a streamed answer make up what the bot said."""
    assert ECHO == "".join(upstream.report(client)["streamed"])


@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in PRINTERS])
def test_a_streamed_answer_arrives_in_pieces(upstream: Upstream, client: str) -> None:
    """A program that reads a stream gets the words one after the other."""
    assert 1 < len(upstream.report(client)["streamed"])


@pytest.mark.parametrize(
    ("client", "scene"),
    [
        (client, scene)
        for scene in ("tools_whole", "tools_streamed")
        for client in clients_with(scene)
    ],
)
def test_a_tool_is_called_and_its_result_answered(
    upstream: Upstream, client: str, scene: str
) -> None:
    """The client runs the tool that the bot calls; the bot is told, and answers."""
    report = upstream.report(client)
    # Each scene is two lines of the bot: the call, and the answer to what it was told then.
    is_second = scene == "tools_streamed" and client in clients_with("tools_whole")
    answered = report["told"][3 if is_second else 1]

    assert {"calls": [["get_weather", {"city": "Paris"}]], "text": SUNNY} == report[scene]
    assert "17 degrees" in json.dumps(answered)


def test_shell_gpt_runs_one_function_of_several(upstream: Upstream) -> None:
    """`parallel_tool_calls: false` is kept: shell-gpt could not tell two calls apart."""
    report = upstream.report("shell_gpt_client")

    assert {"called": '> @FunctionCall `get_weather(city="Paris")', "text": SUNNY} == report[
        "tools"
    ]
    assert "17 degrees" in json.dumps(report["told"][2])


def test_open_webui_begins_a_chat(upstream: Upstream) -> None:
    """It asks for a title and tags of its own, and then with all its tools; one is called."""
    report = upstream.report("open_webui")

    called = {"calls": [["get_weather", {"city": "Paris"}]], "text": SUNNY}
    assert {**TITLE, **TAGS, **called} == report["new_chat"]
    assert "17 degrees" in json.dumps(report["told"][3])


def test_nextchat_reads_several_calls_one_a_chunk(upstream: Upstream) -> None:
    """NextChat, which reads only the first call of a chunk, misses none of two."""
    calls = upstream.report("nextchat")["two_tools_streamed"]

    assert [["get_weather", {"city": "Paris"}], ["get_weather", {"city": "Rome"}]] == calls


def test_nextchat_speaks_as_a_developer(upstream: Upstream) -> None:
    """A developer message with max_completion_tokens, as for the o-series, is understood.

    On cookies it stands in the prompt before the user's words, which the bot repeats here.
    """
    assert upstream.report("nextchat")["developer"].endswith(ECHO)


def test_the_async_client_is_served(upstream: Upstream) -> None:
    """The async client of the openai package reads whole and streamed answers."""
    report = upstream.report("openai_python")

    assert ECHO == report["whole_async"]
    assert ECHO == "".join(report["streamed_async"])


@pytest.mark.parametrize("client", clients_with("image"))
def test_a_picture_reaches_the_bot(upstream: Upstream, client: str) -> None:
    """A picture is attached to the message: the bot tells of one."""
    text = upstream.report(client)["image"]

    assert "You attached" in text or "I see 1" in text


@pytest.mark.parametrize("client", clients_with("usage"))
def test_usage_is_told(upstream: Upstream, client: str) -> None:
    """The tokens of prompt and answer are counted for the client."""
    prompt, completion = upstream.report(client)["usage"]

    assert 0 < prompt
    assert 0 < completion


@pytest.mark.parametrize("client", clients_with("structured"))
def test_an_object_is_read(upstream: Upstream, client: str) -> None:
    """A schema is asked for by the client's own means, and its object comes back."""
    assert CITY == upstream.report(client)["structured"]


@pytest.mark.parametrize("client", clients_with("reasoning"))
def test_thoughts_are_kept_apart(upstream: Upstream, client: str) -> None:
    """What the bot thinks is reasoning to the client, and no part of the answer."""
    answer = upstream.report(client)["reasoning"]

    assert ECHO == answer["text"]
    assert answer["reasoning"]


def test_streamed_thoughts_are_kept_apart(upstream: Upstream) -> None:
    """The AI SDK tells thoughts from the answer in a stream, too."""
    answer = upstream.report("ai_sdk")["reasoning_streamed"]

    assert ECHO == answer["text"]
    assert answer["reasoning"]


@pytest.mark.parametrize("client", clients_with("models"))
def test_models_are_listed(upstream: Upstream, client: str) -> None:
    """The client finds the models to choose from."""
    assert "assistant" in [name.lower() for name in upstream.report(client)["models"]]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_model_is_named_to_the_user(upstream: Upstream, client: str) -> None:
    """The user of each client reads which bot there is not."""
    assert NOBODY in upstream.report(client)["unknown_model"]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name in ("ai_sdk", *BUILT)])
def test_an_unknown_model_is_named_when_streaming_begins(upstream: Upstream, client: str) -> None:
    """A client hands over the error of a stream that never began."""
    assert NOBODY in upstream.report(client)["unknown_model_streamed"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_key_is_told_to_the_user(upstream: Upstream, client: str) -> None:
    """The user of each client reads that the key is wrong."""
    assert "API key" in upstream.report(client)["wrong_key"]
