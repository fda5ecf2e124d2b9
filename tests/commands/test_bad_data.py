"""Folders and pictures that are wrong."""

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
    """A picture that says it has 60,000 x 60,000 pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


BAD = {
    "text.jpg": (b"hello", "it is not a picture of a known format (BMP, GIF, JPEG"),
    "empty.jpg": (b"", "the file is empty"),
    "huge.png": (huge_png(), "Image size (3600000000 pixels) exceeds limit"),
}


@pytest.fixture
def with_a_truncated_picture(make_pictures):
    """A folder of pictures, and the path of the one that is cut."""
    folder = make_pictures(each=5)
    return folder, truncate(folder / "red" / "1.jpg")


def test_a_missing_folder(refused, tiny, weights, tmp_path):
    missing = tmp_path / "none"
    for words in (["train", missing, *tiny()], ["eval", missing, *weights]):
        assert refused(*words).startswith(f"There is no file or folder '{missing}'")
    assert refused("predict", missing, *weights).startswith(f"There is no file or folder {missing}: give a picture")
    assert "did you mean 'shapes'?" in refused("train", "shaeps", *tiny())


def test_a_file_for_a_folder(refused, pictures, tiny):
    picture = pictures / "red" / "0.png"
    assert refused("train", picture, *tiny()).startswith(f"{picture} is a file: give a folder")


def test_an_empty_class_folder(refused, make_pictures, tiny):
    folder = make_pictures()
    for path in (folder / "red").iterdir():
        path.unlink()
    assert refused("train", folder, *tiny()).startswith(f"The class folder {folder / 'red'} has no pictures: add some")


def test_a_folder_without_pictures(refused, tiny, weights, tmp_path):
    assert "has no class folders" in refused("train", tmp_path, *tiny())
    assert refused("predict", tmp_path, *weights).startswith(f"The folder {tmp_path} has no pictures: known endings")
    (tmp_path / "red").mkdir()
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "notes.txt").write_text("no picture")
    assert refused("train", tmp_path, *tiny()).startswith(f"The folder {tmp_path} has no pictures: add some")


def test_too_few_classes_or_pictures(refused, make_pictures, tiny):
    assert "has one class folder only, 'only'" in refused("train", make_pictures("a", classes=("only",)), *tiny())
    assert "has one picture only, and a split needs two" in refused("train", make_pictures("b", each=1), *tiny())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_picture_stops_the_run_with_its_path(refused, with_a_truncated_picture, tiny, tmp_path, workers):
    folder, broken = with_a_truncated_picture
    sentence = refused("train", folder, *tiny(out=tmp_path / "run", workers=workers))
    assert sentence == f"Cannot read the picture {broken}: {TRUNCATED}."


def test_a_truncated_picture_can_be_skipped(run, with_a_truncated_picture, tiny, tmp_path):
    folder, broken = with_a_truncated_picture
    answer = run("train", folder, *tiny(out=tmp_path / "run", bad_images="skip"))
    assert (answer.status, answer.err) == (0, "")
    assert f"1 broken picture was skipped: {broken} ({TRUNCATED})\n" in answer.out


def test_a_truncated_picture_in_an_evaluation(run, refused, with_a_truncated_picture, weights):
    folder, broken = with_a_truncated_picture
    words = ["eval", folder, *weights, "--val-fraction", 0.8]
    assert refused(*words) == f"Cannot read the picture {broken}: {TRUNCATED}."
    answer = run(*words, "--bad-images", "skip")
    assert answer.status == 0
    assert f"1 broken picture was skipped: {broken}\n" in answer.out


def test_nothing_but_broken_pictures(refused, make_pictures, tiny, weights, tmp_path):
    folder = make_pictures()
    for path in folder.glob("*/*.*"):
        path.write_text("no picture")
    sentence = refused("train", folder, *tiny(out=tmp_path / "run", bad_images="skip"))
    assert sentence.startswith("No picture to validate on could be read: mend ")
    assert "No picture" in refused("eval", folder, *weights, "--bad-images", "skip")


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_not_predicted(refused, weights, tmp_path, name):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    assert refused("predict", tmp_path / name, *weights).startswith(
        f"Cannot read the picture {tmp_path / name}: {reason}"
    )


def test_broken_pictures_are_told_among_the_predictions(run, make_pictures, weights, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    folder = make_pictures(classes=("red",))
    for name, (content, _reason) in BAD.items():
        (folder / name).write_bytes(content)
    answer = run("predict", folder, *weights, "--bad-images", "skip", "--json", "--batch-size", 2)
    assert answer.status == 0
    found = json.loads(answer.out)
    errors = {entry["file"]: entry["error"] for entry in found if "error" in entry}
    assert errors.keys() == {str(folder / name) for name in BAD}
    assert len([entry for entry in found if "classes" in entry]) == 4
    table = run("predict", folder, *weights, "--bad-images", "skip").out
    for _content, reason in BAD.values():
        assert f"not read: {reason}" in table


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--batch-size", "0"], "batch size 0 is out of range: give 1 or more."),
        (["--precision", "fp17"], "Precision 'fp17' is not known: did you mean 'fp16'?"),
        (["--bad-images", "sikp"], "Treatment of bad images 'sikp' is not known: did you mean 'skip'?"),
        (["--jsno"], "`res2net predict` has no option '--jsno': did you mean '--json'?"),
    ],
)
def test_predict_refuses(refused, pictures, weights, options, sentence):
    assert sentence in refused("predict", pictures, *weights, *options)


def test_drawings_that_cannot_be_written(refused, pictures, weights, tmp_path):
    (tmp_path / "file").write_text("")
    sentence = refused("predict", pictures / "red" / "0.png", *weights, "--draw", tmp_path / "file")
    assert sentence.startswith(f"Cannot write {tmp_path / 'file'}")
