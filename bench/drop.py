"""The floor for a long reply by cookie: who receives each frame of it, and drops it.

`python -m gevent.monkey bench/drop.py PORT PROMPT` prints the CPU seconds that it took, and the MB.
"""

from __future__ import annotations

import sys
import time
from urllib.parse import quote

import websocket


def main() -> None:
    """Receive one reply, with the library that the proxy has, too."""
    port, prompt = sys.argv[1:]
    channel = websocket.create_connection(
        f"ws://127.0.0.1:{port}/flood?prompt={quote(prompt, safe='')}",
        timeout=30,
        skip_utf8_validation=True,
    )
    began = time.process_time()
    size = 0
    while True:
        opcode, data = channel.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            break
        size += len(data)
    print(time.process_time() - began, size / 1e6)


if __name__ == "__main__":
    main()
