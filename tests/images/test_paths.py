"""Paths in the files of a data set lead to its files, whatever program wrote them, and never outside."""

import unicodedata
from pathlib import Path

import pytest

from res2net.images.paths import MissingFile, PathFinder


def put(root, *names):
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(name))


@pytest.fixture
def root(tmp_path):
    put(tmp_path, "data/train/a.jpg", "data/train/Photo 1.JPG", "data/b.jpg", "outside.jpg", "data/train/100%.png")
    put(tmp_path, "data/train/" + unicodedata.normalize("NFD", "Grün.png"), "data/annotations/train.json")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.jpg", "train/a.jpg"),
        ("./a.jpg", "train/a.jpg"),
        ("train/a.jpg", "train/a.jpg"),
        ("../train/a.jpg", "train/a.jpg"),
        ("../annotations/../train//a.jpg", "train/a.jpg"),
        ("../../data/train/a.jpg", "train/a.jpg"),
        ("..\\train\\a.jpg", "train/a.jpg"),
        (".\\a.jpg", "train/a.jpg"),
        ("{root}/train/a.jpg", "train/a.jpg"),
        ("{root}/train/../b.jpg", "b.jpg"),
        ("{root}/../data/b.jpg", "b.jpg"),
        ("C:\\Users\\Me\\data\\train\\a.jpg", "train/a.jpg"),
        ("c:/a.jpg", "train/a.jpg"),
        ("\\\\server\\share\\train\\a.jpg", "train/a.jpg"),
        ("/home/else/set/train/a.jpg", "train/a.jpg"),
        ("/train/a.jpg", "train/a.jpg"),
        ("../../../other/train/a.jpg", "train/a.jpg"),
        ("a.JPG", "train/a.jpg"),
        ("TRAIN/A.Jpg", "train/a.jpg"),
        ("photo 1.jpg", "train/Photo 1.JPG"),
        ("Photo%201.JPG", "train/Photo 1.JPG"),
        ("100%.png", "train/100%.png"),
        ("100%25.png", "train/100%.png"),
        (" a.jpg ", "train/a.jpg"),
        ("file:///data/train/Photo%201.JPG", "train/Photo 1.JPG"),
        ("https://host.org:8080/x/train/a.jpg?size=3#top", "train/a.jpg"),
        ("s3://bucket/train/a.jpg", "train/a.jpg"),
        ("/data/local-files/?d=train/Photo%201.JPG", "train/Photo 1.JPG"),
        (unicodedata.normalize("NFC", "Grün.png"), "train/" + unicodedata.normalize("NFD", "Grün.png")),
        (unicodedata.normalize("NFC", "GRÜN.png"), "train/" + unicodedata.normalize("NFD", "Grün.png")),
    ],
)
def test_a_path_of_any_program_leads_to_the_file(root, written, file):
    finder = PathFinder(root, [root / "train", root / "annotations", root])
    assert finder.find(written.format(root=root)) == str(root / file)


@pytest.mark.parametrize(
    "written",
    ["../../outside.jpg", "{root}/../outside.jpg", "..\\..\\outside.jpg", "../annotations/../../outside.jpg"],
)
@pytest.mark.parametrize("prefix", ["", "%2e%2e/", "./"])
def test_what_lies_outside_of_the_data_is_refused(root, written, prefix):
    finder = PathFinder(root, [root / "train", root])
    assert (root.parent / "outside.jpg").is_file()
    with pytest.raises(MissingFile, match=r"outside of the data folder|is not in"):
        finder.find(prefix + written.format(root=root))
    with pytest.raises(MissingFile, match="outside of the data folder"):
        finder.find(written.format(root=root))


@pytest.mark.parametrize(
    "written", ["", ".", "..", "/", "train", "missing.jpg", "a", "x/a.jpg", "\0", "a.jpg/b", "é" * 5000]
)
def test_what_is_not_there_is_said_to_be_missing(root, written):
    with pytest.raises(MissingFile, match=r"is not in .*data|is outside of the data"):
        PathFinder(root, [root / "train", root]).find(written)


def test_a_name_without_its_ending(root):
    put(root, "train/x.tar.png", "train/0001.JPEG")
    finder = PathFinder(root, [root / "train"])
    assert finder.find("0001", (".jpg", ".jpeg")) == str(root / "train/0001.JPEG")
    assert finder.find("x.tar", (".jpg", ".png")) == str(root / "train/x.tar.png")
    with pytest.raises(MissingFile):
        finder.find("0001", (".png",))


def test_symbolic_links_within_and_to_the_data_set(root, tmp_path):
    put(tmp_path, "store/c.jpg")
    (root / "linked").symlink_to(tmp_path / "store")
    (root / "train" / "l.jpg").symlink_to(tmp_path / "store" / "c.jpg")
    (root / "train" / "broken.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(root)
    finder = PathFinder(tmp_path / "link", [tmp_path / "link" / "train"])
    assert finder.find("../linked/c.jpg") == str(tmp_path / "link/linked/c.jpg")
    assert finder.find("l.jpg") == str(tmp_path / "link/train/l.jpg")
    assert finder.find(f"{root}/train/a.jpg") == str(tmp_path / "link/train/a.jpg")
    assert finder.find("../../data/train/a.jpg") == str(tmp_path / "link/train/a.jpg")
    assert not finder.notes()
    with pytest.raises(MissingFile):
        finder.find("broken.jpg")


def test_a_name_that_fits_several_files_of_a_folder_is_refused_unless_one_is_exact(root):
    put(root, "train/A.jpg")
    finder = PathFinder(root, [root / "train"])
    assert finder.find("a.jpg") == str(root / "train/a.jpg")
    with pytest.raises(MissingFile, match=r"'a.JPG' can be any of A.jpg, a.jpg"):
        finder.find("a.JPG")


def test_what_is_assumed_is_said(root):
    put(root, "images/a.jpg", "images/b.jpg")
    finder = PathFinder(root, [root / "train", root / "images", root])
    assert finder.find("a.jpg") == str(root / "train/a.jpg")
    assert finder.find("D:\\old\\b.jpg") == str(root / "images/b.jpg")
    assert finder.find("D:\\old\\train\\a.jpg") == str(root / "train/a.jpg")
    shortened, ambiguous = finder.notes()
    assert shortened.startswith("2 paths of which only the end exists")
    assert "images/b.jpg" in shortened
    assert ambiguous.startswith("2 paths that fit files in several folders")
    assert "'a.jpg' is" in ambiguous


def test_a_link_to_a_file_in_another_folder_is_no_second_candidate(root):
    (root / "images").mkdir()
    (root / "images" / "a.jpg").hardlink_to(root / "train" / "a.jpg")
    finder = PathFinder(root, [root / "train", root / "images"])
    assert finder.find("a.jpg") == str(root / "train/a.jpg")
    assert not finder.notes()


@pytest.mark.parametrize(
    ("written", "folder"),
    [("train", "train"), ("./Train/", "train"), ("..\\train", "train"), (".", ""), ("/old/data/train", "train")],
)
def test_folders_are_found_as_files_are(root, written, folder):
    assert PathFinder(root).find_folder(written) == str(root / folder)


def test_paths_are_relative_where_the_root_is(root, monkeypatch):
    monkeypatch.chdir(root)
    for start in (".", "", "train/.."):
        finder = PathFinder(start, ["train"])
        assert Path(finder.find("../train/a.jpg")).samefile(root / "train" / "a.jpg")
    assert PathFinder(".", ["train"]).find("a.jpg") == "train/a.jpg"
