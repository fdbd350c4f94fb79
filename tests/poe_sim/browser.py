"""A browser at poe.com, written as plainly as possible, for tests of the stand-in."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any, Self

import quickjs
import requests
import websocket

AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
)
SALT = "4LxgHM6KpFqokX0Ox"
PRELUDE = (
    f"var window={{document:{{hack:1}},navigator:{{userAgent:'{AGENT}'}}}};"
    "var document=window.document,navigator=window.navigator,self=window;"
)


def tag(body: bytes, formkey: str) -> str:
    return hashlib.md5(body + formkey.encode() + SALT.encode()).hexdigest()


def swap(plain: str) -> str:
    letters = list(plain)
    letters[20], letters[24] = letters[24], letters[20]
    return "".join(letters)


def nonce() -> str:
    return secrets.token_hex(8)


def chunk_paths(script: str) -> list[str]:
    """Return the paths of chunks that a manifest or webpack's runtime names."""
    if "__BUILD_MANIFEST" in script:
        return re.findall(r'"(static/[^"]+[.]js)"', script.replace(r"\u002F", "/"))
    if "r.u=" not in script:
        return []
    paths: list[str] = re.findall(r'===e[?]"(static/[^"]+)"', script)
    if maps := re.findall(r"\(\{([^}]+)\}\)\[e\]", script):
        aliases, hashes = (dict(re.findall(r'(\d+):"(\w+)"', one)) for one in maps)
        paths += [
            f"static/chunks/{aliases.get(number, number)}.{value}.js"
            for number, value in hashes.items()
        ]
    return paths


