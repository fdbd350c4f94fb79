"""`/status` and what belongs to it, and `/admin/...`: one thin view for each.

A button is the same request as that of a program: it has a cookie and the page's token in place of
the key, and may be answered by the way back to the page.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from importlib import resources
from math import inf, isfinite
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from flask import Blueprint, Response, abort, render_template
from markupsafe import Markup

from poe_proxy import logs
from poe_proxy.budget import Budget
from poe_proxy.errors import InvalidRequest, RequestTooLarge, RouteNotFound
from poe_proxy.moments import stamp
from poe_proxy.overview import RELOADED
from poe_proxy.pool.rotator import Token
from poe_proxy.server.admin import curve, fitting, sessions, site
from poe_proxy.server.admin.page import COLUMNS, shown
from poe_proxy.server.admin.words import LANGUAGES, Words
from poe_proxy.server.asked import Asked, asked
from poe_proxy.server.bodies import read_body
from poe_proxy.server.guesses import is_right
from poe_proxy.server.middleware import UNTIDY
from poe_proxy.server.policy import policy
from poe_proxy.server.services import Services, services

bp = Blueprint("admin", __name__, template_folder="templates")
audit = logging.getLogger(logs.AUDIT)

#: The most bytes of a form.
MOST_BYTES: Final = 4096
#: The most pages whose last button is remembered, to be told of, and for how many seconds.
MOST_NOTICES: Final = 100
NOTICE_LASTS: Final = 60.0
#: Seconds that a button waits for what comes of a look for what is new.
PATIENCE: Final = 12.0
#: The cookie that remembers a language.
_LANGUAGE: Final = "poe_proxy_language"
#: The longest rest, in seconds, that has an end.
_LONGEST: Final = 366 * 86400.0


class Notices:
    """What the buttons of each page have done: a page without JavaScript shows it when it is
    loaded again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def say(self, session: str, text: str) -> None:
        """Tell the page of *session*, of a long text its beginning."""
        with self._lock:
            self._said[session] = (
                fitting.cut(text, fitting.MOST_NOTICE),
                time.monotonic() + NOTICE_LASTS,
            )
            self._said.move_to_end(session)
            while len(self._said) > MOST_NOTICES:
                self._said.popitem(last=False)

    def of(self, session: str) -> str:
        """Return what the page of *session* is told."""
        with self._lock:
            text, until = self._said.get(session, ("", -inf))
        return text if time.monotonic() < until else ""


notices: Final = Notices()


# ---- the page


@bp.get("/status")
def show() -> Response:
    """Show how things are, or ask for the key."""
    request, house, admin_key = _begun()
    if request.environ.get(UNTIDY, "").endswith("/"):
        return _back("../status")  # the addresses on the page begin where it is
    words = _words(request)
    session = sessions.session_in(request, admin_key, time.time())
    if session is None:
        response = _login(words, "status/login", "status")
    else:
        told = house.overview.numbers()
        there = shown(told, words)
        response = _html(
            "status.html",
            words,
            version=told["version"],
            shown=there,
            columns=COLUMNS,
            # As the script writes it.
            accounts=orjson.dumps(there["accounts"]).decode(),
            token=sessions.token_of(session, admin_key),
            notice=notices.of(session),
            discovers=house.discover is not None,
            width=curve.WIDTH,
            height=curve.HEIGHT,
        )
    if request.args.get("lang") in LANGUAGES:
        _set_cookie(request, response, _LANGUAGE, words.language, 365 * 86400)
    return response


@bp.get("/status.json")
def numbers() -> Response:
    """Show the same numbers for programs; with `page`, what the page in a browser shows of
    them."""
    request, house, admin_key = _begun()
    sessions.check(request, admin_key, time.time())
    told = house.overview.numbers()
    language = request.args.get("page")
    if language is None:
        return _json({"sentence": Words("en").sentence(told["facts"], told["now"]), **told})
    return _json(shown(told, Words(language if language in LANGUAGES else "en")))


@bp.post("/status/login")
def log_in() -> Response:
    """Give a cookie for the key."""
    request, house, admin_key = _begun()
    sessions.check_origin(request)
    form = _form(request, house)
    if not is_right(request, form.get("key", ""), admin_key):
        audit.warning("a wrong key at /status, from %.50s", request.record.peer)
        return _login(_words(request), "login", "../status", is_wrong=True)
    audit.info("logged in at /status, from %.50s", request.record.peer)
    response = _back("../status")
    cookie = sessions.issued(admin_key, time.time())
    _set_cookie(request, response, sessions.COOKIE, cookie, sessions.LASTS)
    return response


