"""Fewer and larger events, where many small ones have come at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poe_proxy.chat import Reasoning, ReplyEvent, Text


def merged(events: Iterable[ReplyEvent]) -> Iterator[ReplyEvent]:
    """Yield *events*; texts in a row, or thoughts in a row, are one.

    If *events* fail, what they had said before comes first.
    """
    kind: type[Text | Reasoning] = Text
    texts: list[str] = []

    def taken() -> Iterator[ReplyEvent]:
        if texts:
            yield kind("".join(texts))
            texts.clear()

    try:
        for event in events:
            if isinstance(event, Text | Reasoning):
                if type(event) is not kind:
                    yield from taken()
                    kind = type(event)
                texts.append(event.text)
            else:
                yield from taken()
                yield event
    except Exception:
        yield from taken()
        raise
    yield from taken()
