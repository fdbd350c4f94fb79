"""Images and files of a conversation, and their tickets."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, FilePart, ImagePart, Message, TextPart
from poe_proxy.errors import InvalidRequest, UpstreamProtocolError
from poe_proxy.upstreams.poe_web import attachments
from poe_proxy.upstreams.poe_web.attachments import (
    MAX_BYTES,
    MAX_FILES,
    MAX_GIVEN,
    MAX_TICKET_ANSWER,
    Attachment,
    Fetch,
    Files,
    Part,
    Tickets,
    parts_of,
    read,
    read_ticket,
)

DATA = b"\x89PNG\r\n\x1a\n and so on"
BASE64 = base64.b64encode(DATA).decode()
SHORT = hashlib.sha256(DATA).hexdigest()[:8]


def read_all(
    parts: Sequence[Part],
    fetch: Fetch | None,
    clock: Callable[[], float],
    files: Files | None = None,
) -> Iterator[Attachment]:
    """The files of a request, which is tried for the first time unless *files* were read before."""
    return (files or Files()).read(parts, fetch, clock, Budget())


@dataclass
class Fetched:
    data: bytes = DATA
    content_type: str | None = "image/png"
    filename: str | None = None


def test_the_parts_of_the_whole_conversation_count() -> None:
    """Images and files of all messages, in their order."""
    one, two, three = ImagePart("data:1"), FilePart("data:2"), ImagePart("data:3")
    request = ChatRequest(
        model="m",
        messages=(
            Message(role="user", content=(one, TextPart("x"), two)),
            Message(role="assistant", content=(TextPart("y"),)),
            Message(role="user", content=(three,)),
        ),
    )

    assert [one, two, three] == parts_of(request)


@pytest.mark.parametrize(
    ("part", "name", "kind"),
    [
        (ImagePart(f"data:image/png;base64,{BASE64}"), f"image-{SHORT}.png", "image/png"),
        (ImagePart(f"DATA:IMAGE/JPEG;BASE64,{BASE64}"), f"image-{SHORT}.jpg", "image/jpeg"),
        (ImagePart(f"data:image/png;charset=x;base64,{BASE64}"), f"image-{SHORT}.png", "image/png"),
        (FilePart(f"data:text/plain;base64,{BASE64}", "n.txt"), "n.txt", "text/plain"),
        (FilePart("data:;base64,bm90ZXM=", "n.csv"), "n.csv", "text/csv"),
        (FilePart(f"data:application/pdf;base64,{BASE64}"), f"file-{SHORT}.pdf", "application/pdf"),
        (FilePart("data:;base64,bm90ZXM="), "file-ab5aa970.bin", "application/octet-stream"),
        (FilePart("data:a\r\nb/c;base64,bm90ZXM=", "x"), "x", "application/octet-stream"),
        (FilePart(f"data:text/x;base64,{BASE64}", '../../etc/pa"ss\r\nwd'), "passwd", "text/x"),
        (FilePart(f"data:text/x;base64,{BASE64}", "C:\\a\\b.txt"), "b.txt", "text/x"),
        (FilePart(f"data:text/x;base64,{BASE64}", "报告.txt"), "报告.txt", "text/x"),
    ],
)
def test_a_data_uri_is_a_file(part: Any, name: str, kind: str) -> None:
    """Content, type and a name that is fit to be shown."""
    file = read(part, None)

    assert (name, kind) == (file.name, file.kind)
    assert file.data in (DATA, b"notes")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (DATA, "image/png"),
        (b"\xff\xd8\xff\xe0 and so on", "image/jpeg"),
        (b"GIF87a and so on", "image/gif"),
        (b"GIF89a and so on", "image/gif"),
        (b"RIFF\n\r\x00\x00WEBPVP8 and so on", "image/webp"),
    ],
)
@pytest.mark.parametrize("told", ["", "application/octet-stream", "binary/octet-stream"])
@pytest.mark.parametrize("name", [None, "a", "a.bin", "a.txt"])
def test_an_image_of_no_told_type_is_known_by_its_first_bytes(
    data: bytes, kind: str, told: str, name: str | None
) -> None:
    """In a data URI as behind a URL, whatever its name."""
    uri = f"data:{told};base64,{base64.b64encode(data).decode()}"
    fetched = Fetched(data, told, name)

    assert kind == read(ImagePart(uri), None).kind
    assert kind == read(ImagePart("https://x.test/a"), lambda _: fetched).kind


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"%PDF-1.7 and so on", None, "application/pdf"),
        (b"%PDF-1.7 and so on", "a.txt", "application/pdf"),
        (b"RIFF\n\r\x00\x00WAVEfmt ", None, "application/octet-stream"),
        (b"and %PDF-1.7", None, "application/octet-stream"),
        (b"a,b", "a.csv", "text/csv"),
        (b"II*", "a.tiff", "image/tiff"),
    ],
)
def test_a_file_of_no_told_type_is_known_by_its_first_bytes_or_by_its_name(
    data: bytes, name: str | None, kind: str
) -> None:
    """The bytes count first."""
    fetched = Fetched(data, "application/octet-stream", name)

    assert kind == read(FilePart("https://x.test/a"), lambda _: fetched).kind


def test_a_told_type_is_believed() -> None:
    """The first bytes are not asked where the type is told."""
    assert "text/x" == read(FilePart(f"data:text/x;base64,{BASE64}"), None).kind


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:text/plain,a%20b", b"a b"),
        ("data:,hello", b"hello"),
        ("data:text/plain;base64,aGVs\nbG8=", b"hello"),
        ("data:text/plain;base64,aGVsbG8%3D", b"hello"),
    ],
)
def test_data_may_be_written_in_several_ways(uri: str, data: bytes) -> None:
    """Plain, percent-encoded, or base64 with line breaks."""
    assert data == read(FilePart(uri, "x.txt"), None).data


@pytest.mark.parametrize(
    "part",
    [
        ImagePart("data:image/png;base64"),
        ImagePart("data:image/png;base64,"),
        ImagePart("data:image/png;base64,!!!!"),
        ImagePart("data:image/png;base64,abc"),
        ImagePart("data:image/png;base64,aGVs*bG8="),
        ImagePart(f"data:text/html;base64,{BASE64}"),
        ImagePart("data:;base64,bm90ZXM="),
        ImagePart("data:;base64,JVBERi0xLjc="),
        FilePart("data:text/plain,"),
        FilePart("data:text/plain;base64,é"),
        ImagePart("https://pictures.test/cat.png"),
    ],
)
def test_what_is_no_file_is_the_client_s_fault(part: Any) -> None:
    """It is refused by name of the field, and not quoted."""
    with pytest.raises(InvalidRequest) as refusal:
        read(part, None)

    assert "messages" == refusal.value.param
    assert BASE64 not in str(refusal.value)


@pytest.mark.parametrize(
    ("part", "fetched", "name", "kind"),
    [
        (ImagePart("https://x.test/a"), Fetched(filename="a.png"), "a.png", "image/png"),
        (ImagePart("https://x.test/a"), Fetched(), f"image-{SHORT}.png", "image/png"),
        (
            ImagePart("https://x.test/a"),
            Fetched(content_type="Image/WebP; q=1"),
            f"image-{SHORT}.webp",
            "image/webp",
        ),
        (
            ImagePart("https://x.test/a"),
            Fetched(content_type=None),
            f"image-{SHORT}.png",
            "image/png",
        ),
        (FilePart("https://x.test/a", "mine.txt"), Fetched(filename="a"), "mine.txt", "image/png"),
    ],
)
def test_a_url_is_fetched(part: Any, fetched: Fetched, name: str, kind: str) -> None:
    """The server's type and name count where the client gave none."""
    assert Attachment(name, kind, DATA) == read(part, lambda _: fetched)


