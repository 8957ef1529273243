"""Superset's configuration; `crypto_platform.connectors.superset` starts Superset with it.

The environment gives what differs: `SUPERSET_HOME` holds the metadata in SQLite unless `SUPERSET_METADATA_URL` names
another database; `SUPERSET_SECRET_KEY` signs sessions and encrypts passwords; `SUPERSET_WAREHOUSE` is a JSON object,
the arguments of `snowflake.connector.connect` for a login that only reads.
"""

import json
import os
import string
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

# Imported here once, not within the first request.
import snowflake.sqlalchemy  # noqa: F401
from superset import config as default

# Of the project, this one module that needs no more than the connector.
sys.path.append(str(Path(__file__).parents[1]))
from crypto_platform.connectors.snowflake.threads import ready_for_threads

# In each worker, before its threads.
ready_for_threads()

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
if os.environ.get("SUPERSET_METADATA_URL"):
    SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_METADATA_URL"]
    # Its server may have been restarted since the last page.
    SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}
WAREHOUSE = json.loads(os.environ["SUPERSET_WAREHOUSE"])

# --- The warehouse: the code names no address, this process is told it.


def DB_CONNECTION_MUTATOR(  # noqa: N802
    uri: Any, params: dict[str, Any], username: str, security_manager: Any, source: Any
) -> tuple[Any, dict[str, Any]]:
    if uri.get_backend_name() == "snowflake":
        params["connect_args"] = {**params.get("connect_args", {}), **WAREHOUSE}
    return uri, params


def FLASK_APP_MUTATOR(app: Any) -> None:  # noqa: N802
    if WAREHOUSE.get("host") == "127.0.0.1":
        from superset.db_engine_specs.snowflake import SnowflakeEngineSpec

        # SQL Lab asks for CURRENT_SESSION(), which the emulator lacks; a query there cannot be cancelled.
        SnowflakeEngineSpec.get_cancel_query_id = classmethod(lambda cls, cursor, query: None)


