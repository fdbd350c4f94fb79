"""What a text is by its looks."""

from __future__ import annotations

import pytest

from poe_proxy.lookalikes import is_api_key, is_secret, no_cookie, no_key, shown

#: What people leave in a `.env` where a credential should be: words of examples and templates.
#: They are inputs of these tests, and no notes about this file.
PLACEHOLDERS = [
    "your-token", "YOUR_TOKEN", "your_api_key_here", "yourtokens", "xxx", "XXXXXXXX", "changeme",
    "change-me", "<p-b>", "<your cookie>", "p-b cookie here", "put-your-cookie-here", "sk-poe-xxxx",
    "sk-poe-...", "sk-poe-<key>", "...", "…", "Ab3d...", "$TOKENS", "${TOKENS}", "%TOKENS%", "none",
    "null", "undefined", "placeholder", "TODO", "***", "0000",
]  # fmt: skip

#: What the stand-in, tests and users have.
COOKIES = [
    "a", "A==", "cookie-a", "demo-cookie-1", "sim-1", "cookie", "some-cookie", "one", "key-1",
    "Jk3-_Lw8qPz0sVb1nYx2Ag%3D%3D", "+/AbCdEfGhIjKlMnOpQrSg==", "p-b=AbC%3D%3D; p-lat=x%2By",
    "Cookie: p-lat=x; p-b=AbC==", "p-b=x; formkey=0123456789abcdef0123456789abcdef",
    "xaxbxc", "$a1-b",
]  # fmt: skip
KEYS = [
    "k", "key-1", "key-a", "real", "sk-poe-Ab3dEf6hIj9l", "sk-poe-x1", "sk-own",
    "0Ab3dEf6hIj9lMnOpQrStUvWxYz0123456789-_AbCd",
]  # fmt: skip


@pytest.mark.parametrize("text", COOKIES)
def test_what_may_be_a_cookie_looks_like_nothing_else(text: str) -> None:
    assert "" == no_cookie(text)


@pytest.mark.parametrize("text", KEYS)
def test_what_may_be_a_key_looks_like_nothing_else(text: str) -> None:
    assert "" == no_key(text)
    is_api_key(text)


@pytest.mark.parametrize("text", PLACEHOLDERS)
@pytest.mark.parametrize("in_front", ["", "p-b="])
def test_a_placeholder_is_neither(text: str, in_front: str) -> None:
    """In whatever way a document, a template or a shell leaves it there."""
    assert "placeholder" in no_cookie(in_front + text)
    if not in_front:
        assert "placeholder" in no_key(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://poe.com/settings", "an address"),
        ("HTTP://x", "an address"),
        ("poe.com/api/keys", "an address"),
        ("www.poe.com", "an address"),
        ('{"name": "p-b"', "JSON"),
        ("[{", "JSON"),
        ("Bearer abc", "the header Authorization"),
        ("Authorization: Bearer abc", "the header Authorization"),
        ("sk-ant-api03-abc", "another service"),
        ("sk-proj-abc", "another service"),
    ],
)
def test_what_is_neither_is_named(text: str, kind: str) -> None:
    """By what it looks like; the text itself is not repeated."""
    for why in (no_cookie(text), no_key(text)):
        assert kind in why
        assert text not in why


@pytest.mark.parametrize("text", ["sk-poe-Ab3d", "p-b=sk-poe-Ab3d", "p-lat=x; p-b=sk-poe-Ab3d"])
def test_a_key_is_no_cookie(text: str) -> None:
    assert "belongs into POE_API_KEYS" in no_cookie(text)


@pytest.mark.parametrize("text", ["p-b=abc", "P-B=abc", "p-lat=x; p-b=y", "Cookie: p-b=x"])
def test_a_cookie_is_no_key(text: str) -> None:
    assert "belongs into TOKENS" in no_key(text)
    with pytest.raises(ValueError, match="belongs into TOKENS"):
        is_api_key(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("ten", False), ("127.0.0.1,nginx", False), ("/var/lib/0123456789abcdef01234567/x", False),
        ("user=Human,assistant=AI", False), ("https://poe.com", False), ("", False),
        ("sk-abc", True), ("p-b=abc", True), ("http://u:p@h", True), ("u:p@h:1", True),
        ("0123456789abcdef01234567", True), ("a known secret", True), ("nown secre", True),
        ("nown", False), ("it is a known secret!", True),
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_looks(text: str, is_one: bool) -> None:
    """Or because it is a part of one that is known, or holds one."""
    assert is_one is is_secret(text, ["a known secret", "b"])


def test_what_is_shown_fits_into_a_line() -> None:
    """Letters of any script as they are; nothing that moves the cursor, nor what is long."""
    assert r'"é世 \n\x7f\u202e"' == shown("é世 \n\x7f\u202e")
    assert 60 + len('"..."') == len(shown("a" * 1000))
