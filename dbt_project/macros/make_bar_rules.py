"""Write `bar_rules.sql`: the rules of a bar's prices and volume, as `crypto_platform/market/bars.py` has them, for dbt.

Run `python dbt_project/macros/make_bar_rules.py` after changing a rule there; a test tells when it was forgotten.
"""

import json
from pathlib import Path

from crypto_platform.market.bars import PRICE_RULES, VOLUME_RULES, VWAP_RULES
from crypto_platform.market.dataset import Rule

MACROS = Path(__file__).with_name("bar_rules.sql")


def macro(name: str, says: str, rules: tuple[Rule, ...]) -> str:
    """A macro that returns `rules` as {reason: SQL that is true of a bar that breaks it}."""
    listed = json.dumps({rule.reason: rule.broken for rule in rules}, indent=4)
    return f"\n\n{{# {says} #}}\n{{% macro {name}() %}}\n  {{{{ return({listed}) }}}}\n{{% endmacro %}}\n"


def macros() -> str:
    """The text of `bar_rules.sql`."""
    return (
        "{# Made by make_bar_rules.py of crypto_platform/market/bars.py, whose rules the load keeps: change them "
        "there. #}"
        + macro("price_rules", "What is wrong with a bar's open, high, low and close, by the reason.", PRICE_RULES)
        + macro("volume_rules", "The same of its volume and trade count.", VOLUME_RULES)
        + macro("vwap_rules", "The same of its VWAP.", VWAP_RULES)
    )


if __name__ == "__main__":
    MACROS.write_text(macros())
