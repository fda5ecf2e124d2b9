"""Options are checked against their type annotations."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from res2net.errors import InputError
from res2net.options import check_ranges, from_dict, type_advice


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (np.float32(0.5), float),
        (False, bool),
        ("relu", str),
        (None, int | None),
        (3, int | None),
        ([1, 2], Sequence[int]),
        ((), Sequence[int]),
        (np.array([1, 2]), Sequence[int]),
        (len, str | Callable[[int], int]),
        (print, Any),
        ((1, 2.5), tuple[int, float]),
        ([1, 2, 3], tuple[int, ...]),
        ({"a": 1}, dict[str, int | str]),
        ("sgd", Literal["sgd", "adam"]),
        (len, Literal["relu"] | Callable[[int], int]),
        (dt.date(2026, 1, 1), dt.date),
    ],
)
def test_values_of_a_type(value, hint):
    assert type_advice(value, hint) == ""


@pytest.mark.parametrize(
    ("value", "hint", "advice"),
    [
        (2.0, int, "give a whole number"),
        (True, int, "give a whole number"),
        (True, float, "give a number"),
        ("x", float, "give a number"),
        (1, bool, "give True or False"),
        ("x", int | None, "give a whole number or None"),
        (3, str | Callable[[int], int], "give a string or a function"),
        (3, Sequence[int], "give a list"),
        ("1,1", Sequence[int], "give a list"),
        ([1, "x"], Sequence[int], "give a list"),
        ({1: 2}, Sequence[int], "give a list"),
        ([1], tuple[int, int], "give a list"),
        ({"a": None}, dict[str, int | str], "give a mapping to a whole number or a string"),
        ("x", dt.date, "give a date"),
        ("sdg", Literal["sgd", "adam"], "did you mean 'sgd'? (allowed: sgd, adam)"),
        (True, Literal[1, 2], "choose one (allowed: 1, 2)"),
        (3, Literal["sgd"] | None, "choose one (allowed: sgd or None)"),
        (
            "rleu",
            Literal["relu", "mish"] | Callable[[], int],
            "did you mean 'relu'? (allowed: relu, mish or a function)",
        ),
    ],
)
def test_values_of_another_type(value, hint, advice):
    assert type_advice(value, hint) == advice


@dataclass(frozen=True)
class Optimizer:
    """Options, two of which had other names once."""

    name: Literal["sgd", "adam"]
    rate: float = 0.1
    betas: tuple[float, ...] = ()
    schedule: Literal["step", "cosine"] | None = None

    renamed: ClassVar[Mapping[str, str]] = {"kind": "name", "lr": "rate"}


def refused(values):
    with pytest.raises(InputError) as caught:
        from_dict(Optimizer, values)
    return str(caught.value)


def test_values_of_a_fixed_set():
    assert from_dict(Optimizer, {"name": "adam", "schedule": "step"}) == Optimizer("adam", schedule="step")
    assert refused({"name": "adma"}) == (
        "name 'adma' in the configuration does not fit: did you mean 'adam'? (allowed: sgd, adam)."
    )
    assert refused({"name": "sgd", "schedule": "cosin"}) == (
        "schedule 'cosin' in the configuration does not fit: did you mean 'cosine'? (allowed: step, cosine or None)."
    )


def test_former_names_are_accepted():
    assert from_dict(Optimizer, {"kind": "sgd", "lr": 1}) == Optimizer("sgd", 1.0)
    assert from_dict(Optimizer, {"kind": "sgd", "rate": 1}) == Optimizer("sgd", 1.0)


def test_a_former_name_beside_the_new_one_is_refused():
    assert refused({"name": "sgd", "lr": 1, "rate": 2}) == (
        "The configuration has both 'rate' and its former name 'lr': remove one."
    )


def test_a_misspelt_name_is_compared_with_the_present_names():
    assert refused({"name": "sgd", "ratee": 1}) == "The configuration has no option 'ratee': did you mean 'rate'?"


def test_lists_become_tuples_and_numbers_floats():
    made = from_dict(Optimizer, {"name": "sgd", "rate": "1e-3", "betas": [1, 0.5]})
    assert (made.rate, made.betas) == (0.001, (1, 0.5))


@dataclass
class Ranged:
    chance: float = 0.5
    side_lengths: tuple[int, ...] | None = None

    def __post_init__(self):
        check_ranges(self, chance=(0, 1), side_lengths=(8, 64))


def test_ranges_of_numbers_of_tuples_and_of_none():
    assert Ranged(1, (8, 64)).side_lengths == (8, 64)
    assert Ranged().side_lengths is None
    with pytest.raises(InputError, match=r"chance 1\.5 is out of range: give 0 to 1"):
        Ranged(1.5)
    with pytest.raises(InputError, match="side lengths 65 is out of range: give 8 to 64"):
        Ranged(side_lengths=(8, 65))
