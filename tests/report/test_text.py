"""Names from outside become safe and short enough."""

from __future__ import annotations

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from res2net.report import text as text_module
from res2net.report.style import finish, render
from res2net.report.text import drawable, fallbacks, lines_of, printable, shorten, text_width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("striped square", "striped square"),
        ("two\nlines\tand  spaces ", "two lines and spaces"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("not utf-8: \udcff", "not utf-8: \N{REPLACEMENT CHARACTER}"),
        ("right\u202eleft", "right\N{REPLACEMENT CHARACTER}left"),
        ("größe 中文", "größe 中文"),
        ("", ""),
    ],
)
def test_what_cannot_be_printed_is_replaced(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("name", [r"$\frac{1}$", "5 $ and 6 $", "中文 ไทย \U0001f600", "\x00\udcff", r"a\$b$", "_^{}"])
def test_any_name_can_be_drawn_without_a_warning(name):
    figure = Figure()
    text = figure.text(0.5, 0.5, drawable(name))
    assert render(finish(figure)).startswith(b"\x89PNG")
    shown, formula = text._preprocess_math(text.get_text())
    assert not formula
    assert shown.count("$") == name.count("$")


def test_other_fonts_are_tried_only_where_the_first_does_not_do():
    assert fallbacks("größe → ∞") == []
    assert fallbacks("two\nlines") == []
    assert "DejaVu Sans" not in fallbacks("中")


@pytest.fixture
def forget():
    """What was looked up among the fonts of this system is forgotten before the test and after it."""

    def clear():
        for function in vars(text_module).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    clear()
    yield
    clear()


@pytest.mark.usefixtures("forget")
def test_a_font_without_a_regular_weight_is_used_in_silence(monkeypatch, caplog):
    """Not every system has one, so one is made up: a font of this system under the name of the first fallback."""
    name = text_module.FAMILIES[1]
    regular = font_manager.fontManager.findfont("DejaVu Sans")
    entry = font_manager.FontEntry(fname=regular, name=name, weight=500)
    others = [font for font in font_manager.fontManager.ttflist if font.name not in text_module.FAMILIES[1:]]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*others, entry])
    font_manager.fontManager._findfont_cached.cache_clear()
    assert fallbacks("\u4e2d") == [name]
    figure = Figure()
    figure.text(0.5, 0.5, drawable("\u4e2d"))
    render(finish(figure))
    assert caplog.text == ""
    font_manager.fontManager.findfont(name, fallback_to_default=False)
    assert name in caplog.text  # it does speak elsewhere


def test_widths_are_those_of_the_font():
    assert text_width("W") > text_width("i") > 0
    assert text_width("中") == 1
    assert text_width("") == 0


def test_a_long_text_keeps_its_beginning():
    assert shorten("cat", 10) == "cat"
    short = shorten("American Staffordshire terrier", 10)
    assert short.startswith("American St")
    assert short.endswith("…")
    assert text_width(short) <= 10
    assert shorten("anything", 0) == "…"
    assert shorten("a\nb\udcff", 10) == "a b\N{REPLACEMENT CHARACTER}"


def test_lines_break_between_words_and_the_last_is_shortened():
    assert lines_of("striped square", 20) == ["striped square"]
    assert lines_of("striped square", 5) == ["striped", "square"]
    assert lines_of("one two three four five", 5) == ["one two", "three fo…"]
    assert lines_of("W" * 40, 5) == ["WWWW…"]
    assert lines_of("", 5) == []