def test_a_web_page_is_no_image() -> None:
    """An image_url that leads to a page is refused."""
    with pytest.raises(InvalidRequest, match="text/html"):
        read(ImagePart("https://x.test/"), lambda _: Fetched(content_type="text/html"))


# ---- what a request may bring along


def texts(*sizes: int) -> list[ImagePart | FilePart]:
    """Parts, each of so many bytes."""
    return [
        FilePart("data:text/plain," + "x" * size, path=f"part {place}")
        for place, size in enumerate(sizes)
    ]


def links(number: int) -> list[ImagePart | FilePart]:
    return [ImagePart(f"https://x.test/{place}", path=f"link {place}") for place in range(number)]


def refused(read_one: Callable[[], object]) -> tuple[str | None, str]:
    """Which part is refused, and why."""
    with pytest.raises(InvalidRequest) as refusal:
        read_one()
    assert refusal.value.message.startswith(f"{refusal.value.param}: ")
    return refusal.value.param, refusal.value.message


def never(url: str, seconds: float) -> Fetched:
    raise AssertionError(url)


@pytest.mark.parametrize("parts", [texts(*[1] * 200), links(200), [*texts(1), *links(20)]])
def test_files_have_a_number(parts: list[ImagePart | FilePart]) -> None:
    """The first that is beyond it is named, before any is fetched; data URIs count as well."""
    which, why = refused(lambda: next(read_all(parts, never, lambda: 0.0)))

    assert parts[20].path == which
    assert "20 images and files" in why


