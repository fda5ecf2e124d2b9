"""The report: one file that holds everything and runs nothing."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.report import Column, Report, Table, curves

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """The elements of a page, `(tag, attributes)`, and its text; checks that they are well nested."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def report():
    """A report with everything, in which every text is hostile."""
    report = Report(f"title {EVIL}", f"subtitle {EVIL}")
    image = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    for number in range(3):
        report.add_section(f"section {number} {EVIL}")
    report.add_paragraph(f"paragraph {EVIL}")
    report.add_table(Table(EVIL, [Column(EVIL, EVIL), Column("n")], [[EVIL, 1.5], ["\udcff\x00", 2.0]]))
    figure = curves({EVIL: ([1, 2], [1, 2])}, "epoch", "loss")
    report.add_figure(figure, EVIL)
    report.add_figure(figure, EVIL)
    report.add_figure(Image.new("RGB", (600, 400)), "large")
    report.add_figure(image, "small")
    report.add_images([image, Image.new("L", (300, 200))], [EVIL, "b"], EVIL)
    report.add_images([], [], "none")
    return report


def test_the_page_loads_and_runs_nothing(report, tmp_path):
    report.write(tmp_path / "folder" / "report.html")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["report.html"]
    html = (tmp_path / "folder" / "report.html").read_text("utf-8")
    page = Page(html)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base"})
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in re.sub(r'"data:[^"]*"', "", html)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")


def test_hostile_texts_are_shown_as_they_are(report):
    page = Page(report.html())
    assert page.text.count(EVIL) == 1 + 2 + 2 * 3 + 1 + 4 + 2 + 2
    assert len(page.all("img")) == 6


def test_the_structure_is_that_of_a_document(report):
    page = Page(report.html())
    assert len(page.all("h1")) == 1
    anchors = [heading["id"] for heading in page.all("h2")]
    assert len(set(anchors)) == 3
    assert [link["href"] for link in page.all("a")] == [f"#{anchor}" for anchor in anchors]
    assert page.all("html") == [{"lang": "en"}]
    assert {meta.get("name") for meta in page.all("meta")} >= {"viewport", "color-scheme"}
    assert page.elements[-1][0] == "footer"
    assert "no images" in page.text


def test_a_short_page_has_no_contents():
    report = Report("title")
    report.add_section("one")
    page = Page(report.html())
    assert page.all("nav") == []
    assert page.all("p") == []


def test_every_image_says_what_it_shows_and_how_large_it_is(report):
    images = Page(report.html()).all("img")
    assert [image["alt"] for image in images] == [EVIL, EVIL, "large", "small", EVIL, "b"]
    assert [image["src"].partition(";")[0] for image in images] == [
        "data:image/png",
        "data:image/png",
        "data:image/jpeg",
        "data:image/png",
        "data:image/png",
        "data:image/jpeg",
    ]
    for number, image in enumerate(images):
        content = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))
        # A chart is stored at twice its size.
        scale = 2 if number < 2 else 1
        assert content.size == (int(image["width"]) * scale, int(image["height"]) * scale)
    assert images[0]["width"] == "700"
    assert (images[3]["width"], images[4]["width"]) == ("256", "32")
    assert images[4]["class"] == "small"
    assert "class" not in images[5]


def test_small_images_are_stored_without_loss():
    report = Report("title")
    image = torch.randint(256, (3, 64, 48), dtype=torch.uint8)
    report.add_images([image], ["x"], "")
    address = Page(report.html()).all("img")[0]["src"]
    content = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert content.tobytes() == image.permute(1, 2, 0).contiguous().numpy().tobytes()


def test_images_stand_in_rows():
    report = Report("title")
    small, large = Image.new("L", (64, 64)), Image.new("L", (640, 480))
    report.add_images([small, small, small], ["a", "b", "c"], "", 3)
    report.add_images([small], ["a"], "")
    report.add_images([small, large], ["a", "b"], "")
    rows = [one["style"] for one in Page(report.html()).all("ul") if one.get("class") == "images"]
    told = ["3, minmax(0, 1fr)", "auto-fill, minmax(min(100%, 120px), 1fr)", "auto-fill, minmax(min(100%, 350px), 1fr)"]
    assert rows == [f"grid-template-columns: repeat({one})" for one in told]


def test_names_of_any_script_survive(tmp_path):
    report = Report("größe 中文 😀", "not utf-8: \udcff, \x1b[31m\u202e")
    report.write(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "größe 中文 😀" in text
    assert r"not utf-8: \xff, \x1b[31m\u202e" in text


def test_mistakes_are_told(tmp_path):
    report = Report("title")
    with pytest.raises(InputError, match="There are 1 captions for 0 images: give one for each"):
        report.add_images([], ["a"], "b")
    with pytest.raises(InputError, match="is not an image"):
        report.add_figure(torch.zeros(3, 4, 4), "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        report.write(tmp_path / "file" / "report.html")
