"""What Poe says a reply has cost, put to the request that it was for. Free of I/O.

Web protocol sheet §7.5 and §12.3. It comes just behind the end of the reply, and names its job.
Nobody waits for it: by then the request may be over.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, TypeVar

from poe_proxy.chat import Charges
from poe_proxy.upstreams.poe_web.items import Item

T = TypeVar("T")

#: The newest costs that are kept until their reply has ended, and the newest replies that are kept
#: until their cost is told.
MOST: Final = 256
#: The most points of a reply that are believed.
MOST_POINTS: Final = 1_000_000_000


class Costs:
    """The costs of an account's replies, as they are told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By job: what it has cost, and whom it is for.
        self._told: OrderedDict[int, int] = OrderedDict()
        self._wanted: OrderedDict[int, Charges] = OrderedDict()

    def tell(self, item: Item) -> None:
        """Take what Poe has pushed about the cost of a job."""
        match item.content():
            case {"jobId": int(job), "totalCostPoints": int(points)} if 0 <= points <= MOST_POINTS:
                with self._lock:
                    _keep(self._told, job, points)
                    charges = self._wanted.get(job)
                if charges is not None:
                    charges.note(job, points)

    def want(self, job: int, charges: Charges) -> None:
        """Have the cost of *job* noted in *charges*, now or as soon as it is told."""
        charges.expect(job)
        with self._lock:
            _keep(self._wanted, job, charges)
            points = self._told.get(job)
        if points is not None:
            charges.note(job, points)


def _keep(where: OrderedDict[int, T], job: int, one: T) -> None:
    where[job] = one
    where.move_to_end(job)
    while len(where) > MOST:
        where.popitem(last=False)
