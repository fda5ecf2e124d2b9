"""One sentence each: what was wrong, what is allowed, what to do."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from res2net.errors import InputError, check_choice, check_options, check_range, nearest, type_advice


def message(check, *arguments):
    with pytest.raises(InputError) as caught:
        check(*arguments)
    return str(caught.value)


def test_the_nearest_name_whatever_its_case():
    assert nearest("COSIN", ["cosine", "step"]) == "did you mean 'cosine'?"
    assert nearest("xyzzy", ["cosine", "step"]) == ""


def test_choices():
    check_choice("Schedule", None, (None, "step"))
    assert message(check_choice, "Schedule", "stpe", ["step", "cosine"]) == (
        "Schedule 'stpe' is not known: did you mean 'step'? (allowed: step, cosine)."
    )
    assert message(check_choice, "Number", "none", range(20)).endswith(
        "choose one (allowed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more)."
    )


def test_options():
    check_options("It", ["scale"], ["scale", "width"])
    assert message(check_options, "It", ["scale", "scales"], ["scale"]) == (
        "It has no option 'scales': did you mean 'scale'?"
    )
    assert message(check_options, "It", [7], ["scale", "width"]) == "It has no option 7: it takes scale, width."


@pytest.mark.parametrize("value", [0, 1, 0.5, True])
def test_within_a_range(value):
    check_range("share", value, 0, 1)


@pytest.mark.parametrize("value", [-1e-9, 1.1, math.nan, math.inf, "half", None])
def test_out_of_a_range(value):
    assert message(check_range, "share", value, 0, 1) == f"share {value!r} is out of range: give 0 to 1."


def test_a_range_without_an_end():
    check_range("workers", 10**9, 0)
    assert message(check_range, "workers", -1, 0) == "workers -1 is out of range: give 0 or more."


def test_of_a_traceback_of_a_worker_the_sentence_is_kept():
    text = "Caught InputError in DataLoader worker.\nTraceback ...\nres2net.errors.InputError: It is broken.\n"
    assert str(InputError(text)) == "It is broken."


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
        (print, dict),  # a type that is not known
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
        (3, str | Callable[[int], int], "give a name or a function"),
        (3, Sequence[int], "give a list"),
        ("1,1", Sequence[int], "give a list"),
        ([1, "x"], Sequence[int], "give a list"),
    ],
)
def test_values_of_another_type(value, hint, advice):
    assert type_advice(value, hint) == advice
