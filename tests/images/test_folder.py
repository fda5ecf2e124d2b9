"""Images in folders: classes, splits and lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from res2net.errors import InputError
from res2net.images import BadImage, ImageFolder, list_images, read_image
from res2net.images.decode import image_size
from res2net.images.sources import DataSettings, read_classes
from res2net.images.splits import stratified_split


def add(folder, *names):
    """Write a tiny image under each name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (len(name), 0, 0)).save(path, "PNG")


def test_each_folder_is_a_class_in_the_order_of_names(tmp_path):
    add(tmp_path, "dog/2.png", "dog/1.png", "cat/1.png")
    images = ImageFolder(tmp_path)
    assert images.class_names == ["cat", "dog"]
    assert images.targets == [0, 1, 1]
    assert images.paths == [str(tmp_path / name) for name in ("cat/1.png", "dog/1.png", "dog/2.png")]
    assert len(images) == 3
    image, target = images[2]
    assert (image.mode, image.size, target) == ("RGB", (4, 4), {"label": 1})


def test_images_lie_at_any_depth_and_endings_in_any_case(tmp_path):
    add(tmp_path, "cat/a/b/1.JPG", "cat/2.Png", "dog/3.webp")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    assert ImageFolder(tmp_path).targets == [0, 0, 1]


def test_hidden_files_and_folders_do_not_count(tmp_path):
    add(tmp_path, "cat/1.png", "cat/._1.png", "cat/.cache/1.png", ".trash/1.png", "dog/1.png")
    images = ImageFolder(tmp_path)
    assert images.class_names == ["cat", "dog"]
    assert len(images) == 2


def test_links_are_followed(tmp_path):
    add(tmp_path, "store/1.png", "set/dog/1.png")
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "store")
    assert ImageFolder(tmp_path / "set").targets == [0, 1]


@pytest.mark.parametrize(
    ("link", "target"), [("cat/cat", "."), ("cat/up", ".."), ("all", "."), ("cat/deep/x", "../..")]
)
def test_links_in_circles_add_no_image_and_no_class(tmp_path, link, target):
    add(tmp_path, "cat/1.png", "cat/deep/2.png", "dog/3.png")
    (tmp_path / link).symlink_to(target)
    images = ImageFolder(tmp_path)
    assert (images.class_names, images.targets) == (["cat", "dog"], [0, 0, 1])
    assert len(list_images(tmp_path)) == 3


def test_one_folder_cannot_be_two_classes(tmp_path):
    add(tmp_path, "cat/1.png", "dog/3.png")
    (tmp_path / "kitten").symlink_to("cat")
    with pytest.raises(InputError, match=r"class folders .*cat and .*kitten are one, by a link: remove one of them"):
        ImageFolder(tmp_path)


def test_what_is_no_file_is_no_image(tmp_path):
    add(tmp_path, "cat/1.png", "dog/3.png")
    os.mkfifo(tmp_path / "cat" / "2.png")
    (tmp_path / "dog" / "zero.png").symlink_to("/dev/zero")
    assert len(ImageFolder(tmp_path)) == 2
    for path, reason in {tmp_path / "cat" / "2.png": "a named pipe", "/dev/zero": "a device"}.items():
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            list_images(path)
        for read in (read_image, image_size):
            with pytest.raises(BadImage, match=f"it is {reason}, not a file"):
                read(path)


@pytest.mark.parametrize(
    ("name", "seen"),
    [(b"caf\xe9", "café"), ("Mäuse".encode(), "Mäuse"), (b"M\xe4use \x80", "Mäuse €"), ("猫".encode(), "猫")],
)
def test_names_of_classes_in_any_encoding(tmp_path, name, seen):
    folder = tmp_path / os.fsdecode(name)
    add(folder, "1.png", "2.png")
    add(tmp_path, "other/3.png", "other/4.png")
    source = read_classes(tmp_path, ("label",), DataSettings())
    assert sorted(source.class_names) == sorted([seen, "other"])
    label = list(source.class_names).index(seen)
    images = [image for split in (source.train, source.val) for image in split.paths if folder.name in image]
    assert len(images) == 2
    assert all(read_image(image).size == (4, 4) for image in images)
    assert sorted(set(source.train.targets) | set(source.val.targets)) == [0, 1]
    assert source.train.targets[[folder.name in path for path in source.train.paths].index(True)] == label


