"""Text of unknown origin, made printable and short enough for terminals and figures.

Only what needs a font imports matplotlib, which takes time.
"""

from __future__ import annotations

import logging
import unicodedata
from functools import cache, partial
from pathlib import Path

from PIL import ImageFont

from res2net.optional import muted

# The first comes with matplotlib; the others are used for scripts that it lacks, if they are installed.
FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
ELLIPSIS = "…"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Put any text on one line: white space becomes spaces, and unprintable characters become U+FFFD."""
    return "".join(char if char.isprintable() else UNKNOWN for char in " ".join(text.split()))


def drawable(text: str) -> str:
    """Escape a text for matplotlib: no formulas, and U+FFFD for characters that no font of this system has."""
    fonts = (FAMILIES[0], *fallbacks(text))
    known = "".join(char if any(char in _characters(font) for font in fonts) else UNKNOWN for char in printable(text))
    return known.replace("$", r"\$")


def fallbacks(text: str) -> list[str]:
    """The fallback fonts of this system; none if the first of `FAMILIES` has all characters of a text."""
    # Line breaks are not in any font.
    return [] if _characters(FAMILIES[0]).issuperset(text.replace("\n", "")) else _installed()


def pillow_font(text: str, height: int) -> ImageFont.FreeTypeFont:
    """The font of this system with the most characters of a text, for Pillow, with a height in pixels."""
    families = (FAMILIES[0], *fallbacks(text))
    return _sized(max(families, key=lambda family: sum(char in _characters(family) for char in text)), height)


def text_width(text: str) -> float:
    """The width of a text in em."""
    return sum(_advance(char) for char in text)


def shorten(text: str, width: float) -> str:
    """Shorten a text to at most `width` em, with an ellipsis."""
    text = printable(text)
    if text_width(text) <= width:
        return text
    room = width - text_width(ELLIPSIS)
    kept = ""
    for char in text:
        room -= _advance(char)
        if room < 0:
            break
        kept += char
    return kept.rstrip() + ELLIPSIS


def lines_of(text: str, width: float) -> list[str]:
    """Wrap a text into at most two lines of at most `width` em; the last one is shortened to fit."""
    words = printable(text).split()
    first = next((count for count in range(len(words), 1, -1) if text_width(" ".join(words[:count])) <= width), 1)
    return [shorten(" ".join(part), width) for part in (words[:first], words[first:]) if part]


quiet_fonts = partial(muted, "matplotlib.font_manager", logging.ERROR)
"""Suppresses matplotlib's messages about fonts without a regular weight: another weight is used."""


@cache
def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 100)


@cache
def _sized(family: str, height: int) -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    with quiet_fonts():
        return ImageFont.truetype(font_manager.findfont(family), height)


@cache
def _advance(char: str) -> float:
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else _font().getlength(char) / 100


@cache
def _installed() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [family for family in FAMILIES[1:] if family in installed]


@cache
def _characters(family: str) -> frozenset[str]:
    from matplotlib import font_manager

    with quiet_fonts():
        return frozenset(map(chr, font_manager.get_font(font_manager.findfont(family)).get_charmap()))
