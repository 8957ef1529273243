"""Imports that are put off until what they bring is used."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def deferred(*modules: str) -> Iterator[None]:
    """Have what is imported in this block take from `modules` names that load theirs at the first use.

    A name may be called and asked for its attributes, and stand in annotations; it is no class to inherit from. Modules
    that are loaded already are left alone, and the block leaves none of its own behind.
    """
    stand_ins = {name: _StandIn(name) for name in modules if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # The import system asks a module for its own names, such as `__path__`.
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or _Later(self.__name__, name)


class _Later:
    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _load(self) -> Any:
        module = import_module(self._module)
        if isinstance(module, _StandIn):
            raise ImportError(f"{self._module}.{self._name} is used where it is deferred")
        return getattr(module, self._name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._load()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)
