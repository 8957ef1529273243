"""The formats that are recognised, a module a vendor."""

from crypto_platform.importers.formats import (
    alpaca,
    alpha_vantage,
    binance,
    ccxt,
    coinbase,
    freqtrade,
    kraken,
    lean,
    stooq,
    yfinance,
)

FORMATS = {
    one.name: one
    for one in (
        *binance.FORMATS,
        *kraken.FORMATS,
        *coinbase.FORMATS,
        *freqtrade.FORMATS,
        *ccxt.FORMATS,
        *alpaca.FORMATS,
        *lean.FORMATS,
        *yfinance.FORMATS,
        *alpha_vantage.FORMATS,
        *stooq.FORMATS,
    )
}