def test_a_broken_image_is_found_when_it_is_opened(tmp_path):
    add(tmp_path, "cat/1.png")
    (tmp_path / "cat" / "2.png").write_bytes(b"")
    images = ImageFolder(tmp_path)
    with pytest.raises(BadImage, match=r"2\.png: the file is empty"):
        images[1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no class folders: put the images of each class into a folder of their own"),
        (["1.png"], "has images but no class folders"),
        (["cat/1.png", "dog/1.txt"], r"The class folder \S*dog has no images: add some \(.*\.jpg.*\) or remove it"),
        (["cat/1.txt", "dog/1.txt"], r"The folder \S* has no images"),
        (
            ["Annotations/a.xml", "JPEGImages/1.png", "x/1.png"],
            r"Annotations has no images: .* as a.xml, name the task",
        ),
        (
            ["images/1.png", "masks/1.png"],
            "images, masks of .* seem to be images and their labels, not classes: name the",
        ),
    ],
)
def test_what_is_missing_is_told(tmp_path, files, message):
    add(tmp_path, *files)
    with pytest.raises(InputError, match=message):
        ImageFolder(tmp_path)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(InputError, match=r"There is no folder .*none: give one that has a folder of images for each"):
        ImageFolder(tmp_path / "none")


def halves(images, fraction=0.2, seed=0):
    keys = [Path(path).relative_to(images.root).as_posix() for path in images.paths]
    return [images.subset(indices) for indices in stratified_split(images, keys, fraction, seed)]


@pytest.fixture
def uneven(tmp_path):
    add(tmp_path, *[f"many/{i}.png" for i in range(20)], *[f"few/{i}.png" for i in range(2)])
    return tmp_path


def test_a_split_takes_the_same_share_of_each_class(uneven):
    images = ImageFolder(uneven)
    train, val = halves(images, 0.25)
    assert [train.targets.count(label) for label in (0, 1)] == [1, 15]
    assert [val.targets.count(label) for label in (0, 1)] == [1, 5]
    assert sorted(train.paths + val.paths) == images.paths
    assert train.class_names == val.class_names == ["few", "many"]


def test_a_split_depends_on_the_seed_and_not_on_the_place(uneven, tmp_path_factory):
    def chosen(root, seed):
        return [path.removeprefix(str(root)) for path in halves(ImageFolder(root), seed=seed)[1].paths]

    moved = tmp_path_factory.mktemp("moved") / "set"
    first = chosen(uneven, 0)
    assert chosen(uneven, 1) != first
    uneven.rename(moved)
    assert chosen(moved, 0) == first


def test_a_split_is_the_same_in_every_version(uneven):
    _, val = halves(ImageFolder(uneven), 0.1, seed=3)
    assert [path.removeprefix(str(uneven)) for path in val.paths] == ["/few/1.png", "/many/14.png", "/many/2.png"]


@pytest.mark.parametrize("fraction", [0.99, 0.001])
def test_both_halves_have_every_class(uneven, fraction):
    for half in halves(ImageFolder(uneven), fraction):
        assert set(half.targets) == {0, 1}


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 20, float("nan")])
def test_a_share_out_of_range_is_told(uneven, fraction):
    with pytest.raises(InputError, match=r"validation fraction .* is out of range: give a number between 0 and 1"):
        halves(ImageFolder(uneven), fraction)


def test_a_class_of_one_image_cannot_be_split(tmp_path):
    add(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png")
    with pytest.raises(InputError, match="class 'cat' has one image only, and a split needs two"):
        halves(ImageFolder(tmp_path))


def test_a_image_to_predict_is_listed_as_itself(tmp_path):
    path = tmp_path / "a.heic"
    path.touch()
    assert list_images(path) == [path]
    assert list_images(str(path)) == [path]


def test_a_folder_to_predict_is_listed_in_order(tmp_path):
    add(tmp_path, "b.png", "a/2.png", "a/10.png", ".hidden.png")
    assert list_images(tmp_path) == [tmp_path / name for name in ("a/10.png", "a/2.png", "b.png")]


def test_nothing_to_predict_is_told(tmp_path):
    with pytest.raises(InputError, match=r"has no images: known endings are (\.avif, )?\.bmp"):
        list_images(tmp_path)
    with pytest.raises(InputError, match=r"There is no file or folder .*none: give an image or a folder"):
        list_images(tmp_path / "none")
