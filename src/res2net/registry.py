"""Things with names, such as backbones, tasks and recipes, in modules that are imported only when they are needed."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from res2net.errors import check_choice

T = TypeVar("T")


def modules_of_tasks(file: str) -> list[str]:
    """The modules in files of that name, such as `recipes.py`, in the folders of tasks; none is imported."""
    root = Path(__file__).parent
    paths = sorted((root / "tasks").rglob(file))
    return [".".join((root.name, *path.relative_to(root).with_suffix("").parts)) for path in paths]


@cache
def task_modules() -> dict[str, str]:
    """The package of each task by its name, in alphabetical order; those are the folders that hold a `task.py`."""
    packages = [module.removesuffix(".task") for module in modules_of_tasks("task.py")]
    return {package.rpartition(".")[2]: package for package in sorted(packages, key=lambda name: name.split(".")[-1])}


class Registry(Mapping[str, T], Generic[T]):
    """Things by name, in the order in which they were registered.

    Args:
        kind: what a thing is called in messages, such as "Task".
        package: a package whose modules register their things when they are imported; all of them are imported at the
            first look at the names.
        modules: a function that returns other such modules; or, where the names are known beforehand, a mapping from
            each name to the module that registers it, which alone is imported when its name is asked for.

    Raises:
        InputError: a name is looked up that nobody registered; the message names the nearest.
    """

    def __init__(
        self,
        kind: str,
        *,
        package: str | None = None,
        modules: Callable[[], Mapping[str, str] | Collection[str]] = tuple,
    ) -> None:
        self.kind = kind
        self._package = package
        self._modules = modules
        self._things: dict[str, T] = {}
        self._declared: Mapping[str, str] | None = None

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

    def _known(self) -> Mapping[str, str]:
        """The module of each name that is known beforehand; the other modules are imported at the first call."""
        if self._declared is None:
            self._declared = {}  # these modules may ask for names when they are imported
            package = self._package and importlib.import_module(self._package)
            found = (
                [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
                if package
                else self._modules()
            )
            if isinstance(found, Mapping):
                self._declared = found
            else:
                for module in found:
                    importlib.import_module(module)
        return self._declared

    def _names(self) -> dict[str, None]:
        return dict.fromkeys((*self._known(), *self._things))

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            check_choice(self.kind, name, self._names())
        if name not in self._things:
            importlib.import_module(self._known()[name])
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
        """Forget at the end of a `with` block what was registered within it.

        Names that are known beforehand stay, since the modules that register them are imported only once.
        """
        known = self._known()
        before = dict(self._things)
        try:
            yield
        finally:
            self._things = {name: thing for name, thing in self._things.items() if name in known} | before

    @contextlib.contextmanager
    def replaced(self, name: str, thing: T) -> Iterator[None]:
        """Use another thing under a registered name within a `with` block, as tests do."""
        replaced = self[name]
        self._things[name] = thing
        try:
            yield
        finally:
            self._things[name] = replaced
