"""Tables for the terminal and for HTML."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np
import rich.box
import rich.table
from markupsafe import Markup
from rich.text import Text

from res2net.errors import InputError, check_choice
from res2net.report.text import printable

Cell: TypeAlias = str | float | bool | None
"""The value of a cell, which can be a number of numpy. None and NaN are missing values."""

MISSING = "–"  # noqa: RUF001 - the usual dash for missing values


@dataclass(frozen=True)
class Column:
    """A column of a `Table`.

    Args:
        heading: the heading.
        unit: the unit of the values, such as "%" or "ms".
        digits: decimals of non-integers.
        best: "high" or "low" to print the highest or lowest number in bold.

    Raises:
        InputError: `best` is none of these.
    """

    heading: str
    unit: str = ""
    digits: int = 2
    best: Literal["high", "low"] | None = None

    def __post_init__(self) -> None:
        check_choice("best value", self.best, (None, "high", "low"))


@dataclass(frozen=True)
class Table:
    """A table with a title, columns, and rows of one cell per column.

    A column of numbers only is aligned to the right, with its best number in bold if the column asks for it.

    Raises:
        InputError: the number of cells of a row differs from the number of columns.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    """Sentences below the table; in the terminal they are for whoever prints it, since they can be wider."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"A row of the table {self.title!r} has {len(row)} cells for {len(self.columns)} columns: give one "
                    "cell for each."
                )

    def to_rich(self) -> rich.table.Table:
        """The table for the terminal: `rich.print(table.to_rich())`."""
        table = rich.table.Table(
            title=Text(printable(self.title), style="bold") if self.title else None,
            title_justify="left",
            box=rich.box.SIMPLE_HEAD,
        )
        for index, column in enumerate(self.columns):
            unit = f" ({column.unit})" if column.unit else ""
            # Brackets in a string would be markup; in a `Text` they are not.
            heading = Text(printable(column.heading + unit))
            table.add_column(
                heading,
                justify="right" if self._numeric(index) else "left",
                overflow="fold",
                no_wrap=index == 0 and self._names_rows(),
            )
        for cells in self._shown_cells():
            table.add_row(*(Text(printable(text), style="bold" if best else "") for text, best in cells))
        return table

    def to_html(self) -> Markup:
        """The table as an HTML element; numeric cells have the class "number"."""
        number = [Markup(' class="number"') if self._numeric(index) else "" for index in range(len(self.columns))]
        parts = [Markup("<table>")]
        if self.title:
            parts.append(Markup("<caption>{}</caption>").format(self.title))
        parts.append(Markup("<thead><tr>"))
        for css, column in zip(number, self.columns, strict=True):
            unit = Markup(' <span class="unit">({})</span>').format(column.unit) if column.unit else ""
            parts.append(Markup('<th scope="col"{}>{}{}</th>').format(css, column.heading, unit))
        parts.append(Markup("</tr></thead><tbody>"))
        for cells in self._shown_cells():
            parts.append(Markup("<tr>"))
            for index, (text, best) in enumerate(cells):
                # The first column is the heading of its row, unless it is a number.
                head = index == 0 and not number[0]
                element = Markup('<th scope="row">{}{}</th>') if head else Markup("<td{}>{}</td>")
                parts.append(
                    element.format(number[index], Markup("<strong>{}</strong>").format(text) if best else text)
                )
            parts.append(Markup("</tr>"))
        parts.append(Markup("</tbody></table>"))
        parts += [Markup("<p>{}</p>").format(note) for note in self.notes]
        return Markup("").join(parts)

    def to_markdown(self) -> str:
        """The table in Markdown, without its title; numeric columns are aligned to the right."""
        headings = [column.heading + (f", {column.unit}" if column.unit else "") for column in self.columns]
        marks = ["---:" if self._numeric(index) else "---" for index in range(len(self.columns))]
        cells = [[f"**{text}**" if best else text for text, best in row] for row in self._shown_cells()]
        lines = [headings, marks, *cells]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def _names_rows(self) -> bool:
        """Whether the first column contains names of at most a third of the terminal, which are never wrapped."""
        longest = shutil.get_terminal_size().columns // 3
        cells = [row[0] for row in self.rows]
        return all(isinstance(cell, str) and len(cell) <= longest and " " not in cell for cell in cells)

    def _numeric(self, index: int) -> bool:
        cells = [row[index] for row in self.rows if row[index] is not None]
        return bool(cells) and all(_is_number(cell) for cell in cells)

    def _best(self, index: int) -> float | None:
        """The best number of a column, rounded as it is shown; None if none of several is marked."""
        column = self.columns[index]
        if column.best is None or not self._numeric(index):
            return None
        numbers = [number for row in self.rows if (number := _rounded(row[index], column)) is not None]
        return {"high": max, "low": min}[column.best](numbers) if len(numbers) > 1 else None

    def _shown_cells(self) -> Iterator[list[tuple[str, bool]]]:
        """The text of the cells of each row, and whether they are the best of their columns, as equal ones all are."""
        best = [self._best(index) for index in range(len(self.columns))]
        for row in self.rows:
            yield [
                (_shown(cell, column), wanted is not None and _rounded(cell, column) == wanted)
                for cell, column, wanted in zip(row, self.columns, best, strict=True)
            ]


def _is_number(cell: object) -> bool:
    return isinstance(cell, Real) and not isinstance(cell, bool)


def _rounded(cell: Cell, column: Column) -> float | None:
    """A finite number as it is shown; None for anything else."""
    number = float(cell) if _is_number(cell) else math.nan  # type: ignore[arg-type]
    return round(number, column.digits) if math.isfinite(number) else None


def _shown(cell: Cell, column: Column) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if cell is None or math.isnan(cell):
        return MISSING
    if math.isinf(cell):
        return "∞" if cell > 0 else "-∞"
    return f"{cell:,}" if isinstance(cell, int | np.integer) else f"{cell:,.{column.digits}f}"
