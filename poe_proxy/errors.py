"""Every way a request can fail. Status, OpenAI type and code, what a failure means for
the token, and whether a second try makes sense: all of it is read from the class.

* PoeProxyError
  x InvalidRequest            400  the client's doing; `param` names the field
    + RequestTooLarge         413  the body is over the limit
    + RequestTooCostly        400  to read it, or to check its answer, would hold up all others
  x InvalidKey                401  the client's key is not one of ours
  x ModelNotAllowed           403  the client may not use this model
  x ClientLimited             429  the client has had its requests for now
    + ClientOutOfBudget       429  the client has used up its budget
  x RouteNotFound             404  no such path
  x MethodNotAllowed          405  no such method on this path
  x TooManyStreams            429  as many answers are under way as may be
  x ServerBusy                503  no room for this request beside all others
  x PoolUnavailable           503  Redis, which holds the pool of several workers, is away
  x NoTokenFree               429  every token is in use or resting
    + NoPointsLeft            429  every account is out of points
  x NoTokenLeft               502  every token that could serve has been set aside
  x InternalError             500  a fault of our own
  x UpstreamError             502  Poe's
    + UpstreamUnreachable     502  nothing was sent
    + LoginFailed             502  an account could not be made ready; nothing was sent
    + UpstreamUncertain       502  sent, but the connection broke before the reply began
    + UpstreamInterrupted     502  the reply broke off
    + UpstreamTimeout         504  nothing came in time
    + UpstreamProtocolError   502  what came made no sense
      - AnswerUnusable        502  the bot twice answered in the wrong form
      - ReplyTooLarge         502  the reply is longer than `MAX_REPLY_MB`
    + UpstreamChanged         502  Poe no longer knows an operation of the site
    + UpstreamBlocked         502  a challenge page instead of an answer
    + UpstreamOverloaded      503  too much to do there
    + UpstreamRefused         502  a refusal that has no class of its own
    + BotNotFound             404  no such bot
    + BotNotAllowed           403  the bot is not for this account
    + BotLimited              429  the bot's own limit, the same for every token
    + BotFailed               502  the bot broke down
      - BotFailedEarly        502  it broke down before it said anything, and may be asked once more
    + PromptTooLong           400  more than the bot can read
    + PromptRefused           403  moderation
    + ParameterRefused        400  the bot does not take a field, or its value
      - ToolsRefused          400  the bot takes no tools, or not this tool choice
    + PartRefused             400  this way to Poe does not take a part of a message
    + TokenRejected           502  Poe no longer takes this token
    + TokenHeldBack           429  this token was limited or set aside before anything was sent
    + TokenLimited            429  this token has had its share for now
      - TokenExhausted        429  its account is out of points, or has had its share of the bot
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from poe_proxy.failure import PoeProxyError as PoeProxyError
from poe_proxy.failure import let_go as let_go

#: What a failure counts against: the account, or the account together with the bot.
Scope: TypeAlias = Literal["account", "bot"]


class InvalidRequest(PoeProxyError):
    """The client sent something that cannot be answered; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class RequestTooLarge(InvalidRequest):
    """The body is larger than `MAX_BODY_MB`."""

    status = 413
    code = "request_too_large"


class RequestTooCostly(InvalidRequest):
    """To read the request would hold up all other requests, or it has done so."""

    code = "request_too_costly"
    client_may_retry = False


class InvalidKey(PoeProxyError):
    """The client's own key is missing or wrong; Claude Code would try the same one for minutes."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    client_may_retry = False


class ModelNotAllowed(PoeProxyError):
    """This client may not use the model: `models` and `not_models` in `CLIENTS` say so."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"
    client_may_retry = False


class ClientLimited(PoeProxyError):
    """The client has had its requests for now; other clients are served."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class ClientOutOfBudget(ClientLimited):
    """The client has used up its budget of tokens or points."""

    type = "insufficient_quota"
    code = "insufficient_quota"
    client_may_retry = False


class RouteNotFound(PoeProxyError):
    """There is nothing at this path."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(PoeProxyError):
    """The path exists but does not take this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class TooManyStreams(PoeProxyError):
    """As many answers are under way as may be (`MAX_STREAMS`)."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    client_may_retry = True


class ServerBusy(PoeProxyError):
    """There is no room for this request beside all others; nothing was sent to Poe."""

    status = 503
    code = "server_busy"
    client_may_retry = True


class PoolUnavailable(PoeProxyError):
    """Redis, which holds the pool of several workers, is away; nothing was sent to Poe."""

    status = 503
    code = "pool_unavailable"
    client_may_retry = True


class NoTokenFree(PoeProxyError):
    """Every token is in use or resting, and the wait in line is over."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class NoPointsLeft(NoTokenFree):
    """Every account that could serve this request is out of points."""

    type = "insufficient_quota"
    code = "insufficient_quota"
    client_may_retry = False


class NoTokenLeft(PoeProxyError):
    """No token is left that could serve this request: Poe rejected them all."""

    status = 502
    type = "upstream_error"
    code = "upstream_auth"
    # It takes the operator: a client that tries again would be silent for up to two minutes.
    client_may_retry = False


class InternalError(PoeProxyError):
    """A fault of our own; the log has the traceback."""

    code = "internal_error"


class UpstreamError(PoeProxyError):
    """Poe did not answer as it should; never raised itself."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    #: Whether the same request may go out again on another token. Only where Poe
    #: certainly did not act on the first: a prompt sent twice is paid for twice.
    another_token: ClassVar[bool] = False
    #: Whether the same request may go out once more, on any token: Poe says so of this failure.
    once_more: ClassVar[bool] = False
    #: Whether only the other way to Poe may do better: every token of this kind fails the same.
    another_kind: ClassVar[bool] = False
    #: Whether the trouble is the token's own: it says nothing about the next token, and does not
    #: count as one of the `ATTEMPTS` of a request.
    is_of_token: ClassVar[bool] = False
    #: Seconds that the token rests afterwards unless Poe says for how long; None: no rest.
    rest: ClassVar[float | None] = None
    #: Whether the token is suspended: set aside until Poe is seen to accept it again.
    suspends: ClassVar[bool] = False
    #: Whether the account has no points for this bot: it rests for this bot, and its balance says
    #: whether it rests for all.
    is_out_of_points: ClassVar[bool] = False
    #: What clients are told of the token that met it, behind its name; empty: they are told nothing
    #: of it, as it has no part in this.
    blame: ClassVar[str] = ""
    #: Whether the message behind that is in Poe's words.
    is_quoted: ClassVar[bool] = False
    #: What this counts against for a while, so that the next request goes elsewhere if it can;
    #: None: nothing.
    strikes: ClassVar[Scope | None] = None


