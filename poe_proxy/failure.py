"""The base of all failures of a request; `errors` has the failures themselves."""

from __future__ import annotations

from typing import ClassVar


class PoeProxyError(Exception):
    """The base of all failures of a request; never raised itself.

    The message is shown to the client: it never holds a credential, or of the text of a
    conversation more than the link to a file that would be lost. `param` is the client's own path
    to a field where the value carries one, otherwise the name of a field of `ChatRequest`.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    #: Whether clients may send the same request again, or would pay twice; None leaves it to them.
    client_may_retry: ClassVar[bool | None] = None
    #: Whether it comes of a change of Poe's site although its code says something else.
    site_changed: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        #: Seconds after which another try makes sense.
        self.retry_after = retry_after


def let_go(failure: BaseException) -> None:
    """Let go of the frames that *failure* came through, and those of what led to it.

    To be called when nobody wants to know any more where it came from. A frame holds its request,
    and where it holds the failure too, both would stay until the garbage collector finds them.
    """
    left: list[BaseException | None] = [failure]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            left += (one.__cause__, one.__context__)