# --- What is drawn again within a minute comes from the cache, or a page that is left open keeps an account's warehouse
# awake; the emulator costs nothing.
if WAREHOUSE.get("host") != "127.0.0.1":
    DATA_CACHE_CONFIG = {"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 60}
    DASHBOARD_AUTO_REFRESH_MODE = "fetch"

# --- Safety. CSRF protection and Talisman are on by default.
WTF_CSRF_TIME_LIMIT = 60 * 60 * 24
RATELIMIT_ENABLED = True
RATELIMIT_STORAGE_URI = "memory://"
TALISMAN_CONFIG = deepcopy(default.TALISMAN_CONFIG)
_policy = TALISMAN_CONFIG["content_security_policy"]
# Nothing here is drawn from other hosts.
_policy["img-src"] = ["'self'", "blob:", "data:"]
_policy["connect-src"] = ["'self'"]
_policy["font-src"] = ["'self'"]
_policy["style-src"] = ["'self'", "'unsafe-inline'"]
# Handlebars compiles its templates to functions.
_policy["script-src"] = ["'self'", "'strict-dynamic'", "'unsafe-eval'"]

# The shapes of a drawing, nothing that runs, loads, links or styles: no script, style, href, image or foreignObject.
_SHAPES = ["svg", "g", "rect", "line", "path", "polyline", "circle", "text", "tspan", "title"]
_DRAWN = [
    *["x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "dx", "dy", "d", "points", "width", "height"],
    *["viewBox", "preserveAspectRatio", "vectorEffect", "transform", "fill", "fillOpacity", "opacity"],
    *["stroke", "strokeWidth", "strokeDashArray", "strokeOpacity", "strokeLineJoin"],
    *["textAnchor", "dominantBaseline", "fontSize", "fontWeight", "role", "ariaLabel"],
]
HTML_SANITIZATION_SCHEMA_EXTENSIONS = {
    "tagNames": _SHAPES,
    "attributes": {"*": ["className"], **dict.fromkeys(_SHAPES, _DRAWN)},
}

# --- What the dashboards are made with.
# Jinja in the datasets' SQL: the candlestick is drawn from what the filters chose.
FEATURE_FLAGS = {"ENABLE_TEMPLATE_PROCESSING": True}


def number(expression: str, whole_from: float = 1e12, step: str = "") -> str:
    """SQL that writes a number for people, with commas.

    It has 8 decimals below 1, 4 below 100, 2 from there and none from `whole_from` on; or, where `step` is what numbers
    on an axis are apart, as many as tell them apart.
    """

    def fixed(decimals: int) -> str:
        # A cast and not to_char: the emulator takes no format for numbers.
        return f"cast(cast({expression} as number(38, {decimals})) as varchar)"

    def first_of(cases: dict[str, int], otherwise: str) -> str:
        return f"case {' '.join(f'when {when} then {fixed(n)}' for when, n in cases.items())} else {otherwise} end"

    def commas(text: str) -> str:
        # Counted from the end; of two decimals at most, none are three digits.
        backwards = f"regexp_replace(reverse({text}), '(\\\\d{{3}})', '\\\\1,')"
        return f"regexp_replace(reverse({backwards}), '^(-?),', '\\\\1')"

    if step:
        fine = {f"{step} < {10.0**-n:.{n}f} * 0.9": n + 1 for n in range(11, 1, -1)}
        return first_of(fine, commas(first_of({f"{step} > 0.9": 0, f"{step} > 0.09": 1}, fixed(2))))
    size = f"abs({expression})"
    small = {f"{size} < {below}": decimals for below, decimals in ((1, 8), (100, 4)) if below <= whole_from}
    large = first_of({f"{size} >= {whole_from:.0f}": 0}, fixed(2))
    return f"iff({expression} = 0, '0', {first_of(small, commas(large))})"


def plain(text: Any) -> str:
    """What a filter chose without all that is not part of a symbol or a word: safe between quotes in SQL."""
    return "".join(c for c in str(text) if c in f"{string.ascii_letters}{string.digits}/._-")


JINJA_CONTEXT_ADDONS = {"number": number, "plain": plain}
# Relative time ranges end now, not at midnight.
DEFAULT_RELATIVE_START_TIME = "now"
DEFAULT_RELATIVE_END_TIME = "now"

# Every page says so where the bars are not Alpaca's.
ENVIRONMENT_TAG_CONFIG = {
    "variable": "SUPERSET_SOURCE",
    "values": {"sandbox": {"color": "warning", "text": "Sandbox: replayed or simulated bars, not live prices"}},
}

# --- Looks.
APP_NAME = "Market data"
THEME_DEFAULT = deepcopy(default.THEME_DEFAULT)
THEME_DEFAULT["token"] |= {
    "brandAppName": APP_NAME,
    "colorPrimary": "#0072B2",
    "colorLink": "#0072B2",
    "colorWarning": "#B45309",
}
# The drawings' colours are made for one background.
THEME_DARK = None
# Up is blue and down is vermilion everywhere. For ten symbols, Okabe and Ito's eight colours, an indigo of Tol's and a
# grey: with no kind of colour vision do the two come closer to any than two of the eight to each other. Yellow, pale on
# white, is last.
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "okabe_ito",
        "label": "Okabe-Ito and two more",
        "description": "Colours that are told apart with every kind of colour vision",
        "isDefault": True,
        "colors": [
            *["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"],
            *["#56B4E9", "#000000", "#332288", "#606060", "#F0E442"],
        ],
    }
]
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [
    {
        "id": "down_up",
        "label": "Down to up",
        "description": "Vermilion to blue over white",
        "isDiverging": True,
        "isDefault": False,
        "colors": ["#D55E00", "#F0A878", "#F7F7F7", "#80B6D9", "#0072B2"],
    },
    {
        "id": "little_much",
        "label": "Little to much",
        "description": "White to deep blue",
        "isDiverging": False,
        "isDefault": False,
        "colors": ["#F3F8FC", "#BFDCEE", "#7FB8DA", "#3B8FC2", "#0B5C94"],
    },
    {
        "id": "lacking_complete",
        "label": "Lacking to complete",
        "description": "Vermilion to pale blue",
        "isDiverging": False,
        "isDefault": False,
        "colors": ["#D55E00", "#EE9A5C", "#F8D9BF", "#CFE3F0", "#9CC7E2"],
    },
]
