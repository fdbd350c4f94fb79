"""The push channel of an account: one websocket, shared by all its replies.

Web protocol sheet §7 and §14.1. A thread reads, and puts what it has read into the mailboxes of
the replies; it never waits for any of them.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from websocket import ABNF

from poe_proxy.errors import (
    PoeProxyError,
    TokenRejected,
    UpstreamBlocked,
    UpstreamInterrupted,
    UpstreamUnreachable,
)
from poe_proxy.net.cutting import cut
from poe_proxy.net.pacing import breathe
from poe_proxy.tallies import RECONNECTS
from poe_proxy.upstreams.poe_web.costs import Costs
from poe_proxy.upstreams.poe_web.frames import Known, look
from poe_proxy.upstreams.poe_web.items import ChannelLost, Draft, Item, read_frame
from poe_proxy.upstreams.poe_web.mailbox import Early, Kept, Mailbox, Notice, Resync
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Limits
from poe_proxy.upstreams.poe_web.websockets import BROKEN, Socket, Unreadable, Wire, hang_up

log = logging.getLogger(__name__)

#: A websocket that breaks again within so many seconds after it was mended needs a new channel.
_SOON: Final = 10.0
#: How often in a row a new channel is tried, and the seconds before the second try; they
#: double from then on.
ATTEMPTS: Final = 3
_PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Opened:
    """What is open at a moment."""

    #: The channel's name: messages say by it where their frames shall go.
    name: str = field(repr=False)
    #: How many times a new channel at Poe had taken the place of the last one.
    generation: int


class Channel:
    """An open, subscribed channel. It mends itself while it can; then it is dead."""

    def __init__(
        self,
        data: ChannelData,
        socket: Socket,
        limits: Limits,
        *,
        renew: Callable[[], ChannelData],
        when_open: Callable[[str], None] = lambda _: None,
        when_pinging: Callable[[], None] = lambda: None,
        label: str,
    ) -> None:
        """*renew* gets and subscribes a new channel. *when_open* is called with the name of each
        channel once its websocket is open.

        *when_pinging* is called now and then while it is open, with each ping; it must not wait.
        """
        self._data = data
        self._socket = socket
        self._limits = limits
        self._renew = renew
        self._when_open = when_open
        self._when_pinging = when_pinging
        self._label = label
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._seq = data.min_seq
        self._by_chat: dict[int, Mailbox] = {}
        #: Those that are in no chat yet, by each of their nonces.
        self._unbound: dict[str, Mailbox] = {}
        self._early = Early()
        #: What the replies have cost.
        self.costs = Costs()
        self._mended_at = -_SOON
        self._breaks = 0
        #: Whether a reply has asked for another channel, and which one, once Poe has given it.
        self._is_unwanted = False
        self._next: ChannelData | None = None
        self.is_alive = True
        #: How many times a new channel at Poe took the place of the last one.
        self.generation = 0
        self._wire = socket.open(data, data.min_seq)
        self._is_open = True
        when_open(data.name)
        threading.Thread(target=self._run, name=f"{label} channel", daemon=True).start()

    # ---- for the replies

    def attach(self, mailbox: Mailbox, chat_id: int | None = None) -> None:
        """Watch for the chat that the reply of *mailbox* is about to begin, or to go on in.

        Raises `UpstreamUnreachable` if the channel is dead.
        """
        with self._changed:
            if not self.is_alive:
                raise UpstreamUnreachable("Poe's websocket has just broken.")
            if chat_id is not None:
                self._early.begin(chat_id)
            self._unbound[mailbox.client_nonce] = mailbox
            self._unbound[mailbox.chat_nonce] = mailbox

    def bind(self, mailbox: Mailbox, chat_id: int) -> None:
        """Tie *mailbox* to its chat; what came too early is delivered now."""
        with self._changed:
            self._bind(mailbox, chat_id)

    def detach(self, mailbox: Mailbox) -> None:
        """Forget *mailbox*."""
        with self._changed:
            self._remove_unbound(mailbox)
            chat_id = mailbox.chat_id
            if chat_id is not None and self._by_chat.get(chat_id) is mailbox:
                del self._by_chat[chat_id]
                self._early.end(chat_id)
            self._forget_early()

    def opened(self) -> Opened | None:
        """Return what is open now; None while there is no websocket: nothing may be sent then."""
        with self._changed:
            return self._opened()

    def _opened(self) -> Opened | None:
        is_open = self._is_open and self.is_alive and not self._is_unwanted
        return Opened(self._data.name, self.generation) if is_open else None

    def wait_open(self, seconds: float) -> bool:
        """Wait up to *seconds* until a websocket is open; return whether one is.

        Raises `UpstreamUnreachable` if the channel is dead.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._opened() or not self.is_alive, seconds)
            if not self.is_alive:
                raise UpstreamUnreachable("Poe's websocket broke before the message was sent.")
            return self._opened() is not None

    def replace(self, generation: int) -> bool:
        """Open a new channel in place of that *generation*, unless another reply has done so.

        Returns whether there is one, as soon as it is open. If Poe gives none, the present one goes
        on, with the replies that it has. Raises `TokenRejected` and `UpstreamBlocked`.
        """
        if self._wants(generation):
            self._take_place(generation)
        limits = self._limits
        with self._changed:
            self._changed.wait_for(
                lambda: not (self._is_unwanted and self.is_alive),
                ATTEMPTS * (limits.http + limits.socket_open),
            )
            return self.is_alive and self.generation != generation

    def _wants(self, generation: int) -> bool:
        """Note that this *generation* is not wanted any more; return whether that is new."""
        with self._changed:
            is_new = self.generation == generation and self.is_alive and not self._is_unwanted
            self._is_unwanted = self._is_unwanted or is_new
            return is_new

    def _take_place(self, generation: int) -> None:
        """Get a new channel, and let the reader go on with it."""
        data = None
        try:
            data = self._renew()
        except (TokenRejected, UpstreamBlocked):
            raise
        except PoeProxyError as failure:
            log.info("%s: no new channel: %s", self._label, failure)
        finally:
            with self._changed:
                if self.generation == generation:
                    self._next = data
                    self._is_unwanted = data is not None
                    if data is not None:
                        cut(self._wire.sock)
                self._changed.notify_all()

    def close(self) -> None:
        """Close the websocket. Replies that still wait for it get a failure."""
        self._closing.set()
        with self._changed:
            cut(self._wire.sock)
        self._die("it was closed")

    def close_if_idle(self) -> bool:
        """Close the websocket unless a reply waits for it; return whether it was closed now."""
        with self._changed:
            if not self.is_alive or self._by_chat or self._unbound:
                return False
            self.close()
        return True

    # ---- the reader's thread

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                lost = self._read(self._wire)
                with self._changed:
                    self._is_open = False
                hang_up(self._wire)
                if not self._closing.is_set():
                    self._mend(lost)
        except PoeProxyError as failure:
            self._die(str(failure))
        except Exception:
            log.exception("%s: the channel's reader failed", self._label)
            self._die("a fault of the proxy")
        finally:
            hang_up(self._wire)

    def _read(self, wire: Wire) -> bool:
        """Read until the websocket breaks; return whether the channel lost its data."""
        self._why = "broken"
        limits = self._limits
        heard = time.monotonic()
        next_ping = heard + limits.ping
        try:
            while not self._closing.is_set():
                now = time.monotonic()
                if now - heard >= limits.dead:
                    log.info("%s: the websocket is silent", self._label)
                    self._why = "silent"
                    return False
                if now >= next_ping:
                    # The site's own ping and the protocol's: either may be what keeps it open.
                    wire.send('{"type":"ping"}')
                    wire.ping()
                    next_ping = now + limits.ping
                    self._when_pinging()
                wire.settimeout(max(0.01, min(next_ping, heard + limits.dead) - now))
                messages = wire.receive()
                if not messages:
                    continue
                heard = time.monotonic()
                for opcode, frame in messages:
                    if opcode == ABNF.OPCODE_CLOSE:
                        return False
                    if opcode not in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY):
                        continue
                    if frame.startswith(b'{"type"'):
                        if b'"ping"' in frame:
                            wire.send('{"type":"pong"}')
                        continue
                    self._take(frame)
                breathe()
        except ChannelLost as lost:
            log.info("%s: the channel has lost messages: %s", self._label, lost)
            self._why = "lost_messages"
            return True
        except Unreadable as unreadable:
            log.warning("%s: the websocket is given up: %s", self._label, unreadable)
            self._why = "unreadable"
        except (*BROKEN, AttributeError):
            # When another thread cuts it, its socket may be gone from one line to the next.
            pass
        return False

    def _take(self, frame: bytes) -> None:
        # Without the lock, which costs more than the look: what is known of a frame's beginning is
        # true whoever has made it known, and a reply that has left takes no harm.
        found = look(frame, self._waiting)
        if found is not None:
            seq, draft = found
            self._seq = max(self._seq, seq)
            mailbox = self._by_chat.get(draft.chat_id)
            if mailbox is not None:
                mailbox.put(draft)
                return
            with self._changed:
                self._hand_over(draft, self._by_chat.get(draft.chat_id))
            return
        number, items = read_frame(frame)
        self._seq = max(self._seq, number or 0)
        for item in items:
            with self._changed:
                waiting = self._deliver(item)
            if waiting is not None and item.name == "messageAdded":
                waiting.known = Known.of(frame, item) if len(items) == 1 else None
            if len(items) > 1:
                breathe()

    def _waiting(self, chat_id: int) -> Mailbox | Kept | None:
        return self._by_chat.get(chat_id) or self._early.kept(chat_id)

    def _deliver(self, item: Item) -> Mailbox | Kept | None:
        """Give *item* to the reply that waits for it, or may do so later; return where it is."""
        if item.chat_id is not None:
            mailbox = self._by_chat.get(item.chat_id) or self._claim(item, item.chat_id)
            return self._hand_over(item, mailbox)
        if item.name == "chatAddedV2":
            match item.content():
                case {"chat": {"chatId": int(chat_id)}}:
                    self._claim(item, chat_id)
        elif item.name == "jobCostUpdated":
            self.costs.tell(item)
        return None

    def _hand_over(self, item: Item | Draft, mailbox: Mailbox | None) -> Mailbox | Kept | None:
        if mailbox is not None:
            mailbox.put(item)
        elif self._unbound and item.chat_id is not None:
            self._early.keep(item, item.chat_id, time.monotonic())
            return self._early.kept(item.chat_id)
        return mailbox

    def _claim(self, item: Item, chat_id: int) -> Mailbox | None:
        """Return the mailbox whose nonce *item* echoes, tied to the chat; None if there is none."""
        if not self._unbound:
            return None
        mailbox = next(filter(None, map(self._unbound.get, item.nonces())), None)
        if mailbox is not None:
            self._bind(mailbox, chat_id)
        return mailbox

    def _bind(self, mailbox: Mailbox, chat_id: int) -> None:
        if self._remove_unbound(mailbox):
            self._by_chat[chat_id] = mailbox
            mailbox.bind(chat_id)
            if (kept := self._early.kept(chat_id)) is not None:
                mailbox.known = kept.known
            for notice in self._early.take(chat_id):
                mailbox.put(notice)
            self._forget_early()

    def _remove_unbound(self, mailbox: Mailbox) -> bool:
        """Take *mailbox* from those that are in no chat; return whether it was there."""
        if self._unbound.get(mailbox.client_nonce) is not mailbox:
            return False
        del self._unbound[mailbox.client_nonce], self._unbound[mailbox.chat_nonce]
        return True

    def _forget_early(self) -> None:
        if not self._unbound:
            self._early.clear()

    # ---- when it breaks

    def _mend(self, lost: bool) -> None:
        """Reconnect, and catch up with what was missed where that is possible (§7.6).

        Raises `UpstreamError` if nothing helps.
        """
        lost = lost or self._is_unwanted
        is_again = time.monotonic() - self._mended_at < _SOON
        self._breaks = self._breaks + 1 if is_again else 0
        if self._breaks > ATTEMPTS or (is_again and not self._is_waited_for()):
            raise UpstreamUnreachable("Poe's websocket breaks again and again.")
        if is_again:
            self._rest(self._breaks - 1)
        if not lost and not is_again:
            try:
                self._install(self._socket.open(self._data, self._seq), None)
            except PoeProxyError as failure:
                log.info("%s: no reconnection to the same channel: %s", self._label, failure)
            else:
                log.info("%s: the websocket is open again", self._label)
                return
        for attempt in range(ATTEMPTS):
            try:
                data = self._take_next() or self._renew()
                wire = self._socket.open(data, data.min_seq)
            except (TokenRejected, UpstreamBlocked):
                raise
            except PoeProxyError as failure:
                if attempt == ATTEMPTS - 1 or self._closing.is_set():
                    raise
                log.info("%s: no new channel: %s", self._label, failure)
                self._rest(attempt)
            else:
                self._install(wire, data)
                break
        log.info("%s: a new channel is open", self._label)
        self._put_to_all(Resync())

    def _take_next(self) -> ChannelData | None:
        with self._changed:
            data, self._next = self._next, None
            return data

    def _install(self, wire: Wire, new: ChannelData | None) -> None:
        """Go on with *wire*, the websocket of a *new* channel or of the present one."""
        RECONNECTS.add(self._label, "asked_for" if self._is_unwanted else self._why)
        with self._changed:
            self._wire = wire
            self._mended_at = time.monotonic()
            self._is_open = True
            if new is not None:
                self._data, self._seq = new, new.min_seq
                self._is_unwanted = False
                self.generation += 1
            elif self._is_unwanted:
                # A reply asked for a new channel while the old one was being opened again.
                cut(wire.sock)
            self._changed.notify_all()
        self._when_open(self._data.name)

    def _rest(self, attempt: int) -> None:
        self._closing.wait(_PAUSE * 2**attempt * random.uniform(1.0, 1.5))

    def _is_waited_for(self) -> bool:
        with self._changed:
            return bool(self._by_chat or self._unbound)

    def _put_to_all(self, notice: Notice) -> None:
        with self._changed:
            for mailbox in dict.fromkeys((*self._by_chat.values(), *self._unbound.values())):
                mailbox.put(notice)

    def _die(self, why: str) -> None:
        with self._changed:
            if not self.is_alive:
                return
            self.is_alive = False
            self._changed.notify_all()
        log.log(
            logging.INFO if self._closing.is_set() else logging.WARNING,
            "%s: the channel is gone: %s",
            self._label,
            why,
        )
        self._put_to_all(UpstreamInterrupted(f"The connection to Poe is gone: {why}"))
