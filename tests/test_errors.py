"""One sentence each: what was wrong, what is allowed, what to do."""

import math
from typing import Literal

import pytest

from res2net.errors import InputError, check_choice, check_options, check_range, nearest


def message(check, *arguments):
    with pytest.raises(InputError) as caught:
        check(*arguments)
    return str(caught.value)


def test_the_nearest_name_whatever_its_case():
    assert nearest("COSIN", ["cosine", "step"]) == "did you mean 'cosine'?"
    assert nearest("xyzzy", ["cosine", "step"]) == ""


def test_choices():
    check_choice("Schedule", None, (None, "step"))
    check_choice("Schedule", "step", Literal["step", "cosine"])
    assert message(check_choice, "Schedule", "stpe", ["step", "cosine"]) == (
        "Unknown schedule 'stpe': did you mean 'step'? (allowed: step, cosine)."
    )
    assert message(check_choice, "--bad-images", "sikp", Literal["stop", "skip"]) == (
        "Unknown --bad-images 'sikp': did you mean 'skip'? (allowed: stop, skip)."
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
