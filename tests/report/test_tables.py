"""Tables for the terminal and for HTML."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from res2net.errors import InputError
from res2net.report import Column, Table
from res2net.report.tables import MISSING

COLUMNS = (
    Column("model"),
    Column("parameters", "M", digits=1, best="low"),
    Column("top-1", "%", best="high"),
    Column("images"),
)
TABLE = Table(
    "ImageNet",
    COLUMNS,
    [["ResNet-50", 25.557, 76.15, 50000], ["Res2Net-50", 25.699, 77.986, np.int64(50000)], ["none", None, np.nan, 0]],
)


def terminal(table, *, styles=False):
    console = Console(file=io.StringIO(), width=100, force_terminal=styles, color_system="standard" if styles else None)
    console.print(table.to_rich())
    return console.file.getvalue()


def test_numbers_have_units_digits_and_thousands():
    lines = terminal(TABLE).splitlines()
    assert lines[0].strip() == "ImageNet"
    assert lines[2].split() == ["model", "parameters", "(M)", "top-1", "(%)", "images"]
    assert [line.split() for line in lines[4:7]] == [
        ["ResNet-50", "25.6", "76.15", "50,000"],
        ["Res2Net-50", "25.7", "77.99", "50,000"],
        ["none", MISSING, MISSING, "0"],
    ]


def test_numbers_are_aligned_to_the_right_and_words_to_the_left():
    lines = terminal(TABLE).splitlines()[4:7]
    assert {line.index(word) for line, word in zip(lines, ("ResNet", "Res2Net", "none"), strict=True)} == {2}
    assert len({len(line.rstrip()) for line in lines}) == 1
    html = TABLE.to_html()
    assert html.count('class="number"') == 3 * (1 + len(TABLE.rows))


def test_the_best_numbers_are_bold_in_both():
    shown = terminal(TABLE, styles=True)
    assert re.findall(r"\x1b\[1m *([\d.]+) *\x1b\[0m", shown) == ["25.6", "77.99"]
    html = TABLE.to_html()
    assert "<strong>25.6</strong>" in html
    assert "<strong>77.99</strong>" in html
    assert html.count("<strong>") == 2


def test_numbers_that_look_the_same_are_equally_good_and_a_lone_one_is_not_best():
    column = [Column("top-1", best="high")]
    assert Table("", column, [[77.986], [77.9901], [70.0]]).to_html().count("<strong>") == 2
    assert "<strong>" not in Table("", column, [[77.0], [None]]).to_html()
    assert "<strong>" not in Table("", column, [[77.0], ["much"]]).to_html()
    assert "<strong>" in Table("", column, [[1.0], [np.float32(2)], [np.inf]]).to_html()


def test_html_names_its_columns_and_rows():
    html = TABLE.to_html()
    assert "<caption>ImageNet</caption>" in html
    assert '<th scope="col" class="number">top-1 <span class="unit">(%)</span></th>' in html
    assert '<th scope="row">Res2Net-50</th>' in html


def test_hostile_names_stay_text():
    table = Table("<i>", [Column("<script>", "[bold]")], [["<script>alert(1)</script>"], ["[red]a[/red]\x1b[31m"]])
    html = table.to_html()
    assert "<script" not in html
    assert "<i>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    shown = terminal(table)
    assert "[red]a[/red]" in shown
    assert "[bold]" in shown
    assert "\x1b" not in shown


def test_other_cells():
    assert terminal(Table("", [Column("x")], [[True], [False], [None], [-np.inf]])).split()[-4:] == [
        "yes",
        "no",
        MISSING,
        "-∞",
    ]
    assert "<tbody></tbody>" in Table("", COLUMNS, []).to_html()
    assert terminal(Table("", COLUMNS, []))


def test_mistakes_are_told():
    with pytest.raises(InputError, match="A row of the table 'x' has 2 cells for 1 columns"):
        Table("x", [Column("a")], [[1, 2]])
    with pytest.raises(InputError, match="Unknown best value 'hihg': did you mean 'high'"):
        Column("a", best="hihg")


@pytest.mark.parametrize(("width", "whole"), [(80, True), (30, False)])
def test_names_of_rows_are_not_broken_where_the_terminal_has_the_place(monkeypatch, width, whole):
    monkeypatch.setenv("COLUMNS", str(width))
    name, about = "res2net50_48w_2s", "a long text of many words " * 4
    console = Console(file=io.StringIO(), width=width)
    console.print(Table("", [Column("model"), *[Column("about")] * 4], [[name, *[about] * 4]]).to_rich())
    shown = console.file.getvalue()
    assert (name in shown) is whole
    # All columns are there, however narrow.
    assert len(re.sub(r"\s", "", shown.split("─")[-1])) == len(name + about.replace(" ", "") * 4)


def test_a_table_of_boxes_fits_into_80_columns_and_its_notes_stand_below():
    corners = [Column(corner, "px", digits=1) for corner in ("x1", "y1", "x2", "y2")]
    columns = [Column("image"), Column("object"), Column("score", "%", digits=1), *corners]
    note = "photos/a.jpg: 5 more below 0.5: --score-threshold 0.15 shows them"
    table = Table("", columns, [("photos/a.jpg", "person", 90.0, 1234.5, 1.0, 1300.0, 900.0)], [note])
    output = io.StringIO()
    console = Console(width=80, file=output)
    console.print(table.to_rich())
    lines = [line.strip() for line in output.getvalue().splitlines() if line.strip()]
    assert " ".join(lines[0].split()) == "image object score (%) x1 (px) y1 (px) x2 (px) y2 (px)"
    assert len(lines) == 3
    assert table.to_html().endswith(f"</table><p>{note}</p>")


def test_markdown_has_the_same_cells():
    table = Table("a_b", (Column("name"), Column("score", "%", best="high")), [("x|y", 1.5), ("z", 2.25)])
    assert table.to_markdown().splitlines() == [
        "| name | score, % |",
        "| --- | ---: |",
        r"| x\|y | 1.50 |",
        "| z | **2.25** |",
    ]
