"""Runs a JavaScript program from standard input and prints the string that it ends with.

A program of its own, started with an empty environment, because the code is not ours. The engine
has no files, no network and no objects of ours; time and memory are limited in the engine,
and once more by the system.
"""

import json
import resource
import sys

import quickjs

MEMORY = 64 * 1024 * 1024


def main() -> int:
    seconds = float(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_AS, (8 * MEMORY, 8 * MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    context = quickjs.Context()
    context.set_memory_limit(MEMORY)
    context.set_time_limit(seconds)
    try:
        value = context.eval(sys.stdin.read())
    except (quickjs.JSException, quickjs.StackOverflow) as failure:
        print(json.dumps({"error": (str(failure).splitlines() or [""])[0][:200]}))
    else:
        print(json.dumps({"value": value[:1000] if isinstance(value, str) else None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
