"""`res2net eval` and `res2net predict`."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def metrics_in(text):
    return dict(re.findall(r"^ +(loss|top1) +(\S+)", text, re.MULTILINE))


def test_eval_gives_the_numbers_of_the_run(run, trained, images, weights):
    answer = run("eval", images, *weights, "--split", "val")
    assert (answer.status, answer.err) == (0, "")
    assert "2 images of images (val: 20% by hash)" in " ".join(answer.out.split())
    assert "images/s" in answer.out
    again = metrics_in(answer.out)
    assert again == metrics_in(trained.answer.out)
    rows = list(csv.DictReader((trained.folder / "metrics.csv").read_text().splitlines()))
    best = max(rows, key=lambda row: float(row["val_top1"]))
    assert again == {name: f"{float(best[f'val_{name}']):.3f}" for name in ("loss", "top1")}


@pytest.mark.parametrize("options", [["--batch-size", 1], ["--workers", 0], ["--precision", "fp32"]])
def test_how_it_is_evaluated_does_not_change_the_numbers(run, trained, images, weights, options):
    again = run("eval", images, *weights, "--split", "val", *options)
    assert metrics_in(again.out) == metrics_in(trained.answer.out)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], "8 images of images (all)"),
        (["--split", "train"], "6 images of images (train: 80% by hash)"),
        (["--split", "val", "--val-fraction", 0.5, "--seed", 3], "4 images of images (val: 50% by hash)"),
    ],
)
def test_eval_of_what_is_asked_for(run, images, weights, options, count):
    assert count in " ".join(run("eval", images, *weights, *options).out.split())


def test_eval_warns_of_images_that_were_trained_on(run, trained, images, tmp_path):
    def warned(folder, weights, *options):
        out = run("eval", folder, "--weights", weights, "--accelerator", "cpu", *options).out
        found = re.search(r"The weights were trained on (\d+) of these (\d+) samples", out)
        return found and tuple(map(int, found.groups()))

    copied = Path(shutil.copy(trained.best, tmp_path))  # without the list of samples beside it
    more = shutil.copytree(images, tmp_path / "more")
    Image.new("RGB", (40, 40)).save(more / "red" / "new.png")
    assert warned(images, trained.best) == warned(images, copied) == (6, 8)
    assert warned(images, trained.best, "--split", "train") == warned(images, copied, "--split", "train") == (6, 6)
    assert warned(images, trained.best, "--split", "val") is None
    assert warned(more, trained.best) == (6, 9)


def test_eval_of_a_split_that_is_not_there(refused, images, weights):
    assert refused("eval", images, *weights, "--split", "test") == (
        f"{images} has no splits, and so no split 'test': leave out --split, or give train or val, the parts that a "
        "training makes."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--batch-size", "0"], "batch size 0 is out of range: give 1 or more."),
        (["--workers", "-1"], "workers -1 is out of range: give 0 or more."),
        (["--precision", "fp17"], "Unknown --precision 'fp17': did you mean 'fp16'?"),
        (["--val-fraction", "2"], "The validation fraction 2.0 is out of range: give a number between 0 and 1."),
        (["--bad-images", "sikp"], "Unknown --bad-images 'sikp': did you mean 'skip'?"),
        (["--decode", "scale"], "Unknown --decode 'scale': did you mean 'scaled'?"),
        (["--accelerator", "gpuu"], "Unknown --accelerator 'gpuu': did you mean 'gpu'?"),
        (["--weight", "x"], "`res2net eval` has no option '--weight': did you mean '--weights'?"),
    ],
)
def test_eval_refuses(refused, images, weights, options, sentence):
    assert sentence in refused("eval", images, *weights, *options)


def test_weights_are_needed(refused, images):
    assert refused("eval", images) == (
        "`res2net eval` needs --weights FILE, e.g. runs/NAME/best.safetensors: see `res2net eval --help`."
    )
    for verb in ("eval", "predict"):  # for predict, some ship
        sentence = f"`res2net {verb}` has no option '--weight': did you mean '--weights'?"
        assert refused(verb, images, "--weight", "a.safetensors") == sentence


def test_predict_an_image(run, images, weights):
    image = images / "red" / "0.png"
    answer = run("predict", image, *weights, "--json")
    assert (answer.status, answer.err) == (0, "")
    (found,) = json.loads(answer.out)
    assert found["file"] == str(image)
    assert {entry["class"] for entry in found["classes"]} == {"green", "red"}
    probabilities = [entry["probability"] for entry in found["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)


def test_predict_a_folder_as_a_table(run, images, weights, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    table = run("predict", images, *weights)
    found = json.loads(run("predict", images, *weights, "--json", "--batch-size", 3).out)
    assert (table.status, len(found)) == (0, 8)
    for entry in found:
        likeliest = entry["classes"][0]
        row = next(line for line in table.out.splitlines() if entry["file"] in line)
        assert row.split()[1:] == [likeliest["class"], f"{100 * likeliest['probability']:.1f}"]


def test_predict_images_and_folders_each_image_once(run, refused, images, weights):
    first, second, *_ = sorted((images / "red").iterdir())
    some = [second, images / "red", first]
    answer = run("predict", *some, *weights, "--json")
    folder = run("predict", images / "red", *weights, "--json")
    assert answer.err == ""
    files = [one["file"] for one in json.loads(answer.out)]
    assert files[0] == str(some[0])
    assert sorted(files) == sorted(one["file"] for one in json.loads(folder.out))
    assert refused("predict", *weights) == "Nothing to predict: give an image or a folder of images."


def test_five_of_many_classes(run, make_images, tiny, tmp_path):
    names = [f"kind {index}" for index in range(7)]
    many = make_images(classes=names, each=2)
    assert run("train", many, *tiny(out=tmp_path / "run")).status == 0
    weights = tmp_path / "run" / "best.safetensors"
    answer = run("predict", many / "kind 0" / "0.png", "--weights", weights, "--accelerator", "cpu", "--json")
    assert len({entry["class"] for entry in json.loads(answer.out)[0]["classes"]}) == 5


def test_without_a_choice_of_accelerator(run, images, trained):
    assert run("predict", images / "red" / "0.png", "--weights", trained.best).status == 0


def test_predictions_are_drawn(run, images, weights, tmp_path):
    answer = run("predict", images / "red", *weights, "--draw", tmp_path / "drawn")
    assert answer.status == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["00001-0.png", "00002-1.png", "00003-2.png", "00004-3.png"]
    with Image.open(tmp_path / "drawn" / names[0]) as drawn:
        assert drawn.size > (40, 36)


def grey_image():
    return np.random.default_rng(1).integers(0, 256, (36, 48), dtype=np.uint8)


def turned(grey):
    """Lying on its side, with a note to the reader to turn it back."""
    image = Image.fromarray(np.rot90(grey).copy()).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of what is stored is the right-hand side
    return image, {"exif": exif}


KINDS = {
    "grey": lambda grey: (Image.fromarray(grey), {}),
    "grey and alpha": lambda grey: (Image.fromarray(grey).convert("LA"), {}),
    "RGBA": lambda grey: (Image.fromarray(grey).convert("RGBA"), {}),
    "palette": lambda grey: (Image.fromarray(grey).convert("P"), {}),
    "16 bits": lambda grey: (Image.fromarray(grey.astype(np.uint16) * 257), {}),
    "turned by EXIF": turned,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_any_kind_is_predicted_as_the_plain_one(run, weights, tmp_path, kind):
    grey = grey_image()
    Image.fromarray(grey).convert("RGB").save(tmp_path / "plain.png")
    image, options = KINDS[kind](grey)
    image.save(tmp_path / "same.png", **options)
    plain, same = (
        json.loads(run("predict", tmp_path / f"{name}.png", *weights, "--json").out)[0]["classes"]
        for name in ("plain", "same")
    )
    assert plain == same
