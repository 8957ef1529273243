"""What the key's plan gives of US stocks: the consolidated tape (SIP) in real time, or late beside IEX in real time.

https://docs.alpaca.markets/docs/about-market-data-api#subscription-plans
"""

from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_platform.connectors.alpaca.client import AlpacaClient, Traffic
from crypto_platform.connectors.alpaca.errors import NotEntitledError
from crypto_platform.connectors.alpaca.request import BarsRequest
from crypto_platform.market.bars import Timeframe

# Listed as long as there is a market, so that an answer without bars is the time's doing.
_SYMBOL = "SPY"
# Of the time that a plan without real time does not include.
_RECENT = timedelta(minutes=5)


def has_sip_in_real_time(client: AlpacaClient, feed: str) -> bool:
    """Whether the plan includes the consolidated tape of the last minutes; `feed` is named in errors.

    Raises:
        AlpacaError: see `AlpacaClient.pages`; a plan without it is no error.
    """
    now = datetime.now(UTC)
    day, symbols = now.date(), (_SYMBOL,)
    request = BarsRequest(
        feed, "us_equity", symbols, Timeframe.parse("1Min"), day, day + timedelta(days=1), alpaca_feed="sip"
    )
    try:
        next(client.pages(request, symbols, now - _RECENT, now, Traffic(), Event()))
    except NotEntitledError:
        return False
    return True