@bp.get("/status/login")
def lead_back() -> Response:
    """Lead whoever loads the answer to a wrong key again to the page."""
    _begun()
    return _back("../status")


@bp.post("/status/logout")
def log_out() -> Response:
    """Take the cookie back."""
    request, _, _ = _begun()
    sessions.check_origin(request)
    response = _back("../status")
    response.delete_cookie(sessions.COOKIE)
    return response


def _login(words: Words, action: str, back: str, *, is_wrong: bool = False) -> Response:
    response = _html("login.html", words, action=action, back=back, is_wrong=is_wrong)
    response.status_code = 401 if is_wrong else 200
    return response


# ---- the buttons


@bp.post("/admin/reload")
def reload() -> Response:
    """Read the settings anew."""
    request, house, admin_key = _begun()
    session, _ = _pressed(request, house, admin_key)
    audit.info("reload, asked for from %.50s", request.record.peer)
    outcome = house.reload()
    words = _words(request)
    if outcome["outcome"] == RELOADED:
        # Whoever presses the button means the server, whichever worker answers.
        house.reload_others()
        said = words("did_reload")
    else:
        why = "; ".join(f"{name}: {' '.join(one)}" for name, one in outcome["problems"].items())
        said = words("did_not_reload", why=why)
    return _done(request, session, {**outcome, "said": said}, "../status")


@bp.post("/admin/discover")
def discover() -> Response:
    """Look for what is new on Poe's site, and put it in use if Poe takes it."""
    request, house, admin_key = _begun()
    session, _ = _pressed(request, house, admin_key)
    if house.discover is None:
        raise RouteNotFound("There is no account by cookie: nothing is known of Poe's site here.")
    _noted(request, house, "a look for what is new on Poe's site")
    found = house.discover(PATIENCE)
    house.overview.forget()
    words = _words(request)
    if found is None:
        told: dict[str, Any] = {"outcome": "running", "said": words("did_look_wait")}
        told |= {"differs": [], "missing": [], "notes": [], "file": None}
    else:
        told = {name: found[name] for name in ("outcome", "differs", "missing", "notes", "file")}
        told["said"] = site.said(found, words)
    return _done(request, session, told, "../status")


@bp.post("/admin/accounts/<label>/rest")
def rest(label: str) -> Response:
    """Let an account rest: for so many `seconds`, or until it is brought back."""
    request, house, admin_key = _begun()
    session, form = _pressed(request, house, admin_key)
    token, seconds = _token(house, label), _seconds(form.get("seconds", ""))
    house.gateway.tokens.pause(token, seconds)
    until = None if seconds == inf else stamp(time.time() + seconds)
    _noted(request, house, f"{label} rests until {until or 'it is brought back'}")
    words = _words(request)
    ends = (
        words("until_you")
        if until is None
        else words("until", at=until[11:16], in_=words("in", for_=words.lasting(seconds)))
    )
    told = {"account": label, "outcome": "resting", "until": until}
    return _done(request, session, {**told, "said": words("did_rest", label=label, until=ends)})


@bp.post("/admin/accounts/<label>/revive")
def revive(label: str) -> Response:
    """Bring an account back, whatever holds it back but its own limits."""
    request, house, admin_key = _begun()
    session, _ = _pressed(request, house, admin_key)
    house.gateway.tokens.bring_back(_token(house, label))
    _noted(request, house, f"{label} is brought back")
    said = _words(request)("did_revive", label=label)
    return _done(request, session, {"account": label, "outcome": "back", "said": said})


@bp.post("/admin/accounts/<label>/check")
def check(label: str) -> Response:
    """Ask Poe for the points of an account: does it accept it? Nothing is charged."""
    request, house, admin_key = _begun()
    session, _ = _pressed(request, house, admin_key)
    token = _token(house, label)
    _noted(request, house, f"Poe is asked about {label}")
    answer = house.asking.ask(token)
    house.overview.forget()
    words = _words(request)
    told: dict[str, Any] = {"account": label, "points": answer.points}
    if answer.is_late:
        told |= {"outcome": "asking", "said": words("did_wait", label=label)}
    elif answer.code:
        said = words("did_fail", label=label, code=answer.code, reason=answer.reason[:300])
        told |= {"outcome": "failed", "code": answer.code, "reason": answer.reason, "said": said}
    else:
        points = words.number(answer.points)
        said = words("did_points", label=label, points=points)
        told |= {"outcome": "accepted", "said": said}
    return _done(request, session, told)


