"""Which classes label maps have: by lists of names and colours, or by the values that occur."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from conftest import numbers, open_pixels
from res2net.errors import InputError
from res2net.images.sources import open_source
from res2net.tasks.pixels.formats.classes import read_classes
from res2net.tasks.pixels.formats.open import likely_pixel_formats, read_pixels

BLOCKS = np.arange(6, dtype=np.uint8).reshape(2, 3).repeat(15, 0).repeat(14, 1)[:, :40]
"""`(30, 40)`, six blocks with the numbers 0 to 5."""


def source_of(write_folders, values):
    root = write_folders(values=values)
    return open_source(root, labels=("semantic",), reader=read_pixels)


@pytest.mark.parametrize(
    "values",
    [(0, 128, 255), (0, 127, 254), (0, 50, 100), (0, 85, 170, 255), (10, 20, 30, 40, 50, 60), (0, 200), (128, 64, 192)],
)
def test_greys_with_gaps_are_classes_of_these_names(write_folders, values):
    maps = np.array(values, np.uint8)[BLOCKS % len(values)]
    source = source_of(write_folders, maps)
    assert source.class_names == tuple(map(str, sorted(values)))
    expected = np.searchsorted(sorted(values), maps)
    assert np.array_equal(source.train[0][1]["semantic"], expected)
    (note,) = source.notes
    assert f"have the values {', '.join(map(str, sorted(values)))} and no list of classes" in note
    assert f"{max(values)} is {len(values) - 1}" in note


@pytest.mark.parametrize("values", [(0, 32768, 65535), (0, 1000, 2000, 3000)])
def test_greys_of_sixteen_bits(write_folders, values):
    source = source_of(write_folders, np.array(values, np.uint16)[BLOCKS % len(values)])
    assert source.class_names == tuple(map(str, values))


@pytest.mark.parametrize("values", [(0, 50, 100, 255), (0, 100, 255), (0, 10, 20, 255)])
def test_white_that_may_be_unlabelled_is_asked_for(write_folders, values):
    with pytest.raises(InputError, match=r"of which 255 can be a class or unlabelled: list them in classes\.json"):
        source_of(write_folders, np.array(values, np.uint8)[BLOCKS % len(values)])


@pytest.mark.parametrize(
    ("values", "names", "notes"),
    [
        ((0, 1, 2, 255), ("0", "1", "2"), 0),
        ((1, 2, 3), ("0", "1", "2", "3"), 1),
        ((0, 1, 3, 255), ("0", "1", "2", "3"), 1),
    ],
)
def test_numbers_up_to_the_highest(write_folders, values, names, notes):
    source = source_of(write_folders, np.array(values, np.uint8)[BLOCKS % len(values)])
    assert source.class_names == names
    assert len(source.notes) == notes


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ((0, 128, 255), ["sky", "road", "tree"], (0, 1, 2)),
        ((0, 128, 255), ["sky", "road"], (0, 1, 255)),
        ((50, 100, 150), ["void", "road", "tree"], (255, 0, 1)),
        ((0, 1, 255), ["sky", "road", "tree"], (0, 1, 255)),
    ],
)
def test_a_list_of_names_tells_what_greys_are(write_folders, values, names, expected):
    root = write_folders(values=np.array(values, np.uint8)[BLOCKS % 3])
    (root / "classes.txt").write_bytes("\r\n".join(names).encode("utf-8-sig"))
    source = open_source(root, labels=("semantic",), reader=read_pixels)
    assert source.class_names == tuple(name for name in names if name != "void")
    assert np.array_equal(source.train[0][1]["semantic"], np.array(expected)[BLOCKS % 3])
    assert any("as many values as there are classes" in note for note in source.notes) == (values != (0, 1, 255))


@pytest.mark.parametrize("values", [(0, 1, 3), (1, 2, 3)])
def test_numbers_beside_those_of_the_list_are_faults(write_folders, values):
    root = write_folders(values=np.array(values, np.uint8)[BLOCKS % 3])
    (root / "classes.txt").write_text("sky\nroad\ntree\n")
    with pytest.raises(InputError, match="its label 3 is no class, of which the numbers are 0 to 2, and 255 is unlab"):
        open_pixels(root, "semantic")


def test_soft_edges_are_no_classes(write_folders):
    small = Image.fromarray(np.array([0, 128, 255], np.uint8)[BLOCKS % 3])
    soft = np.asarray(small.resize((80, 60), Image.Resampling.BICUBIC).resize((40, 30), Image.Resampling.BILINEAR))
    with pytest.raises(InputError, match="values that change gradually from region to region: save label maps without"):
        source_of(write_folders, soft)
    smooth = np.asarray(Image.fromarray(COLOURS[BLOCKS]).filter(ImageFilter.SMOOTH))
    with pytest.raises(InputError, match="values that change gradually from region to region"):
        source_of(write_folders, smooth)


COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [192, 64, 7]], np.uint8)
LISTS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nsky:0,0,0::\nred road:128,0,0::\nvoid:0,128,0::\n"
    "water:128,128,0::\nice:0,0,128::\nrock:192,64,7::\n",
    "class_dict.csv": "name,r,g,b\nsky,0,0,0\nred road,128,0,0\nvoid,0,128,0\nwater,128,128,0\nice,0,0,128\n"
    "rock,192,64,7\n",
    "label_colors.txt": "0 0 0\tsky\n128 0 0\tred road\n0 128 0\tvoid\n128 128 0\twater\n0 0 128\tice\n"
    "192 64 7\trock\n",
}


@pytest.mark.parametrize("file", LISTS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "indices"])
def test_colours_with_a_list_of_them(write_folders, file, mode):
    root = write_folders(values=BLOCKS)
    for path in (root / "masks").iterdir():
        image = Image.fromarray(COLOURS[BLOCKS])
        if mode == "RGBA":
            image = image.convert("RGBA")
        elif mode == "P":  # an order of its own
            image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=6)
        elif mode == "indices":
            image = Image.fromarray(BLOCKS)
        image.save(path)
    (root / file).write_text(LISTS[file])
    train, _ = open_pixels(root, "semantic")
    assert train.class_names == ("sky", "red road", "water", "ice", "rock")
    assert np.array_equal(train[0][1]["semantic"], np.array([0, 1, 255, 2, 3, 4])[BLOCKS])
    assert likely_pixel_formats(root) == ["semantic_folders"]


def test_a_colour_that_is_not_listed(write_folders):
    root = write_folders(values=COLOURS[BLOCKS])
    (root / "labelmap.txt").write_text("sky:0,0,0::\nroad:128,0,0::\n")
    with pytest.raises(InputError, match="its colour #000080 and 3 more is no class of the list of colours"):
        open_pixels(root, "semantic")


def test_colours_without_a_list_are_classes_of_these_names(write_folders):
    source = source_of(write_folders, COLOURS[BLOCKS])
    names = ("#000000", "#000080", "#008000", "#800000", "#808000", "#c04007")
    assert source.class_names == names
    assert np.array_equal(source.train[0][1]["semantic"], np.array([0, 3, 2, 4, 1, 5])[BLOCKS])
    assert "have colours and no list of them: each of the 6 is a class of that name" in source.notes[0]


def test_photos_are_no_classes(write_folders):
    photo = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="values that change gradually from region to region"):
        source_of(write_folders, photo)


def test_more_colours_than_classes(write_folders):
    values = np.arange(100, dtype=np.uint8).reshape(10, 10).repeat(3, 0).repeat(4, 1)
    with pytest.raises(InputError, match="have more than 64 colours, so that these are no classes"):
        source_of(write_folders, np.stack([values * 2 + 9, values * 0, values * 0], -1))


def test_palettes_that_differ_are_read_by_colour(write_folders):
    """As of programs that give each file the palette of its own colours."""
    root = write_folders(values=BLOCKS)
    for number, path in enumerate(sorted((root / "masks").iterdir())):
        order = np.roll(np.arange(6), number)
        image = Image.fromarray(np.argsort(order).astype(np.uint8)[BLOCKS])
        image.putpalette(COLOURS[order].ravel().tolist())
        image.save(path)
    train, val = open_pixels(root, "semantic")
    assert len(train.class_names) == 6
    for samples in (train, val):
        for index in range(len(samples)):
            assert np.array_equal(samples[index][1]["semantic"], np.array([0, 3, 2, 4, 1, 5])[BLOCKS])


def test_grey_of_several_channels_is_a_number(write_folders):
    train, _ = open_pixels(write_folders(values=np.repeat(BLOCKS[..., None], 3, 2)), "semantic")
    assert train.class_names == ("0", "1", "2", "3", "4", "5")
    assert np.array_equal(train[0][1]["semantic"], BLOCKS)


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("classes.txt", "\ufeffcat\r\ncafé\r\n\r\n", ("cat", "café")),
        ("classes.txt", "cat\ncat\ndog\n", ("cat (0)", "cat (1)", "dog")),
        ("classes.txt", "no\nyes\n1e3\n2024-01-01\n", ("no", "yes", "1e3", "2024-01-01")),
        ("class_names.txt", "_background_\ncat\n", ("_background_", "cat")),
        ("labels.txt", "__ignore__\n_background_\ncat\n", ("_background_", "cat")),
        ("classes.json", json.dumps(["cat", "cat"]), ("cat (0)", "cat (1)")),
        ("classes.json", json.dumps({"7": "road", "8": "road", "9": "Void"}), ("road (7)", "road (8)")),
        ("class_dict.csv", "name;r;g;b\ncat;1;2;3\ncat;4;5;6\n", ("cat (0)", "cat (1)")),
    ],
)
def test_names_are_as_their_author_sees_them(tmp_path, name, text, names):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_classes(tmp_path / name).names == names


def test_names_in_other_encodings(tmp_path):
    for encoding in ("utf-16", "cp1252", "utf-8-sig"):
        (tmp_path / "classes.txt").write_bytes("void\r\nBär\r\n".encode(encoding))
        assert read_classes(tmp_path / "classes.txt").names == ("Bär",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat:300,0,0::\n", "no colour of three numbers"),
        ("a:1,1,1::\nb:1,1,1::\n", "gives 'a' and 'b' the same colour"),
    ],
)
def test_lists_of_colours_that_cannot_be_used(tmp_path, text, said):
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        read_classes(tmp_path / "labelmap.txt")


def test_numbers_are_no_masks_and_soft_masks_no_numbers(write_folders, tmp_path):
    root = write_folders(values=(BLOCKS > 2).astype(np.uint8) * 255)
    assert likely_pixel_formats(root) == ["saliency_folders"]
    soft = Image.fromarray((BLOCKS > 2).astype(np.uint8) * 255).filter(ImageFilter.SMOOTH)
    numbers(root / "masks" / "a.png", np.asarray(soft))
    assert likely_pixel_formats(root) == ["saliency_folders"]
    numbers(root / "masks" / "a.png", BLOCKS)
    assert likely_pixel_formats(root) == ["semantic_folders"]


@pytest.mark.parametrize(
    ("values", "ending", "said"),
    [
        (np.full((30, 40), 2500, np.uint16), ".png", "distances lie between 2.5 and 2.5 m"),
        (np.full((30, 40), 2.5, np.float32), ".npy", "distances lie between 2.5 and 2.5 m"),
        (np.full((30, 40), 2500.0, np.float32), ".npy", None),
        (np.full((30, 40), 12, np.uint16), ".png", None),
    ],
)
def test_the_unit_of_depth_is_told_or_asked_for(write_folders, values, ending, said):
    root = write_folders("rgb", "depth", values=values, ending=ending)
    if said is None:
        with pytest.raises(InputError, match=r"which are hardly right: state in depth\.json which value is a metre"):
            open_source(root, labels=("depth",), reader=read_pixels)
        (root / "depth.json").write_text('\ufeff{"scale": 1000, "inverse": false}', encoding="utf-8")
        assert not open_source(root, labels=("depth",), reader=read_pixels).notes
    else:
        assert said in open_source(root, labels=("depth",), reader=read_pixels).notes[0]
