"""OpenLineage's specification as JSON Schema, from the classes that its project generates of it.

The packages ship no schema. Their classes in `openlineage.client.generated` name each property, its type and whether it
is required; what is not of a class is refused here, but in facets of other vendors, which the specification allows.
"""

import inspect
import pkgutil
import types
import typing
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
import jsonschema
from openlineage.client import generated
from openlineage.client.generated import base

_FORMATS = {"runId": "uuid", "producer": "uri", "_producer": "uri", "_schemaURL": "uri", "schemaURL": "uri"}
_PRIMITIVES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def check(event: dict[str, Any]) -> None:
    """Check an event and each facet that the specification has.

    Raises:
        jsonschema.ValidationError: it is not as specified.
    """
    _validator(base.RunEvent).validate(event)
    for part in (event["run"], event["job"], *event.get("inputs", []), *event.get("outputs", [])):
        for facets in (part.get(kind, {}) for kind in ("facets", "inputFacets", "outputFacets")):
            for facet in facets.values():
                _validator(_facets().get(facet["_schemaURL"].rpartition("/")[2], base.BaseFacet)).validate(facet)


@cache
def _facets() -> dict[str, type]:
    modules = [
        import_module(f"{generated.__name__}.{found.name}") for found in pkgutil.iter_modules(generated.__path__)
    ]
    classes = [found for module in modules for _, found in inspect.getmembers(module, inspect.isclass)]
    return {found.__name__: found for found in classes if issubclass(found, base.BaseFacet)}


@cache
def _validator(of: type) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_of(of), format_checker=jsonschema.FormatChecker())


def _of(hint: Any) -> dict[str, Any]:
    if hint in _PRIMITIVES:
        return {"type": _PRIMITIVES[hint]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(each) for each in arguments if each is not type(None)]}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    return _object(hint) if attr.has(hint) else {}


def _object(of: type) -> dict[str, Any]:
    hints = get_type_hints(of, localns={**vars(typing), **vars(import_module(of.__module__))})
    fields = {field.name: field for field in attr.fields(of)}
    # A schema's fields may have fields of their own, without an end.
    kinds = {name: {"type": "array"} if hints[name] == list[of] | None else _of(hints[name]) for name in fields}
    for name in fields:
        if form := _FORMATS.get(name) or ("date-time" if name.endswith("Time") else None):
            kinds[name] = {**kinds[name], "format": form}
    named = {"_producer", "_schemaURL", "producer", "schemaURL"} & fields.keys()
    return {
        "type": "object",
        "properties": kinds,
        "required": sorted(named | {name for name, field in fields.items() if field.default is attr.NOTHING}),
        # Any facet of the base alone is another vendor's, or holds what no class names.
        "additionalProperties": of is base.BaseFacet or bool(base.BaseFacet in of.__bases__),
    }
