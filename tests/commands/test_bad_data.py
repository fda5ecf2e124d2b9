"""Folders and images that are wrong."""

import json
import struct
import zlib

import pytest

TRUNCATED = "Truncated File Read"


def truncate(path):
    """Cut a file in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def huge_png():
    """An image that says it has 60,000 x 60,000 pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


BAD = {
    "text.jpg": (b"hello", "it is not an image of a known format (AVIF, BMP, GIF"),
    "empty.jpg": (b"", "the file is empty"),
    "huge.png": (huge_png(), "Image size (3600000000 pixels) exceeds limit"),
}


@pytest.fixture
def with_a_truncated_image(make_images):
    """A folder of images, and the path of the one that is cut."""
    folder = make_images(each=5)
    return folder, truncate(folder / "red" / "1.jpg")


def test_a_missing_folder(refused, tiny, weights, tmp_path):
    missing = tmp_path / "none"
    for words in (["train", missing, *tiny()], ["eval", missing, *weights]):
        assert refused(*words).startswith(f"There is no file or folder '{missing}'")
    assert refused("predict", missing, *weights).startswith(f"There is no file or folder {missing}: give an image")
    assert "did you mean 'shapes'?" in refused("train", "shaeps", *tiny())


def test_a_file_for_a_folder(refused, images, tiny):
    image = images / "red" / "0.png"
    assert refused("train", image, *tiny()).startswith(f"{image} is a file: give a folder")


def test_an_empty_class_folder(refused, make_images, tiny):
    folder = make_images()
    for path in (folder / "red").iterdir():
        path.unlink()
    assert refused("train", folder, *tiny()).startswith(f"The class folder {folder / 'red'} has no images: add some")


def test_a_folder_without_images(refused, tiny, weights, tmp_path):
    assert "has no class folders" in refused("train", tmp_path, *tiny())
    assert refused("predict", tmp_path, *weights).startswith(f"The folder {tmp_path} has no images: known endings")
    (tmp_path / "red").mkdir()
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "notes.txt").write_text("no image")
    assert refused("train", tmp_path, *tiny()).startswith(f"The folder {tmp_path} has no images: add some")


def test_too_few_classes_or_images(refused, make_images, tiny):
    assert "has one class folder only, 'only'" in refused("train", make_images("a", classes=("only",)), *tiny())
    assert "has one image only, and a split needs two" in refused("train", make_images("b", each=1), *tiny())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image_stops_the_run_with_its_path(refused, with_a_truncated_image, tiny, tmp_path, workers):
    folder, broken = with_a_truncated_image
    sentence = refused("train", folder, *tiny(out=tmp_path / "run", workers=workers))
    assert sentence == f"Cannot read the image {broken}: {TRUNCATED}."


def test_a_truncated_image_can_be_skipped(run, with_a_truncated_image, tiny, tmp_path):
    folder, broken = with_a_truncated_image
    answer = run("train", folder, *tiny(out=tmp_path / "run", bad_images="skip"))
    assert (answer.status, answer.err) == (0, "")
    assert f"1 broken image was skipped: {broken} ({TRUNCATED})\n" in answer.out


def test_a_truncated_image_in_an_evaluation(run, refused, with_a_truncated_image, weights):
    folder, broken = with_a_truncated_image
    words = ["eval", folder, *weights]
    assert refused(*words) == f"Cannot read the image {broken}: {TRUNCATED}."
    answer = run(*words, "--bad-images", "skip")
    assert answer.status == 0
    assert f"1 broken image was skipped: {broken}\n" in answer.out


def test_nothing_but_broken_images(refused, make_images, tiny, weights, tmp_path):
    folder = make_images()
    for path in folder.glob("*/*.*"):
        path.write_text("no image")
    sentence = refused("train", folder, *tiny(out=tmp_path / "run", bad_images="skip"))
    assert sentence.startswith("No image to validate on could be read: fix ")
    assert "No image" in refused("eval", folder, *weights, "--bad-images", "skip")


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_not_predicted(refused, weights, tmp_path, name):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    assert refused("predict", tmp_path / name, *weights).startswith(
        f"Cannot read the image {tmp_path / name}: {reason}"
    )


def test_broken_images_are_told_among_the_predictions(run, make_images, weights, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    folder = make_images(classes=("red",))
    for name, (content, _reason) in BAD.items():
        (folder / name).write_bytes(content)
    answer = run("predict", folder, *weights, "--bad-images", "skip", "--json", "--batch-size", 2)
    assert answer.status == 0
    found = json.loads(answer.out)
    errors = {entry["file"]: entry["error"] for entry in found if "error" in entry}
    assert errors.keys() == {str(folder / name) for name in BAD}
    assert len([entry for entry in found if "classes" in entry]) == 4
    table = run("predict", folder, *weights, "--bad-images", "skip").out
    for name, (_content, reason) in BAD.items():
        assert f"{folder / name}: {reason}" in table
    assert table.count("not read") == len(BAD)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--batch-size", "0"], "batch size 0 is out of range: give 1 or more."),
        (["--precision", "fp17"], "Unknown --precision 'fp17': did you mean 'fp16'?"),
        (["--bad-images", "sikp"], "Unknown --bad-images 'sikp': did you mean 'skip'?"),
        (["--jsno"], "`res2net predict` has no option '--jsno': did you mean '--json'?"),
    ],
)
def test_predict_refuses(refused, images, weights, options, sentence):
    assert sentence in refused("predict", images, *weights, *options)


def test_drawings_that_cannot_be_written(refused, images, weights, tmp_path):
    (tmp_path / "file").write_text("")
    sentence = refused("predict", images / "red" / "0.png", *weights, "--draw", tmp_path / "file")
    assert sentence.startswith(f"Cannot write {tmp_path / 'file'}")
