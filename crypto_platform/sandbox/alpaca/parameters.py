"""What the endpoints read alike from a request's parameters."""

import re
from collections.abc import Mapping


class BadRequestError(ValueError):
    """A parameter is invalid; the message is the one of the answer."""


def limit(text: str | None, default: int, most: int) -> int:
    """How many rows a page holds at most.

    Raises:
        BadRequestError: it is no whole number from 1 to `most`.
    """
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise BadRequestError(f"invalid limit: {text[:100]}: it should be between 1 and {most}")
    return int(text)


def choice(parameters: Mapping[str, str], name: str, allowed: set[str], default: str) -> str:
    """A parameter's value.

    Raises:
        BadRequestError: it is none of those allowed.
    """
    value = parameters.get(name, default)
    if value not in allowed:
        raise BadRequestError(f"invalid {name}: {value[:100]}")
    return value
