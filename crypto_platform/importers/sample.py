"""The beginning of a file: what kind it is, and the rows by which its layout is recognised."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet

from crypto_platform.importers.source import RefusedError, Source, damage

Kind = Literal["CSV", "JSON rows", "JSON object", "Parquet", "Feather"]

ROWS = 50
_START = 1 << 16
_PIECE = 1 << 20
# A vendor's answer has at most some thousand bars; whatever is bigger is no answer.
_LARGEST_OBJECT = 256 << 20
_BOM = b"\xef\xbb\xbf"
# What vendors call the text that they answer with in place of bars.
_MESSAGES = ("error", "Error Message", "Note", "Information", "message", "error_details")


@dataclass(frozen=True)
class Sample:
    """`rows`: the first lines' fields, or a JSON array's first elements; `document`: a JSON object; `schema`: the
    columns of Parquet and Feather."""

    source: Source
    kind: Kind
    rows: list[list[str | None]]
    document: dict[str, Any]
    schema: pa.Schema

    @property
    def names(self) -> list[str]:
        """The columns of Parquet and Feather, or the fields of the first line, as written."""
        return list(self.schema.names) or [field or "" for field in (self.rows[0] if self.rows else [])]


def take(source: Source) -> Sample:
    """Raises RefusedError for a file that is empty, cut, damaged, or of no kind that is read."""
    with damage(source), source.opened() as stream:
        start = stream.read(_START)
        while len(start) < _START and (more := stream.read(_START - len(start))):
            start += more
    if start.startswith(b"PAR1"):
        with damage(source), source.seekable() as file:
            return _sample(source, "Parquet", schema=pa.parquet.read_schema(file))
    if start.startswith(b"ARROW1"):
        with damage(source), source.seekable() as file:
            return _sample(source, "Feather", schema=pa.ipc.open_file(file).schema)
    if start.startswith(b"FEA1"):
        raise RefusedError(f"{source}: Feather of version 1: write it again with a newer pandas")
    text = start.removeprefix(_BOM).lstrip()
    if not text:
        raise RefusedError(f"{source}: the file is empty")
    if text.startswith(b"["):
        with source.opened() as stream:
            elements = islice(chain.from_iterable(arrays(source, stream)), ROWS)
            return _sample(source, "JSON rows", rows=[row for row in elements if isinstance(row, list)])
    if text.startswith(b"{"):
        return _sample(source, "JSON object", document=_document(source))
    lines = start.removeprefix(_BOM).decode("utf-8", errors="replace").splitlines()
    if len(start) == _START:
        lines.pop()
    return _sample(source, "CSV", rows=[list(row) for row in csv.reader(lines[:ROWS]) if row])


def _sample(
    source: Source,
    kind: Kind,
    rows: list[list[str | None]] | None = None,
    document: dict[str, Any] | None = None,
    schema: pa.Schema | None = None,
) -> Sample:
    return Sample(source, kind, rows or [], document or {}, schema or pa.schema([]))


def arrays(source: Source, stream: io.BufferedIOBase) -> Iterator[list[Any]]:
    """The elements of a JSON array, some thousand at a time; numbers are texts, with the digits that the file has.

    Raises:
        RefusedError: it is not JSON, or ends in the middle; names the element.
    """
    with damage(source):
        rest, ahead = _text(stream.read(_PIECE).removeprefix(_BOM)).lstrip().removeprefix("["), stream.read(_PIECE)
    done = 0
    while True:
        # Where an inner array ends, an element does: a row of bars has no texts with brackets in them.
        end = rest.rfind("],") + 1 if ahead else len(rest)
        if end:
            part, rest = rest[:end] + ("]" if ahead else ""), rest[end + 1 :]
            try:
                elements = json.loads("[" + part, parse_float=str, parse_int=str, parse_constant=str)
            except json.JSONDecodeError as error:
                told = error.msg if ahead or error.pos < len(part.rstrip()) else "the file ends in the middle"
                whole = done + part.count("]", 0, error.pos)
                raise RefusedError(f"{source}: no JSON after row {whole:,}: {told}: fetch it again") from error
            done += len(elements)
            yield elements
        if not ahead:
            return
        rest += _text(ahead)
        with damage(source):
            ahead = stream.read(_PIECE)


def _text(piece: bytes) -> str:
    """Rows of bars are ASCII; what is not becomes a value that is none."""
    return piece.decode("ascii", errors="replace")


def _document(source: Source) -> dict[str, Any]:
    with damage(source), source.opened() as stream:
        content = stream.read(_LARGEST_OBJECT + 1)
    if len(content) > _LARGEST_OBJECT:
        raise RefusedError(f"{source}: a JSON object of more than {_LARGEST_OBJECT >> 20} MB, which no vendor answers")
    try:
        found: dict[str, Any] = json.loads(
            content, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"{source}: no JSON: {error}: fetch it again") from error
    except ValueError as error:
        raise RefusedError(f"{source}: {error}") from error
    told = next((found[name] for name in _MESSAGES if found.get(name)), None)
    if told:
        raise RefusedError(f"{source}: the vendor answered with a message in place of bars: {str(told)[:200]}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice: which of the two is right?")
    return found