@bp.get("/admin/clients")
def clients() -> Response:
    """Show the clients, what each may use, and what it has used."""
    request, house, admin_key = _begun()
    sessions.check(request, admin_key, time.time())
    return _json({"clients": house.registry.overview()})


# ---- what they share


def _begun() -> tuple[Asked, Services, str]:
    """Return the request at hand, and the key of whoever runs the server; without one there is
    nothing here."""
    house = services()
    if house.admin_key is None:
        abort(404)
    return asked(), house, house.admin_key


def _pressed(request: Asked, house: Services, admin_key: str) -> tuple[str | None, dict[str, str]]:
    """Return the session of the page whose button was pressed, None for a program with the key,
    and the form that was sent."""
    session = sessions.check(request, admin_key, time.time())
    form = _form(request, house)
    if session is not None:
        sessions.check_button(request, session, form.get("csrf", ""), admin_key)
    return session, form


def _form(request: Asked, house: Services) -> dict[str, str]:
    """Return the fields of the body: of a form, or of an object of JSON."""
    try:
        body = read_body(request, MOST_BYTES, Budget(house.max_work), house.admission.bodies)
    except RequestTooLarge:
        raise RequestTooLarge(f"A form has at most {MOST_BYTES:,} bytes.", param="body") from None
    if request.mimetype == "application/json":
        try:
            given = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError:
            given = None
        if not isinstance(given, dict):
            raise InvalidRequest("The body must be an object of JSON.", param="body")
        return {str(name): "" if one is None else str(one) for name, one in given.items()}
    try:
        found = parse_qs(bytes(body).decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise InvalidRequest("The body must be a form.", param="body") from None
    return {name: values[0] for name, values in found.items()}


def _seconds(given: str) -> float:
    if not given:
        return inf
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not (isfinite(seconds) and 0.0 < seconds <= _LONGEST):
        raise InvalidRequest("seconds must be a number, or be left out.", param="seconds")
    return seconds


def _token(house: Services, label: str) -> Token[Any]:
    for token, _ in house.gateway.tokens.states():
        if token.label == label:
            return token
    raise RouteNotFound("There is no account of that name.")


def _noted(request: Asked, house: Services, what: str) -> None:
    audit.info("%s: asked for from %.50s", what, request.record.peer)
    house.overview.forget()


def _done(
    request: Asked, session: str | None, told: dict[str, Any], back: str = "../../../status"
) -> Response:
    """Return the answer to a button: the way back to the page for a browser that has followed a
    form, what was done for all others."""
    wants_json = "application/json" in request.headers.get("Accept", "")
    if session is None or wants_json:
        return _json(told)
    notices.say(session, told["said"])
    return _back(back)


def _words(request: Asked) -> Words:
    given = request.args.get("lang") or request.cookies.get(_LANGUAGE)
    if given not in LANGUAGES:
        given = request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]
    return Words(given)


def _set_cookie(request: Asked, response: Response, name: str, value: str, lasts: int) -> None:
    response.set_cookie(
        name, value, max_age=lasts, httponly=True, samesite="Strict", secure=request.is_secure
    )


def _back(to: str) -> Response:
    """Return a redirect, as seen from the path at hand: what stands before it is nginx's."""
    response = Response(status=303)
    response.headers["Location"] = to
    return _private(response)


def _json(told: Any) -> Response:
    return _private(Response(orjson.dumps(told), content_type="application/json"))


def _html(template: str, words: Words, **values: Any) -> Response:
    style, script, allowed = _brought(words.language)
    html = render_template(template, words=words, style=style, script=script, **values)
    response = Response(html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = allowed
    return _private(response)


def _private(response: Response) -> Response:
    headers = response.headers
    headers["Cache-Control"] = "no-store"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    return response


@cache
def _brought(language: str) -> tuple[Markup, Markup, str]:
    """Return the style and the script of the pages, and the policy that allows them and no
    others, without what only those read who change them. The style has what a phone shows above
    each cell: that is much in little."""
    folder = resources.files(__package__).joinpath("templates")
    style, script = (
        "\n".join(_lines(folder.joinpath(name).read_text("utf-8")))
        for name in ("status.css", "status.js")
    )
    words = Words(language)
    style += "".join(
        f'\n#{table} td:nth-child({place}){{--head:"{words(name)}"}}'
        for table, names in COLUMNS.items()
        for place, name in enumerate(names, 1)
    )
    allowed = policy(script=script, style=style, forms="'self'")
    return Markup(style), Markup(script), allowed


def _lines(text: str) -> Iterator[str]:
    for line in map(str.strip, text.splitlines()):
        if not line.startswith("//"):
            yield line
