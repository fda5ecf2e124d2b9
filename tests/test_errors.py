"""One sentence each: what was wrong, what is allowed, what to do."""

import io
import math
import os
from typing import Literal

import pytest
import rich.table
from rich.text import Text

from res2net.console import Console
from res2net.errors import InputError, check_choice, check_options, check_range, nearest, visible
from res2net.report.progress import track


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 中文, नमस्ते, 👩‍🔬, a\u00a0b, C:\\x", "plain, é, 中文, नमस्ते, 👩‍🔬, a\u00a0b, C:\\x"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m \x7f\x08\x00", r"\x9b31m \x7f\x08\x00"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("photo\u202egpj\u2028.exe", r"photo\u202egpj\u2028.exe"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("\ud83d", r"\ud83d"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert visible(text) == shown
    assert str(InputError(text)) == shown
    shown.encode()


def test_a_very_long_name_is_shortened_in_the_middle():
    text = str(InputError(f"There is no file {'x' * 5000}: give one."))
    assert len(text) < 2010
    assert text.startswith("There is no file xxx")
    assert text.endswith("xxx: give one.")


def test_a_console_prints_no_control_codes_but_its_own():
    name = "evil\x1b[31m[red]\x07" + os.fsdecode(b"\xff")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=200)
    console.out(name, highlight=False)
    console.print(name, markup=False, highlight=False)
    console.print(Text(name), style="bold")
    table = rich.table.Table("heading", min_width=60)
    table.add_row(Text(name))
    console.print(table)
    for _ in track("checking", [name], console):
        pass
    written = file.getvalue()
    assert written.count(r"evil\x1b[31m[red]") == 4
    assert written.count(r"evil\x1b[31m[r ") == 1, "the bar has no room for more"
    assert "\x07" not in written
    assert "\x1b[31m" not in written
    assert "\x1b[1m" in written
    written.encode()
