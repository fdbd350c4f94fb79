"""The stand-in against poe-api-wrapper 1.7.1, an independent client of the real poe.com.

A stand-in and a client of one project may share a misunderstanding. This client was written against
the real site and runs unchanged; only its base URL leads to the stand-in. It runs in an environment
of its own, the stand-in in the project's (``--sim-python``).
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from loguru import logger
from poe_api_wrapper import api as wrapper

ROOT = Path(__file__).parents[3]
TOKENS = {"p-b": "independent-cookie%3D%3D", "p-lat": "second-cookie"}
BOT = "Assistant"
#: What the client and requests take a proxy from; here all is on this machine.
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Sim:
    """The stand-in as a process, in lenient mode."""

    def __init__(self, python: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # The client puts `tchN.tch.` in front of this; before `@` it is user-info.
        base_host = f"@127.0.0.1:{port}"
        self.process = subprocess.Popen(
            f"{python} -m poe_sim --port {port} --tokens {TOKENS['p-b']} --mode lenient "
            f"--base-host {base_host} --quiet".split(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"poe_sim listening on {self.url}\n", line

    def journal(self, **wanted: Any) -> list[dict[str, Any]]:
        entries = requests.get(f"{self.url}/__journal", timeout=60).json()
        return [e for e in entries if all(e.get(name) == value for name, value in wanted.items())]

    def until(self, seconds: float = 5.0, **wanted: Any) -> list[dict[str, Any]]:
        """Return the matching entries as soon as there are some."""
        end = time.monotonic() + seconds
        while not (found := self.journal(**wanted)):
            assert time.monotonic() < end, f"the journal never had {wanted}"
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Session:
    """One run of the client, fact by fact; each builds on those before it."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.client: Any = None
        self.chat_id = 0
        self.chat_code = ""

    def facts(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield (
            "it reads the form key from the page, subscribes, and opens its websocket",
            self.connect,
        )
        yield "it reads points and subscription", self.settings
        yield "it lists bots, page by page", self.bots
        yield "a new chat streams the whole text, and its title", self.new_chat
        yield "an existing chat streams the whole text", self.existing_chat
        yield "a text in many scripts arrives unchanged", self.unicode_text
        yield "a file is uploaded with the message", self.upload
        yield "another answer takes the place of a reply", self.retry
        yield "suggested replies arrive", self.suggestions
        yield "a reply is stopped, and keeps its text so far", self.cancel
        yield "a chat break is set", self.chat_break
        yield "the history has all messages", self.history
        yield "the chat is deleted", self.delete
        yield "a form key given by hand is enough", self.given_formkey
        yield "every request passed the checks", self.verdicts

    def ask(self, prompt: str, **options: Any) -> tuple[str, list[dict[str, Any]]]:
        """Return the text that the client joined, and its chunks."""
        chunks = [dict(chunk) for chunk in self.client.send_message(BOT, prompt, **options)]
        said = "".join(chunk["response"] for chunk in chunks)
        assert chunks[-1]["state"] == "complete", chunks[-1]["state"]
        assert said == chunks[-1]["text"], (said, chunks[-1]["text"])
        return said, chunks

    def connect(self) -> None:
        self.client = wrapper.PoeApi(TOKENS)
        assert len(self.client.formkey) == 32
        assert self.client.ws_connected
        assert self.sim.journal(queryName="SubscriptionsMutation", verdict="ok")

    def settings(self) -> None:
        found = self.client.get_settings()
        assert found["messagePointInfo"]["messagePointBalance"] > 0
        assert found["subscription"]["isActive"] is True

    def bots(self) -> None:
        found = self.client.get_available_bots(count=25)
        assert len(found) >= 25
        assert BOT in found

    def new_chat(self) -> None:
        said, chunks = self.ask("!echo !size=6 Tell me about the weather of tomorrow")
        assert said == "Tell me about the weather of tomorrow"
        assert len([chunk for chunk in chunks if chunk["response"]]) > 3
        assert chunks[-1]["title"] == "Tell me about the weather"
        self.chat_id, self.chat_code = chunks[-1]["chatId"], chunks[-1]["chatCode"]

    def existing_chat(self) -> None:
        said, chunks = self.ask("!chunks=5 count to 12", chatId=self.chat_id)
        assert said == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12."
        assert chunks[-1]["chatId"] == self.chat_id

    def unicode_text(self) -> None:
        text = "Grüße, 你好, مرحبا, 👩‍👩‍👧 — und “Schluß”"
        said, _ = self.ask(f"!echo !chunks=6 {text}", chatId=self.chat_id)
        assert said == text

    def upload(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "notes.txt"
            file.write_text("some notes")
            said, _ = self.ask("What is in it?", chatId=self.chat_id, file_path=[str(file)])
        assert said.endswith("You attached: notes.txt."), said
        assert self.sim.journal(path="/api/gql_upload_POST", verdict="ok")

    def retry(self) -> None:
        chunks = list(self.client.retry_message(self.chat_code))
        assert chunks[-1]["state"] == "complete"
        assert chunks[-1]["text"].startswith("Thank you for your question."), chunks[-1]["text"]

    def suggestions(self) -> None:
        prompt = "!echo !followups=2 !repeat-complete=6 And then?"
        chunks = list(
            self.client.send_message(BOT, prompt, chatId=self.chat_id, suggest_replies=True)
        )
        assert chunks[-1]["text"] == "And then?"
        assert chunks[-1]["suggestedReplies"] == [
            "Tell me more about point 1.",
            "Tell me more about point 2.",
        ], chunks[-1]["suggestedReplies"]

    def cancel(self) -> None:
        text = ""
        prompt = "!long=5000 !delay=0.05 Talk until I stop you"
        for chunk in self.client.send_message(BOT, prompt, chatId=self.chat_id):
            text = chunk["text"]
            if len(text) > 100:
                self.client.cancel_message(chunk)
                break
        stopped = self.sim.until(event="reply-cancelled", chatId=self.chat_id)
        assert 100 < stopped[0]["length"] < 5000

    def chat_break(self) -> None:
        self.client.chat_break(BOT, chatId=self.chat_id)
        assert self.sim.journal(queryName="SendChatBreakMutation", verdict="ok")

    def history(self) -> None:
        messages = self.client.get_previous_messages(BOT, chatId=self.chat_id, get_all=True)
        authors = {message["author"] for message in messages}
        assert {"human", "capybara", "chat_break"} <= authors, authors
        assert any(message["text"] == "And then?" for message in messages)

    def delete(self) -> None:
        self.client.delete_chat(BOT, chatId=self.chat_id)
        assert self.sim.journal(event="chat-deleted", chatId=self.chat_id)
        assert not self.client.get_chat_history()["data"]

    def given_formkey(self) -> None:
        formkey = self.client.formkey
        self.client.disconnect_ws()
        pages = len(self.sim.journal(path="/"))
        self.client = wrapper.PoeApi({**TOKENS, "formkey": formkey})
        said, chunks = self.ask("!echo Once more")
        assert said == "Once more"
        assert len(self.sim.journal(path="/")) == pages, "it fetched the page all the same"
        self.client.delete_chat(BOT, chatId=chunks[-1]["chatId"])
        self.client.disconnect_ws()

    def verdicts(self) -> None:
        asked = [entry for entry in self.sim.journal(face="web") if "verdict" in entry]
        wrong = [entry for entry in asked if entry["verdict"] != "ok"]
        assert not wrong, wrong
        posts = [entry for entry in asked if "gql" in entry["path"]]
        assert len(posts) > 30, len(posts)
        assert {entry["tag"] for entry in posts} == {"ok"}
        assert {entry["formkey"] for entry in posts} == {"ok"}
        # Its hashes are from mid-2025, and all of them are in the stand-in's table.
        assert all(entry["hashKnown"] for entry in posts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sim-python", default=str(ROOT / ".venv" / "bin" / "python"))
    parser.add_argument("--verbose", action="store_true", help="show the client's log")
    options = parser.parse_args()
    for name in PROXIES:
        os.environ.pop(name, None)
    os.environ["NO_PROXY"] = "127.0.0.1"
    if not options.verbose:
        logger.remove()
    sim = Sim(options.sim_python)
    wrapper.PoeApi.BASE_URL = sim.url
    try:
        for fact, check in Session(sim).facts():
            try:
                check()
            except Exception as error:
                print(f"FAIL  {fact}: {error!r}", flush=True)
                if options.verbose:
                    raise
                return 1
            print(f"ok    {fact}", flush=True)
    finally:
        sim.stop()
    return 0


if __name__ == "__main__":
    # The client's websocket threads would keep the process until their time limits.
    sys.stdout.flush()
    code = main()
    os._exit(code)
