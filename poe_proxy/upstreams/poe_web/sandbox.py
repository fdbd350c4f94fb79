"""Runs JavaScript from standard input as a browser runs the scripts of a page, and prints a string.

It reads `{"scripts": [...], "value": ...}`. Each script is evaluated by itself, in order: one that
throws ends nothing but itself, and what one defines is there for those that follow. The string is
that which `value` ends with, as far as the caller wants it.

A program of its own, started with an empty environment, because the code is not ours. The engine
has no files, no network and no objects of ours; time and memory are limited in the engine, for
all scripts together, and once more by the system.
"""

import json
import resource
import sys
import time

import quickjs

MEMORY = 64 * 1024 * 1024


def main() -> int:
    seconds, most = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_AS, (8 * MEMORY, 8 * MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    asked = json.load(sys.stdin)
    context = quickjs.Context()
    context.set_memory_limit(MEMORY)
    # The engine counts the time of each evaluation anew.
    until = time.process_time() + seconds
    for script in asked["scripts"]:
        evaluate(context, script, until)
    ended = evaluate(context, asked["value"], until)
    print(json.dumps({name: text and text[:most] for name, text in ended.items()}))
    return 0


def evaluate(context: quickjs.Context, text: str, until: float) -> dict[str, str | None]:
    """Return what *text* ends with, or how it failed; the processor's time may be *until*."""
    left = until - time.process_time()
    if left <= 0:
        return {"error": "interrupted: the time is over"}
    context.set_time_limit(left)
    try:
        value = context.eval(text)
    except (quickjs.JSException, quickjs.StackOverflow, ValueError) as failure:
        # A ValueError: the text has a character that the engine does not take.
        return {"error": (str(failure).splitlines() or [""])[0][:200]}
    return {"value": value if isinstance(value, str) else None}


if __name__ == "__main__":
    sys.exit(main())