class UpstreamUnreachable(UpstreamError):
    """No connection was made, so nothing was sent."""

    code = "upstream_unreachable"
    another_token = True
    strikes = "account"


class LoginFailed(UpstreamError):
    """Nothing was sent: an account could not be made ready. Its message is that failure's."""

    code = "upstream_login"
    another_token = True
    is_of_token = True
    strikes = "account"
    blame = "could not be made ready"


class UpstreamUncertain(UpstreamError):
    """The request was sent, but its answer was lost: Poe may be acting on it."""

    code = "upstream_uncertain"
    client_may_retry = False
    strikes: ClassVar[Scope | None] = "bot"


class UpstreamInterrupted(UpstreamError):
    """The reply had begun, but broke off."""

    code = "upstream_interrupted"
    client_may_retry = False


class UpstreamTimeout(UpstreamError):
    """Nothing came in time."""

    status = 504
    code = "upstream_timeout"
    client_may_retry = False
    strikes = "bot"


class UpstreamProtocolError(UpstreamError):
    """Poe sent something that we do not understand."""

    code = "upstream_protocol"
    client_may_retry = False


class AnswerUnusable(UpstreamProtocolError):
    """The bot answered in the wrong form, even after a correction."""


class ReplyTooLarge(UpstreamProtocolError):
    """The reply is longer than replies are; the next one would be, too."""

    code = "reply_too_large"


class UpstreamChanged(UpstreamError):
    """Poe's site no longer knows an operation by the hash that we have for it."""

    code = "upstream_changed"
    another_kind = True


class UpstreamBlocked(UpstreamError):
    """A challenge page came instead of an answer: Poe takes us for a robot."""

    code = "upstream_blocked"
    client_may_retry = False
    another_token = True
    is_of_token = True
    suspends = True
    blame = "is shown a challenge page"


class UpstreamOverloaded(UpstreamError):
    """Poe, or the maker of the model, has too much to do; nothing was started."""

    status = 503
    code = "upstream_overloaded"
    another_token = True
    strikes = "bot"


class UpstreamRefused(UpstreamError):
    """Poe refused the request for a reason that has no class here; nothing was started."""

    code = "upstream_refused"
    another_kind = True


class BotNotFound(UpstreamError):
    """Poe has no bot of that name, or none that this way leads to."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"
    another_kind = True


class BotNotAllowed(UpstreamError):
    """The bot exists, and this account may not use it; another account may."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"
    another_token = True
    strikes = "bot"
    blame = "may not use this bot"
    is_quoted = True


class BotLimited(UpstreamError):
    """The maker of the model has no more to give for now: the bot's limit, not the token's."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    another_kind = True
    strikes = "bot"


class BotFailed(UpstreamError):
    """The bot broke down while it answered."""

    code = "bot_failed"
    client_may_retry: ClassVar[bool | None] = False


class BotFailedEarly(BotFailed):
    """The bot broke down before it said anything, in a way that Poe lets us ask once more."""

    client_may_retry = None
    once_more = True
    strikes = "bot"


class PromptTooLong(UpstreamError):
    """The conversation is longer than the bot can read."""

    status = 400
    type = "invalid_request_error"
    code = "context_length_exceeded"
    #: How many tokens it has, and how many the bot reads at most, as far as that is known.
    tokens: int | None = None
    maximum: int | None = None


class PromptRefused(UpstreamError):
    """Moderation, at Poe or at the maker of the model, refused the conversation."""

    status = 403
    type = "permission_error"
    code = "content_policy_violation"


class ParameterRefused(UpstreamError):
    """The bot does not take a field of the request, or not with this value."""

    status = 400
    type = "invalid_request_error"
    code = "unsupported_parameter"


class ToolsRefused(ParameterRefused):
    """The bot has no tools of its own, or does not take this choice: tools can be taught."""


class PartRefused(UpstreamError):
    """This way to Poe does not take an image or file in this form; the other one may."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    another_kind = True


class TokenRejected(UpstreamError):
    """Poe does not accept this token; it is suspended, and another may still work."""

    code = "upstream_auth"
    another_token = True
    is_of_token = True
    suspends = True
    blame = "is refused"
    is_quoted = True


class TokenHeldBack(UpstreamError):
    """The token was lent, but before anything was sent it was limited or set aside."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    another_token = True
    is_of_token = True
    blame = "may not be used now"


class TokenLimited(UpstreamError):
    """This token has had its share for now; it rests for `retry_after` seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    another_token = True
    is_of_token = True
    rest = 30.0
    blame = "is held back"
    is_quoted = True


class TokenExhausted(TokenLimited):
    """The account behind this token is out of points, or has had its share of this bot."""

    type = "insufficient_quota"
    code = "insufficient_quota"
    client_may_retry = False
    is_out_of_points = True
    blame = "is out of points"