class Browser:
    """One logged-in user. A test may change `hashes` and the session's headers."""

    def __init__(self, url: str, token: str, *, mode: str = "strict") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"User-Agent": AGENT, "Cookie": f"p-b={token}"})
        self.mode = mode
        self.formkey = self.revision = ""
        self.channel: dict[str, Any] = {}
        self.hashes: dict[str, str] = {}
        self.sockets: list[websocket.WebSocket] = []
        self.min_seq = 0
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for socket in self.sockets:
            socket.close()
            # A websocket that the server closed keeps its socket otherwise.
            socket.shutdown()
        self.session.close()

    # Pages

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(
            self.url + path, **{"allow_redirects": False, "timeout": 60, **options}
        )

    def read_page(self, path: str = "/") -> str:
        """Read all that a browser reads from a page; return its HTML."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.status_code
        html = answer.text
        found = re.search(r'<script id="__NEXT_DATA__"[^>]*>(.*?)</script>', html)
        assert found is not None
        self.channel = json.loads(found[1])["props"]["initialData"].get("tchannelData", {})
        self.min_seq = int(self.channel.get("minSeq", 0))
        scripts = [self.session.get(src, timeout=60).text for src in self.script_urls(html)]
        revision = re.search(r'"poe-revision":"([0-9a-f]{40})"', "".join(scripts))
        assert revision is not None
        self.revision = revision[1]
        self.hashes = {
            name.removeprefix("subscriptions_").removesuffix("_Subscription"): value
            for value, name in re.findall(
                r'params:\{id:"([0-9a-f]{64})",metadata:\{\},name:"(\w+)"', "".join(scripts)
            )
        }
        self.formkey = self.decode_formkey(html, "".join(scripts))
        return html

    def script_urls(self, html: str) -> list[str]:
        """Return the URLs of all scripts: those of the page, of its manifest, and of webpack."""
        urls = re.findall(r"""src=["']([^"']+)""", html)
        texts = [self.session.get(url, timeout=60).text for url in urls]
        base = urls[0].partition("static/")[0]
        paths = [path for text in texts for path in chunk_paths(text)]
        return [*urls, *dict.fromkeys(base + path for path in paths if base + path not in urls)]

    @staticmethod
    def decode_formkey(html: str, app: str, prelude: str = PRELUDE) -> str:
        blocks = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
        inline = ";".join(block for block in blocks if "document." not in block)
        secret = re.search(r'let useFormkeyDecode=[\s\S]*?(window\.\w+="[^"]+")', app)
        getter = re.search(r"window\.(\w+)=function\(\)\{return window", inline)
        assert getter is not None
        program = f"{prelude}{inline};{secret[1] if secret else ''};window.{getter[1]}()"
        key = quickjs.Context().eval(program)
        assert len(key) == 33
        return str(key)[:32]

    # GraphQL

    def post(self, path: str, body: bytes, **headers: str | None) -> requests.Response:
        """POST with all headers of today's browser; None leaves one out."""
        usual: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Poe-Formkey": self.formkey,
            "Poe-Tchannel": self.channel.get("channel"),
            "poe-tag-id": tag(body, self.formkey),
            "Poe-Revision": self.revision,
            "poegraphql": "1",
        }
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        lower = {name.lower() for name in changed}
        kept = {name: value for name, value in usual.items() if name.lower() not in lower}
        sent = {name: value for name, value in (kept | changed).items() if value is not None}
        return self.session.post(
            self.url + path, data=body, headers=sent, allow_redirects=False, timeout=60
        )

    def envelope(self, name: str, variables: dict[str, Any]) -> bytes:
        value = self.hashes.get(name) or self.hashes.get(name[0].lower() + name[1:], "0" * 64)
        body = {"queryName": name, "variables": variables, "extensions": {"hash": value}}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

    def query(
        self, name: str, variables: dict[str, Any] | None = None, **headers: str | None
    ) -> requests.Response:
        body = self.envelope(name, variables or {})
        return self.post("/api/gql_POST", body, **{"poe-queryname": name, **headers})

    def data(self, name: str, **variables: Any) -> Any:
        answer = self.query(name, variables)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"] is not None, answer.text
        return answer.json()["data"]

    def subscribe(self) -> None:
        self.data("subscriptionsMutation", subscriptions=SUBSCRIPTIONS)

    def listen(self, min_seq: int | None = None) -> websocket.WebSocket:
        """Open a websocket; earlier ones stay open."""
        given = self.min_seq if min_seq is None else min_seq
        channel = self.channel
        url = (
            f"{self.url.replace('http', 'ws')}/up/{channel['boxName']}/updates"
            f"?min_seq={given}&channel={channel['channel']}&hash={channel['channelHash']}"
        )
        socket = websocket.create_connection(
            url,
            timeout=60,
            header={"User-Agent": AGENT},
            # The check is slow, and the JSON parser checks again.
            skip_utf8_validation=True,
        )
        self.sockets.append(socket)
        return socket

    def open(self) -> None:
        self.read_page()
        self.subscribe()
        self.listen()

    def send_variables(self, prompt: str, bot: str = "GPT-4o", **changes: Any) -> dict[str, Any]:
        chat_id = changes.get("chatId")
        return {
            "chatId": chat_id,
            "bot": bot,
            "query": prompt,
            "source": {"sourceType": "chat_input", "chatInputMetadata": {"useVoiceRecord": False}},
            "clientNonce": nonce(),
            "sdid": "6f9619ff-8b86-4d11-b42d-00c04fc964ff",
            "attachments": [],
            "chatNonce": nonce(),
            "existingMessageAttachmentsIds": [],
            "shouldFetchChat": chat_id is None,
            "referencedMessageId": None,
            "parameters": None,
            "fileHashJwts": [],
            **changes,
        }

    def send(self, prompt: str, bot: str = "GPT-4o", **changes: Any) -> requests.Response:
        return self.query("sendMessageMutation", self.send_variables(prompt, bot, **changes))

    def say(self, prompt: str, bot: str = "GPT-4o", **changes: Any) -> dict[str, Any]:
        """Send a message that is accepted, and return the answer."""
        answer = self.send(prompt, bot, **changes)
        assert answer.status_code == 200, answer.text
        edge: dict[str, Any] = answer.json()["data"]["messageEdgeCreate"]
        assert edge["status"] == "success", edge
        return edge

    def status(self, prompt: str, bot: str = "GPT-4o", **changes: Any) -> str:
        edge = self.send(prompt, bot, **changes).json()["data"]["messageEdgeCreate"]
        return str(edge["status"])

    # Frames

    def frames(self, timeout: float = 60.0) -> Iterator[dict[str, Any]]:
        """Yield the frames until the websocket fails."""
        while True:
            yield self.frame(timeout)

    def frame(self, timeout: float = 60.0) -> dict[str, Any]:
        """Return the next frame of the newest websocket."""
        self.sockets[-1].settimeout(timeout)
        text = self.sockets[-1].recv()
        if not text:
            raise websocket.WebSocketConnectionClosedException("the server closed it")
        frame: dict[str, Any] = json.loads(text)
        self.min_seq = max(self.min_seq, frame.get("min_seq", 0))
        return frame

    def says_nothing(self) -> bool:
        """Whether nothing was pushed on the newest websocket before a ping was answered."""
        self.sockets[-1].send('{"type":"ping"}')
        return self.frame() == {"type": "pong"}

    def says_nothing_more(self) -> bool:
        """Close the newest websocket; return whether nothing came before it was closed."""
        socket = self.sockets[-1]
        socket.send_close()
        opcode, _ = socket.recv_data(control_frame=True)
        return bool(opcode == websocket.ABNF.OPCODE_CLOSE)

    def items(self, until: str = "viewerStateUpdated") -> list[tuple[str, dict[str, Any]]]:
        """Return the pushed items as scope and content, up to the first of one subscription."""
        found: list[tuple[str, dict[str, Any]]] = []
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for text in self.frame().get("messages", []):
                payload = json.loads(text)["payload"]
                name = payload["subscription_name"]
                content = payload["data"][name] if payload["data"] else {}
                found.append((payload["unique_id"], content))
                if name == until:
                    return found
        raise AssertionError(f"{until} never came")

    def replies(self, until: str = "viewerStateUpdated") -> list[dict[str, Any]]:
        """Return the messages of bots as they are pushed."""
        return [
            content
            for scope, content in self.items(until)
            if scope.startswith("messageAdded:") and content.get("author") != "human"
        ]

    def ask(self, prompt: str, bot: str = "GPT-4o", **changes: Any) -> list[str]:
        """Return the texts of the reply in their order, without repetitions."""
        self.say(prompt, bot, **changes)
        texts = [message["text"] for message in self.replies()]
        return [text for at, text in enumerate(texts) if at == 0 or text != texts[at - 1]]


