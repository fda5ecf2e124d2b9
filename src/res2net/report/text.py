"""Names that come from outside, made safe and short enough for terminals and figures."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from PIL import ImageFont

__all__ = [
    "FAMILIES",
    "drawable",
    "fallbacks",
    "lines_of",
    "pillow_font",
    "printable",
    "quiet_fonts",
    "shorten",
    "text_width",
]

# The first comes with matplotlib; of the others, for scripts that it lacks, those that a system has are used.
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
    """Any text on one line: white space becomes spaces, and what cannot be printed or encoded becomes U+FFFD."""
    return "".join(char if char.isprintable() else UNKNOWN for char in " ".join(text.split()))


def drawable(text: str) -> str:
    """A text for matplotlib, drawn as it is: no formulas, and U+FFFD for what no font of this system has."""
    fonts = (FAMILIES[0], *fallbacks(text))
    known = "".join(char if any(char in _characters(font) for font in fonts) else UNKNOWN for char in printable(text))
    return known.replace("$", r"\$")


def fallbacks(text: str) -> list[str]:
    """The fonts of this system to try for characters that the first of `FAMILIES` lacks; none when it has them all."""
    # No font has a line break: it is no letter.
    return [] if _characters(FAMILIES[0]).issuperset(text.replace("\n", "")) else _installed()


def pillow_font(text: str, height: int) -> ImageFont.FreeTypeFont:
    """A font for Pillow, of letters so many pixels high: the one of this system that has most characters of a text."""
    families = (FAMILIES[0], *fallbacks(text))
    return _sized(max(families, key=lambda family: sum(char in _characters(family) for char in text)), height)


def text_width(text: str) -> float:
    """Width in em, the font's size."""
    return sum(_advance(char) for char in text)


def shorten(text: str, width: float) -> str:
    """The text if it is at most `width` em wide, else its beginning with an ellipsis."""
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


def lines_of(text: str, width: float, most: int = 2) -> list[str]:
    """The text cut between words into at most `most` lines of at most `width` em; the last is shortened to fit."""
    words = printable(text).split()
    lines: list[str] = []
    while words and len(lines) < most - 1:
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}") <= width:
            line = f"{line} {words.pop(0)}"
        lines.append(shorten(line, width))
    return [*lines, shorten(" ".join(words), width)] if words else lines


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Silence matplotlib's notice that a font has no regular weight: another weight of it does as well."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 100)


@cache
def _sized(family: str, height: int) -> ImageFont.FreeTypeFont:
    with quiet_fonts():
        return ImageFont.truetype(font_manager.findfont(family), height)


@cache
def _advance(char: str) -> float:
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else _font().getlength(char) / 100


@cache
def _installed() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [family for family in FAMILIES[1:] if family in installed]


@cache
def _characters(family: str) -> frozenset[str]:
    with quiet_fonts():
        return frozenset(map(chr, font_manager.get_font(font_manager.findfont(family)).get_charmap()))
