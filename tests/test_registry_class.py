"""Registries find things by name, and import no more than they need."""

import sys

import pytest

from res2net.errors import InputError
from res2net.registry import Registry


@pytest.fixture
def colours():
    """A registry with two entries."""
    registry = Registry("Colour")
    registry.add("red", 1)
    registry.add("blue", 2)
    return registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose two modules each register a letter in the registry of its `__init__`."""
    folder = tmp_path / "letters_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from res2net.registry import Registry\nLETTERS = Registry('Letter', package=__name__)\n"
    )
    for letter in "ab":
        (folder / f"{letter}.py").write_text(f"from letters_of_a_test import LETTERS\nLETTERS.add({letter!r}, 1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_it_is_a_mapping_in_the_order_of_registration(colours):
    assert dict(colours) == {"red": 1, "blue": 2}
    assert list(colours) == ["red", "blue"]
    assert len(colours) == 2
    assert "green" not in colours


def test_a_decorator_registers(colours):
    @colours.register("green")
    def green():
        return "leaf"

    assert colours["green"] is green


def test_an_unknown_name_names_the_nearest(colours):
    with pytest.raises(InputError, match=r"^Unknown colour 'rde': did you mean 'red'\? \(allowed: red, blue\)\.$"):
        colours["rde"]


def test_a_name_is_taken_once(colours):
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.add("red", 3)


def test_what_a_block_registers_is_forgotten_after_it(colours):
    with colours.restored():
        colours.add("green", 3)
        assert "green" in colours
    assert list(colours) == ["red", "blue"]


def test_modules_of_a_package_are_imported_at_the_first_look(package):
    registry = __import__(package).LETTERS
    assert f"{package}.a" not in sys.modules
    assert list(registry) == ["a", "b"]
    assert f"{package}.a" in sys.modules


def test_only_the_module_of_the_name_that_is_asked_for_is_imported(package):
    registry = __import__(package).LETTERS
    lazy = Registry("Letter", modules=lambda: {"a": f"{package}.a", "b": f"{package}.b"})
    registry._things = lazy._things
    assert list(lazy) == ["a", "b"]
    assert lazy["a"] == 1
    assert f"{package}.b" not in sys.modules


def test_modules_without_names_are_imported_at_the_first_look(package):
    registry = __import__(package).LETTERS
    lazy = Registry("Letter", modules=lambda: [f"{package}.b"])
    registry._things = lazy._things
    assert f"{package}.b" not in sys.modules
    assert lazy["b"] == 1
    assert list(lazy) == ["b"]


def test_what_is_imported_when_its_name_is_asked_for_outlasts_a_block(package):
    lazy = __import__(package).LETTERS = Registry(
        "Letter", modules=lambda: {letter: f"{package}.{letter}" for letter in "ab"}
    )
    with lazy.restored():
        lazy.add("c", 3)
        assert lazy["a"] == 1
    assert list(lazy) == ["a", "b"]
    assert lazy["a"] == 1
    with lazy.replaced("b", 5):
        assert lazy["b"] == 5
    assert lazy["b"] == 1
