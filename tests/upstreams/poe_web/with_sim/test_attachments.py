"""Images and files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import ChatRequest, FilePart, ImagePart, Message, TextPart
from poe_proxy.upstreams.poe_web.account import PoeWeb

from .accounts import PNG, TEXT_URI, URI, Account, Part, ask, chat, failure_of


def uploads(account: Account) -> list[dict[str, Any]]:
    return account.journal(path="/api/finish_upload_POST", status=200)


def test_images_and_files_are_uploaded_ahead(account: Account, web: PoeWeb) -> None:
    """The attachments of the whole conversation go ahead of the message, in their order."""
    first = Message(role="user", content=(TextPart("look"), ImagePart(URI)))
    last = Message(role="user", content=(FilePart(TEXT_URI, "notes.txt"), TextPart("well?")))
    reply = ask(web, ChatRequest(model="m", messages=(first, last)))

    assert re.search(r"You attached: image-[0-9a-f]{8}\.png, notes\.txt\.", reply.text)
    assert [len(PNG), 10] == [entry["size"] for entry in uploads(account)]
    assert all("poe-tag-id" not in entry["headers"] for entry in uploads(account))


@pytest.mark.parametrize("form", ["plain", "quoted", "json", "nested"])
def test_the_ticket_is_found_in_any_form(
    account: Account, control: Callable[..., Any], form: str
) -> None:
    """Poe may wrap the ticket as it likes."""
    control(jwt_form=form)

    assert "You attached" in ask(account.web(), chat("hello", ImagePart(URI))).text


def test_a_content_is_uploaded_once(account: Account, web: PoeWeb) -> None:
    """The next turn of a conversation brings the same image again: it is not sent again."""
    for _ in range(2):
        reply = ask(web, chat("hello", ImagePart(URI), ImagePart(URI)))

    assert "You attached" in reply.text
    assert 1 == len(uploads(account))


def test_files_go_along_with_the_message_where_poe_says_so(
    account: Account, control: Callable[..., Any]
) -> None:
    """The older way, one request with message and files, is taken where Poe recommends it."""
    control(upload_endpoint="gql")
    reply = ask(account.web(), chat("hello", ImagePart(URI), FilePart(TEXT_URI, "notes.txt")))

    assert re.search(r"You attached: image-[0-9a-f]{8}\.png, notes\.txt\.", reply.text)
    assert [] == uploads(account)
    assert ["ok"] == [e["verdict"] for e in account.journal(path="/api/gql_upload_POST")]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_upload_is_repeated_with_a_new_form_key(
    account: Account, web: PoeWeb, status: int
) -> None:
    """A form key that went stale is renewed once for an upload too."""
    ask(web, "!echo hi")
    account.sim.control(
        fail={"path": "/api/finish_upload_POST", "times": 1, "with": {"http": status}}
    )
    reply = ask(web, chat("hello", ImagePart(URI)))

    assert "You attached" in reply.text
    assert 2 == len(account.journal(path="/", method="GET"))


def test_a_file_that_is_too_large_is_refused(account: Account, control: Callable[..., Any]) -> None:
    """Poe's 413 for a file is the client's to mend."""
    control(upload_limit=5)
    raised = failure_of(account.web(), chat("hello", ImagePart(URI)))

    assert isinstance(raised, errors.PromptTooLong)
    assert [] == account.sends()


def test_an_upload_that_fails_may_be_tried_on_another_token(
    account: Account, control: Callable[..., Any]
) -> None:
    """Nothing was sent yet when an upload fails."""
    control(fail={"path": "/api/finish_upload_POST", "times": 9, "with": {"http": 502}})
    raised = failure_of(account.web(), chat("hello", ImagePart(URI)))

    assert isinstance(raised, errors.LoginFailed)
    assert raised.another_token
    assert [] == account.sends()


def test_a_bot_that_takes_no_files_refuses_them(part: Part) -> None:
    """A bot that reads text only refuses the messages, before anything is uploaded."""
    raised = failure_of(part.web, chat("hello", ImagePart(URI)), "Sim-Text-Only")

    assert isinstance(raised, errors.ParameterRefused)
    assert "messages" == raised.param
    assert [] == part.sends()


def test_a_file_that_poe_takes_for_dangerous_is_refused(part: Part) -> None:
    """A refusal for the kind of file names the messages."""
    raised = failure_of(part.web, chat("hello", FilePart(TEXT_URI, "game.exe")))

    assert isinstance(raised, errors.ParameterRefused)
    assert "messages" == raised.param


@dataclass
class FetchedFile:
    data: bytes = PNG
    content_type: str | None = "image/png; charset=x"
    filename: str | None = "cat.png"


def test_an_https_url_is_fetched(account: Account) -> None:
    """A file that a URL names is fetched and uploaded."""
    asked: list[str] = []

    def fetch(url: str, seconds: float) -> FetchedFile:
        asked.append(url)
        return FetchedFile()

    reply = ask(account.web(fetch=fetch), chat("hello", ImagePart("https://pics.test/cat.png")))

    assert ["https://pics.test/cat.png"] == asked
    assert "You attached: cat.png." in reply.text


def test_a_url_that_cannot_be_fetched_ends_the_request(account: Account) -> None:
    """The fetcher's own refusal reaches the client, and nothing is sent to Poe."""

    def fetch(url: str, seconds: float) -> FetchedFile:
        raise errors.InvalidRequest("not a public address", param="messages")

    part = ImagePart("https://x.test/", path="messages[0].content[1]")
    raised = failure_of(account.web(fetch=fetch), chat("hello", part))

    assert "messages[0].content[1]: not a public address" == raised.message
    assert "messages[0].content[1]" == raised.param
    assert [] == account.journal()


def test_many_images_are_refused_before_any_is_fetched(account: Account) -> None:
    """A small body may not set off a large work: the first that is too much is named."""

    def fetch(url: str, seconds: float) -> FetchedFile:
        raise AssertionError(url)

    images = (
        ImagePart(f"https://pics.test/{place}.png", path=f"image {place}") for place in range(200)
    )
    raised = failure_of(account.web(fetch=fetch), chat("hello", *images))

    assert isinstance(raised, errors.InvalidRequest)
    assert "image 20" == raised.param
    assert [] == account.journal()


def test_a_bad_data_uri_is_the_client_s_fault(part: Part) -> None:
    """An invalid image is refused before anything is sent to Poe."""
    image = ImagePart("data:image/png;base64,!!!", path="messages[0].content[1]")
    raised = failure_of(part.web, chat("hello", image))

    assert isinstance(raised, errors.InvalidRequest)
    assert "messages[0].content[1]" == raised.param
    assert [] == part.sends()