def test_as_many_files_as_are_allowed() -> None:
    """The last of them is read like the first."""
    assert MAX_FILES == len(list(read_all(texts(*[1] * MAX_FILES), None, lambda: 0.0)))


def test_files_have_a_size_in_all() -> None:
    """Exactly as much is allowed; what is beyond is named, and nothing after it is fetched."""
    most = read_all(texts(MAX_BYTES - 10, 10), None, lambda: 0.0)
    more = read_all([*texts(MAX_BYTES - 10, 11), *links(1)], never, lambda: 0.0)

    assert 2 == len(list(most))
    assert MAX_BYTES - 10 == len(next(more).data)
    which, why = refused(lambda: next(more))
    assert "part 1" == which
    assert "50 MB" in why


def test_urls_count_with_what_they_lead_to() -> None:
    """Fetched bytes are added to those that came along."""
    files = read_all(
        [*texts(MAX_BYTES - 10), *links(1)], lambda url, seconds: Fetched(), lambda: 0.0
    )
    next(files)

    assert "link 0" == refused(lambda: next(files))[0]


def test_all_fetches_share_their_time() -> None:
    """Each is given what those before it left; the one for which nothing is left is named."""
    now, given = [5.0], []

    def fetch(url: str, seconds: float) -> Fetched:
        given.append(seconds)
        now[0] += 25.0
        return Fetched()

    files = read_all(links(4), fetch, lambda: now[0])
    for _ in range(3):
        next(files)
    which, why = refused(lambda: next(files))

    assert [60.0, 35.0, 10.0] == given
    assert "link 3" == which
    assert "60 seconds" in why


@pytest.mark.parametrize(
    ("takes", "why"),
    [
        (59.0, "link 0: A URL in the messages did not do."),
        (60.0, "link 0: The URLs of a request may take 60 seconds in all."),
    ],
)
def test_a_fetch_that_uses_up_the_time_is_told_as_such(takes: float, why: str) -> None:
    """The reason is the time of all, and not how little the last one had."""
    now = [0.0]

    def fetch(url: str, seconds: float) -> Fetched:
        now[0] += takes
        raise InvalidRequest("A URL in the messages did not do.", param="messages")

    assert ("link 0", why) == refused(lambda: next(read_all(links(1), fetch, lambda: now[0])))


def test_data_uris_take_no_time() -> None:
    """They are here already, however long the fetches took."""
    now = [0.0]
    files = read_all(texts(1, 1), None, lambda: now[0])
    next(files)
    now[0] = 100.0

    assert b"x" == next(files).data


def test_a_part_that_is_none_is_named() -> None:
    """Every refusal says which part it is about."""
    parts = [ImagePart("data:text/html,x", path="messages[7].content[1]")]

    assert "messages[7].content[1]" == refused(lambda: list(read_all(parts, None, lambda: 0.0)))[0]


def test_files_differ_by_content_name_and_type() -> None:
    """What the bot would see differently is another file."""
    files = [
        Attachment("a", "text/x", b"1"),
        Attachment("a", "text/x", b"2"),
        Attachment("b", "text/x", b"1"),
        Attachment("a", "text/y", b"1"),
    ]

    assert 4 == len({file.digest for file in files})
    assert files[0].digest == Attachment("a", "text/x", b"1").digest


