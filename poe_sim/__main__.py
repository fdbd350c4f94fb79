"""``python -m poe_sim``: the stand-in for Poe as a server of its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from .app import PortTakenError, build_app, listen, serve_until_signal
from .web import Switches


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m poe_sim",
        description="A stand-in for Poe on this machine: poe.com and api.poe.com on one port.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    add("--port", type=int, default=0, help="0, the default, takes any free one")
    add("--tokens", type=_list, default=[], help="`p-b` cookies of the accounts: a,b")
    add("--api-keys", type=_list, default=[], help="keys of the official API: k1,k2")
    add("--mode", choices=("strict", "lenient"), default="strict", help="(%(default)s)")
    add("--base-host", default="", help="host in channel data; default: the request's")
    add("--tag-mode", choices=("either", "plain", "swapped"), default="either")
    add("--pace", type=float, default=0.03, help="seconds between two pieces (%(default)s)")
    add("--max-concurrent", type=int, default=3, help="replies at a time (%(default)s)")
    add("--rate-limit", type=int, default=0, help="messages a minute for an account; 0: no limit")
    add("--points", type=int, default=1_000_000, help="points of each account (%(default)s)")
    add("--seed", type=int, default=0, help="one seed, the same ids and keys (%(default)s)")
    add("--quiet", action="store_true", help="do not log refused requests on stderr")
    return parser


class _OneLine(logging.Formatter):
    """Writes what cannot be printed as an escape: a message repeats what its client has sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
            for one in record.message
        )
        return super().formatMessage(record)


def main(arguments: list[str] | None = None) -> int:
    """Run the stand-in until a signal ends it; return the exit status."""
    given = _parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("poe_sim: %(message)s"))
    logging.basicConfig(level=logging.ERROR if given.quiet else logging.INFO, handlers=[handler])
    # Without any credential no client could get in.
    has_any = given.tokens or given.api_keys
    app = build_app(
        tokens=given.tokens if has_any else ["demo-cookie"],
        api_keys=given.api_keys if has_any else ["demo-key"],
        switches=Switches(
            mode=given.mode,
            tag_mode=given.tag_mode,
            base_host=given.base_host,
            pace=given.pace,
            max_concurrent=given.max_concurrent,
            rate_limit=given.rate_limit,
        ),
        seed=given.seed,
        points=given.points,
    )
    try:
        listener = listen(given.host, given.port)
    except PortTakenError as error:
        print(f"poe_sim: {error}", file=sys.stderr)
        return 1
    asyncio.run(serve_until_signal(app, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
