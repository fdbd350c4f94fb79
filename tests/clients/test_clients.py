"""What users see who point their program here: the same facts, by every client that can tell."""

from __future__ import annotations

import json

import pytest

from .conftest import BUILT, CITY, ECHO, NOBODY, SUNNY, TAGS, TITLE, Upstream, is_left_out

#: Each client with what it can do besides streaming and showing errors.
ALL_CLIENTS = {
    "openai_python": "whole tools_whole tools_streamed image usage structured reasoning models",
    "openai_python_responses": (
        "whole tools_whole tools_streamed image usage structured reasoning count broken"
    ),
    "openai_node": "whole tools_whole tools_streamed image usage models",
    "openai_node_responses": (
        "whole tools_whole tools_streamed image usage structured reasoning count broken"
    ),
    "anthropic_python": (
        "whole tools_whole tools_streamed image usage structured reasoning models count broken"
    ),
    "anthropic_node": (
        "whole tools_whole tools_streamed image usage structured reasoning models count broken"
    ),
    "langchain_client": "whole tools_whole tools_streamed image usage structured",
    "langchain_responses": "whole tools_whole tools_streamed image usage structured reasoning",
    "langchain_messages": "whole tools_whole tools_streamed image usage structured reasoning",
    "ai_sdk": "whole tools_whole tools_streamed image usage structured reasoning broken",
    "ai_sdk_responses": "whole tools_whole tools_streamed image usage structured reasoning broken",
    "ai_sdk_messages": "whole tools_whole tools_streamed image usage structured reasoning broken",
    "llm_client": "whole tools_whole tools_streamed image usage structured",
    "nextchat": "whole tools_streamed image reasoning models",
    "open_webui": "whole tools_streamed image models",
    "shell_gpt_client": "",
    "langchain_js": "whole tools_whole tools_streamed image usage structured",
    "openai_go_1": "whole tools_whole tools_streamed image usage structured models",
    "openai_go_3": "whole tools_whole tools_streamed image usage structured models",
    "openai_go_3_responses": ("whole tools_whole tools_streamed image usage structured broken"),
    "go_openai": "whole tools_whole tools_streamed image usage structured reasoning models",
    "async_openai": "whole tools_whole tools_streamed image usage structured models",
}
CLIENTS = {name: scenes for name, scenes in ALL_CLIENTS.items() if not is_left_out(name)}
#: They print what they stream; of them only the whole is seen here.
PRINTERS = {"llm_client", "shell_gpt_client"}
#: They have a class of error for each status.
HAVE_CLASSES = (
    "openai_python",
    "openai_python_responses",
    "openai_node",
    "openai_node_responses",
    "anthropic_python",
    "anthropic_node",
)
AI_SDKS = ("ai_sdk", "ai_sdk_responses", "ai_sdk_messages")


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


@pytest.mark.parametrize("client", AI_SDKS)
def test_streamed_thoughts_are_kept_apart(upstream: Upstream, client: str) -> None:
    """The AI SDK tells thoughts from the answer in a stream, too."""
    answer = upstream.report(client)["reasoning_streamed"]

    assert ECHO == answer["text"]
    assert answer["reasoning"]


@pytest.mark.parametrize("client", AI_SDKS)
def test_a_conversation_goes_on_with_its_thoughts(upstream: Upstream, client: str) -> None:
    """The AI SDK sends back what it has made of the first answer, and gets a second one.

    By cookie what was said before stands in the prompt, which the bot repeats here.
    """
    assert upstream.report(client)["second_turn"].endswith(ECHO)


def test_who_refers_to_what_is_not_kept_reads_what_to_set(upstream: Upstream) -> None:
    """By default the AI SDK sends the id of what was said before instead of the words."""
    complaint = upstream.report("ai_sdk_responses")["reference"]

    assert "item_reference" in complaint
    assert "store" in complaint


@pytest.mark.parametrize("client", clients_with("count"))
def test_tokens_are_counted_beforehand(upstream: Upstream, client: str) -> None:
    """A client that asks how long its prompt is gets a figure."""
    assert 0 < upstream.report(client)["count"]


@pytest.mark.parametrize("client", clients_with("models"))
def test_models_are_listed(upstream: Upstream, client: str) -> None:
    """The client finds the models to choose from."""
    assert "assistant" in [name.lower() for name in upstream.report(client)["models"]]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_model_is_named_to_the_user(upstream: Upstream, client: str) -> None:
    """The user of each client reads which bot there is not."""
    assert NOBODY in upstream.report(client)["unknown_model"]


@pytest.mark.parametrize("client", [name for name in CLIENTS if name in (*AI_SDKS, *BUILT)])
def test_an_unknown_model_is_named_when_streaming_begins(upstream: Upstream, client: str) -> None:
    """A client hands over the error of a stream that never began."""
    assert NOBODY in upstream.report(client)["unknown_model_streamed"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_key_is_told_to_the_user(upstream: Upstream, client: str) -> None:
    """The user of each client reads that the key is wrong."""
    assert "API key" in upstream.report(client)["wrong_key"]


@pytest.mark.parametrize("client", HAVE_CLASSES)
def test_errors_have_the_classes_that_programs_look_for(upstream: Upstream, client: str) -> None:
    """What a program catches is what the package has for the status."""
    report = upstream.report(client)

    assert report["unknown_model"].startswith("NotFoundError: ")
    assert report["wrong_key"].startswith("AuthenticationError: ")


@pytest.mark.parametrize("client", clients_with("broken"))
def test_a_failure_in_the_middle_is_told_to_the_user(upstream: Upstream, client: str) -> None:
    """A stream that breaks off is no answer: the client raises what the bot has failed with."""
    told = {"cookies": "error_of_some_kind", "keys": "failed in the middle"}

    assert told[upstream.name] in upstream.report(client)["broken"]