def test_a_file_is_read_once_for_all_accounts() -> None:
    """The second one that is tried gets what the first one had; nothing is fetched again."""
    fetched: list[str] = []

    def fetch(url: str, seconds: float) -> Fetched:
        fetched.append(url)
        return Fetched()

    files = Files()
    parts = [*texts(5), *links(2)]
    tries = [list(read_all(parts, fetch, lambda: 0.0, files)) for _ in range(10)]

    assert ["https://x.test/0", "https://x.test/1"] == fetched
    assert all(one is first for again in tries for one, first in zip(again, tries[0], strict=True))


def test_an_account_goes_on_where_another_one_ended() -> None:
    """Limits of time and size hold over all that are tried."""
    now = [0.0]

    def fetch(url: str, seconds: float) -> Fetched:
        now[0] += 31.0
        return Fetched()

    files = Files()
    next(read_all(links(1), fetch, lambda: now[0], files))
    next(read_all(links(1), fetch, lambda: now[0], files))

    assert "60 seconds" in refused(lambda: next(read_all(links(1), never, lambda: 90.0, files)))[1]
    assert 1 == len(list(read_all(texts(MAX_BYTES - 2 * len(DATA)), None, lambda: 0.0, files)))
    assert "50 MB" in refused(lambda: next(read_all(texts(1), None, lambda: 0.0, files)))[1]


def test_waiting_for_another_account_takes_no_time_of_the_fetches() -> None:
    """Only the fetches themselves do."""
    now = [0.0]
    files = Files()
    next(read_all(links(1), lambda url, seconds: Fetched(), lambda: now[0], files))
    now[0] = 1000.0
    more = read_all(links(1), lambda url, seconds: Fetched(), lambda: now[0], files)

    assert DATA == next(more).data