def _subscriptions() -> list[dict[str, Any]]:
    newest = {
        "messageAdded": "9bc4af8951e2f446fdd00399a4823b9b73c96a767b86a92078269e64725aa934",
        "messageCancelled": "14647e90e5960ec81fa83ae53d270462c3743199fbb6c4f26f40f4c83116d2ff",
        "messageCreated": "7e94f09b61e69c5621c3af8de849d7a87cfa469a577ea0a63a2430cda9968f36",
        "messageDeleted": "da44e3fdd05dfde85d1c035471858e7201b0ef7ea7728df75b71707ffb2a5aa0",
        "messageFollowupActionUpdated": (
            "be87f2ee5ba5cef5980ec863ad6bc217f921f16032c0cb028ee8af522cf2136b"
        ),
        "chatAddedV2": "a5206e59f0e7fbd603921ee111b7a48f7dbbd55270ce1f69cdd3d1039911ca67",
        "chatDeletedV3": "51e2f60da61b7ef9b8a5bd85e95e3b5ce17c1a6651cf692014a3aaae3fd3e458",
        "chatMemberAddedWithContext": (
            "e9c6a41bf62e876fa4cb735f31c54ca75eeac0af170019df6ab1d6396ed94726"
        ),
        "chatTitleUpdated": "ee062b1f269ecd02ea4c2a3f1e4b2f222f7574c43634a2da4ebeb616d8647e06",
        "jobStarted": "c8b0a1fa651db0384cb8bc56bbe4f1d6c0cef28bd1e8176c0d0be2a20bb75fc7",
        "jobUpdated": "961c92a9b49fa30e67ee1a9c6a276a92829aecf9135000d6ba69efaf15df91a3",
        "jobCostUpdated": "a72e7590abe1c18fcb9dfcaf43103a35d86eef966197c28db6f5876c00c0a74c",
        "viewerStateUpdated": "0c9cbf7513f7af97f419eec1ca6d848fa6425d2715e03318110a41f9a08fb0b6",
    }
    return [
        {"subscriptionName": name, "query": None, "queryHash": value}
        for name, value in newest.items()
    ]


SUBSCRIPTIONS = _subscriptions()
