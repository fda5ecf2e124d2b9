"""Things with names, such as backbones, tasks and recipes, in modules that are imported only when they are needed."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from res2net.errors import check_choice

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Things by name, in the order in which they were registered.

    Args:
        kind: what a thing is called in messages, such as "Task".
        package: a package whose modules register their things when they are imported; all of them are imported at the
            first look at the names.
        modules: names that are known beforehand, each with the module that registers it; that module alone is
            imported when its name is asked for.

    Raises:
        InputError: a name is looked up that nobody registered; the message names the nearest.
    """

    def __init__(
        self, kind: str, *, package: str | None = None, modules: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        self.kind = kind
        self._package = package
        self._modules = modules
        self._things: dict[str, T] = {}
        self._complete = package is None

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: add a thing under a name."""

        def add(thing: T) -> T:
            self.add(name, thing)
            return thing

        return add

    def add(self, name: str, thing: T) -> None:
        """Add a thing under a name; `ValueError` when the name is taken."""
        if name in self._things:
            raise ValueError(f"{self.kind.lower()} {name!r} is registered twice")
        self._things[name] = thing

    def _import_all(self) -> None:
        if self._complete or self._package is None:
            return
        self._complete = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")

    def _names(self) -> dict[str, None]:
        self._import_all()
        beforehand = self._modules() if self._modules else {}
        return dict.fromkeys((*beforehand, *self._things))

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            check_choice(self.kind, name, self._names())
        if name not in self._things and self._modules:
            importlib.import_module(self._modules()[name])
            check_choice(self.kind, name, self._things)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Forget at the end of a `with` block what was registered within it."""
        self._import_all()
        before = dict(self._things)
        try:
            yield
        finally:
            self._things = before

    @contextlib.contextmanager
    def replaced(self, name: str, thing: T) -> Iterator[None]:
        """Use another thing under a registered name within a `with` block, as tests do."""
        check_choice(self.kind, name, self._names())
        with self.restored():
            self._things[name] = thing
            yield
