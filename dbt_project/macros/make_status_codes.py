"""Write `status_codes.sql`: what halts a stock, as `crypto_platform/market/trading_statuses.py` has it, for dbt.

Run `python dbt_project/macros/make_status_codes.py` after changing it there; a test tells when it was forgotten.
"""

from pathlib import Path

from crypto_platform.market.trading_statuses import HALTING, RESUMING, among

MACROS = Path(__file__).with_name("status_codes.sql")


def macro(name: str, says: str, codes: tuple[tuple[str, str], ...]) -> str:
    """A macro of the SQL that is true of a status among `codes`."""
    return f"\n\n{{# SQL: {says} #}}\n{{% macro {name}() -%}}\n({among(codes)})\n{{%- endmacro %}}\n"


def macros() -> str:
    """The text of `status_codes.sql`."""
    return (
        "{# Made by make_status_codes.py of crypto_platform/market/trading_statuses.py: change it there. #}"
        + macro("is_halting", "after the status nobody trades.", HALTING)
        + macro("is_resuming", "after the status everybody may trade.", RESUMING)
    )


if __name__ == "__main__":
    MACROS.write_text(macros())
