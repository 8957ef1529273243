"""fakesnow's translation without the passes that have nothing to do: in half the time. Of a query, once.

It rewrites a statement by some eighty passes, each of which calls a function with every node of the tree. Each function
leaves nodes alone that are not of a class it asks for, `isinstance(expression, exp.Trim)`; where no node of the
statement is one, its pass is left out.

What comes of a query or of a view depends on its text and on where names without a schema are looked for: dbt's views
and tests are the same in every build.
"""

import ast
import inspect
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from sqlglot import exp

from crypto_platform.sandbox.fakesnow_patches.statement_cache import TEXT

# Of a build of dbt's some 150; a tree takes 0.2 MB.
_TRANSLATED_KEPT = 300


def install(cursor: Any, transforms: ModuleType) -> None:
    """Have fakesnow's module `cursor` leave out the passes of its module `transforms` that have nothing to do."""
    translate = cursor.FakeSnowflakeCursor._transform
    translated: OrderedDict[tuple[str, str | None, str | None], Any] = OrderedDict()

    def translate_what_is_there(self: Any, expression: Any, params: Any) -> Any:
        text = expression.meta.get(TEXT)
        if not text or params or not _is_query(expression):
            return translate(self, _Statement(expression, transforms), params).expression
        key = (text, self._conn.database, self._conn.schema)
        found = translated.get(key)
        if found is None:
            # Kept as it is executed, which changes nothing of it.
            found = translated[key] = translate(self, _Statement(expression, transforms), params).expression
            if len(translated) > _TRANSLATED_KEPT:
                translated.popitem(last=False)
        return found

    cursor.FakeSnowflakeCursor._transform = translate_what_is_there


def _is_query(expression: Any) -> bool:
    return isinstance(expression, exp.Query) or (isinstance(expression, exp.Create) and expression.kind == "VIEW")


class _Statement:
    """A statement as the chain of passes sees it: `.transform(function, …)` gives the statement after the pass."""

    def __init__(self, expression: Any, transforms: ModuleType) -> None:
        self.expression = expression
        self._transforms = transforms
        self._classes = _classes(expression)

    def transform(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> "_Statement":
        asked = concerned(_named(function, self._transforms))
        if not asked or any(issubclass(found, asked) for found in self._classes):
            self.expression = self.expression.transform(function, *args, **kwargs)
            self._classes = _classes(self.expression)
        return self


def _classes(expression: Any) -> set[type]:
    return {type(node) for node in expression.walk()}


def _named(function: Callable[..., Any], transforms: ModuleType) -> Callable[..., Any]:
    """The function of the module itself, where the pass has it in a lambda with what the session is."""
    if function.__name__ != "<lambda>":
        return function
    (name,) = (name for name in function.__code__.co_names if inspect.isfunction(getattr(transforms, name, None)))
    named: Callable[..., Any] = getattr(transforms, name)
    return named


@cache
def concerned(function: Callable[..., Any]) -> tuple[type, ...]:
    """The classes of nodes that the function asks its first argument for; none where it asks by other means."""
    node = next(iter(inspect.signature(function).parameters))
    asked: list[type] = []
    for call in ast.walk(ast.parse(inspect.getsource(function))):
        match call:
            case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), classes]) if name == node:
                found = eval(ast.unparse(classes), function.__globals__)  # noqa: S307 - fakesnow's own source
                asked += found if isinstance(found, tuple) else [found]
    return tuple(asked)
