"""What Alpaca's websocket says when it refuses, in words that tell one cause from another and what to do.

https://docs.alpaca.markets/docs/streaming-market-data#control-messages
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class _Meaning:
    text: str
    remediation: str
    wait: float = 0.0


# Seconds to wait at least: a key or a plan is not corrected within one, a connection that was cut is let go of in some.
_MEND, _LET_GO = 60.0, 5.0

_MEANINGS = {
    400: _Meaning("invalid syntax", "a message of ours was not understood: report it", _MEND),
    401: _Meaning("not authenticated", "set APCA_API_KEY_ID and APCA_API_SECRET_KEY", _MEND),
    402: _Meaning("auth failed", "check APCA_API_KEY_ID and APCA_API_SECRET_KEY: Alpaca does not accept them", _MEND),
    403: _Meaning("already authenticated", "nothing: the connection is made again"),
    404: _Meaning("auth timeout", "nothing: the key came too late, the connection is made again"),
    405: _Meaning(
        "symbol limit exceeded",
        "the plan allows fewer symbols: take some out of the feed or its universe, or change the plan",
        _MEND,
    ),
    406: _Meaning(
        "connection limit exceeded",
        "another connection uses this key on this endpoint: stop the other program; one that was just cut is let go "
        "of within seconds",
        _LET_GO,
    ),
    407: _Meaning("slow client", "this machine reads too slowly: fewer symbols, or more processor; reconnecting"),
    408: _Meaning("v2 not enabled", "the account may not use this stream: ask Alpaca", _MEND),
    409: _Meaning(
        "insufficient subscription", "the plan does not include this stream: another `alpaca_feed`, or plan", _MEND
    ),
    410: _Meaning("invalid subscribe action for this feed", "a channel is unknown to this stream: report it", _MEND),
    411: _Meaning("insufficient scope", "the key may not read market data: use another one", _MEND),
    500: _Meaning("internal error", "nothing: it is Alpaca's; the connection is made again"),
}
# In answer to what is subscribed to, not to the key.
OF_SUBSCRIPTIONS = (405, 409, 410)
_BY_TEXT = {meaning.text: code for code, meaning in _MEANINGS.items()}


class StreamRefusedError(Exception):
    """Alpaca refused; `code` is its own (0: one we do not know), `wait` the seconds before it makes sense to return."""

    def __init__(self, code: int, said: str) -> None:
        meaning = _MEANINGS.get(code, _Meaning(said, "an error that is not documented: the connection is made again"))
        super().__init__(f"Alpaca's stream refuses with {code or 'no code'}, {said[:100]!r}: {meaning.remediation}")
        self.code = code
        self.wait = meaning.wait

    @classmethod
    def saying(cls, said: str) -> "StreamRefusedError":
        """The refusal of which only the text is known, as alpaca-py tells those before a subscription."""
        return cls(_BY_TEXT.get(said, 0), said)