def test_what_is_refused_again_and_again_is_not_given_any_more() -> None:
    """Uploads are bounded over all accounts, and it is the client that hears of it."""
    files = Files()
    for _ in range(3):
        files.give(MAX_GIVEN // 3)
    with pytest.raises(InvalidRequest) as refusal:
        files.give(1)

    assert ("messages", "request_too_costly") == (refusal.value.param, refusal.value.code)


def test_a_request_has_its_files_for_itself() -> None:
    """Its copies share them; other requests do not."""
    one = ChatRequest(model="m", messages=())
    copy, other = dataclasses.replace(one, max_tokens=5), ChatRequest(model="m", messages=())

    assert one.kept.get(Files) is copy.kept.get(Files)
    assert one.kept.get(Files) is not other.kept.get(Files)
    assert one == other


@pytest.mark.parametrize(
    "address",
    ["https://x.test/" + "x" * 8200, "data:" + "x" * 2000 + ";base64,eA==", "data:" + "x" * 2000],
    ids=["url", "head", "no comma"],
)
def test_what_comes_before_the_data_has_a_length(address: str) -> None:
    """It is refused by the path of its part."""
    part = FilePart(address, path="messages[7].content[1]")

    assert (
        "messages[7].content[1]" == refused(lambda: next(read_all([part], never, lambda: 0.0)))[0]
    )


def test_a_url_may_be_long() -> None:
    """Those that are signed are."""
    url = "https://x.test/".ljust(8192, "x")

    assert DATA == read(FilePart(url), lambda _: Fetched()).data


@pytest.mark.parametrize("uri", ["data:,%41", "data:;base64,QUJD"])
def test_reading_a_data_uri_counts_as_the_request_s(uri: str) -> None:
    """One that costs too much is refused by the path of its part."""
    files = Files().read([FilePart(uri, path="part 0")], None, lambda: 0.0, Budget(0.0))
    with pytest.raises(InvalidRequest) as refusal:
        next(files)

    assert ("part 0", "request_too_costly") == (refusal.value.param, refusal.value.code)


def test_a_file_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often its hash is asked for."""
    hashed: list[int] = []
    real = attachments.digest

    def digest(algorithm: str, *pieces: bytes) -> bytes:
        hashed.append(sum(map(len, pieces)))
        return real(algorithm, *pieces)

    monkeypatch.setattr(attachments, "digest", digest)
    file = read(FilePart("data:text/x," + "x" * 1000), None)
    assert file.digest == file.digest
    assert 1 == sum(size >= 1000 for size in hashed)


# ---- tickets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJoYXNoIjoiYWJjIn0.c2ln-X_0"


@pytest.mark.parametrize(
    "content",
    [
        JWT.encode(),
        f'"{JWT}"'.encode(),
        f"  {JWT}\n".encode(),
        orjson.dumps({"fileHashJwt": JWT}),
        orjson.dumps({"file_hash_jwt": JWT}),
        orjson.dumps({"jwt": JWT, "name": "my.file.txt"}),
        orjson.dumps({"name": "my.file.txt", "data": {"upload": {"token": JWT}}}),
        orjson.dumps({"version": "1.2.3", "deep": [{"fileHashJwt": JWT}]}),
        orjson.dumps([JWT]),
    ],
)
def test_a_ticket_is_found_in_any_form(content: bytes) -> None:
    """Bare, quoted, under any of four names, nested; names of files are no tickets."""
    assert JWT == read_ticket(content)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"null", b"ok", b"a.b", b"a.b.c.d", b"<html>a.b.c</html>", b"\xff"]
)
def test_an_answer_without_a_ticket_is_told(content: bytes) -> None:
    """No ticket is a failure, not an empty one."""
    with pytest.raises(UpstreamProtocolError):
        read_ticket(content)


def test_a_ticket_has_a_length() -> None:
    """A text of megabytes would go out with every message that names it."""
    long = "x" * 9000 + ".y.z"

    assert JWT == read_ticket(orjson.dumps({"fileHashJwt": long, "x": JWT}))
    with pytest.raises(UpstreamProtocolError):
        read_ticket(long.encode())


def test_an_answer_without_an_end_is_not_looked_through() -> None:
    """Not even for a ticket that is in it."""
    padding = "x" * MAX_TICKET_ANSWER
    with pytest.raises(UpstreamProtocolError):
        read_ticket(orjson.dumps({"fileHashJwt": JWT, "x": padding}))


class Uploads:
    """Counts."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, file: Attachment) -> str:
        self.names.append(file.name)
        return f"ticket {len(self.names)}"


def file(name: str) -> Attachment:
    return Attachment(name, "text/plain", b"x")


def test_a_file_is_uploaded_once() -> None:
    """The ticket is remembered."""
    tickets, upload = Tickets(lambda: 0.0), Uploads()

    assert ["ticket 1"] * 3 == [tickets.get(file("a"), upload) for _ in range(3)]
    assert "ticket 2" == tickets.get(file("b"), upload)


def test_a_ticket_grows_old() -> None:
    """After an hour a file is uploaded again."""
    now = [0.0]
    tickets, upload = Tickets(lambda: now[0]), Uploads()
    tickets.get(file("a"), upload)
    now[0] = 3601.0

    assert "ticket 2" == tickets.get(file("a"), upload)


def test_tickets_are_bounded() -> None:
    """The longest unused is forgotten first."""
    tickets, upload = Tickets(lambda: 0.0), Uploads()
    for number in range(500):
        tickets.get(file(str(number)), upload)
    tickets.get(file("0"), upload)
    tickets.get(file("new"), upload)

    assert 501 == len(upload.names)
    tickets.get(file("0"), upload)
    assert 501 == len(upload.names)
    tickets.get(file("1"), upload)
    assert 502 == len(upload.names)


def test_tickets_can_be_forgotten() -> None:
    """After a new login nothing is trusted."""
    tickets, upload = Tickets(lambda: 0.0), Uploads()
    tickets.get(file("a"), upload)
    tickets.forget()

    assert "ticket 2" == tickets.get(file("a"), upload)


def test_a_failed_upload_is_not_remembered() -> None:
    """The next one tries again."""
    tickets = Tickets(lambda: 0.0)

    def fail(_: Attachment) -> str:
        raise UpstreamProtocolError("no")

    with pytest.raises(UpstreamProtocolError):
        tickets.get(file("a"), fail)
    assert "ticket 1" == tickets.get(file("a"), Uploads())


def test_who_needs_the_same_file_meanwhile_waits_for_the_one_upload() -> None:
    """Ten at once make one upload."""
    tickets, uploads = Tickets(lambda: 0.0), Uploads()
    gate = threading.Event()

    def slowly(one: Attachment) -> str:
        gate.wait(60)
        return uploads(one)

    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(tickets.get(file("a"), slowly)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)

    assert ["ticket 1"] * 10 == got
