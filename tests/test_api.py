"""The Python interface: loading and predicting, as a user calls them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import res2net
from res2net.cli import main
from res2net.errors import InputError
from res2net.images.decode import BadImage
from res2net.task.result import Result
from res2net.weights import read_checkpoint, save

FILES = Path(__file__).parent / "legacy" / "files"
CHECKPOINTS = FILES / "checkpoints"
IMAGE = FILES / "images" / "0.png"
HEAVY = ("lightning", "matplotlib", "torchmetrics", "tensorboard", "timm", "captum", "jinja2", "scipy", "skimage")


@pytest.fixture(scope="module")
def model():
    return res2net.load(CHECKPOINTS / "classify.safetensors")


@pytest.fixture
def images(tmp_path):
    """A folder with two images, one of them in a folder of its own."""
    for name, number in (("a.png", 0), ("below/b.png", 1)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((FILES / "images" / f"{number}.png").read_bytes())
    return tmp_path / "images"


def opened(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def scores(results):
    return [dict(zip(result.classes, result.probabilities, strict=True)) for result in results]


def close(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(scores(found), scores(expected), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def message(call):
    """The one sentence with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "?", ")"))
    return text


# Loading.


def test_a_checkpoint_knows_its_task(model):
    assert repr(model) == f"<res2net.Model classify: {CHECKPOINTS / 'classify.safetensors'}>"
    assert len(model.class_names) == 2
    assert model.precision == "fp32"
    assert not model.task.training


def test_the_folder_of_a_run(model, tmp_path):
    with pytest.raises(InputError, match=r"is not the folder of a finished run \(it has no best\.safetensors\)"):
        res2net.load(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(model.path.read_bytes())
    close(res2net.load(tmp_path).predict(IMAGE), model.predict(IMAGE))


@pytest.mark.parametrize(("trained", "used"), [("bf16", "bf16"), ("fp16", "fp32"), ("fp32", "fp32")])
def test_the_precision_is_that_of_the_training(model, tmp_path, capsys, trained, used):
    """In Python and on the command line; a CPU computes in fp32 what was trained in fp16."""
    checkpoint = read_checkpoint(model.path)
    path = tmp_path / "best.safetensors"
    save(path, checkpoint.tensors, {**checkpoint.metadata, "precision": trained})
    assert res2net.load(path, accelerator="cpu").precision == used
    assert res2net.load(path, accelerator="cpu", precision="bf16").precision == "bf16"
    words = ["predict", str(IMAGE), "--weights", str(path), "--accelerator", "cpu", "--json"]
    assert not main(words)
    (found,) = json.loads(capsys.readouterr().out)
    (expected,) = res2net.load(model.path, accelerator="cpu", precision=used).predict(IMAGE)
    assert found == {"file": str(IMAGE), **expected.to_dict()}


@pytest.mark.parametrize(("ending", "library"), [("pt2", "torch"), ("onnx", "onnxruntime"), ("xml", "openvino")])
def test_an_exported_file_predicts_as_its_checkpoint(model, ending, library):
    pytest.importorskip(library)
    exported = res2net.load(FILES / "exports" / f"classify.{ending}", trust=ending == "pt2")
    assert (exported.exported, exported.accelerator, exported.name) == (True, "cpu", "classify")
    assert exported.class_names == model.class_names
    # The exported network may have another fixed size than the checkpoint.
    same = res2net.load(model.path)
    same.task.preprocessing = exported.task.preprocessing
    close(exported.predict([IMAGE, FILES / "images" / "1.png"]), same.predict([IMAGE, FILES / "images" / "1.png"]))


def test_weights_that_do_not_state_their_model(tmp_path):
    network = res2net.create_model("res2net20_26w_4s_tiny", num_classes=3, zero_init_last=False)
    torch.save(network.state_dict(), tmp_path / "published.pth")
    found = res2net.load(tmp_path / "published.pth", model="res2net20_26w_4s_tiny")
    assert found.class_names == ("class 0", "class 1", "class 2")
    assert found.name == "res2net20_26w_4s_tiny"
    (result,) = found.predict(IMAGE)
    assert sum(result.probabilities) == pytest.approx(1)
    assert "does not say which model it holds" in message(lambda: res2net.load(tmp_path / "published.pth"))


@pytest.mark.parametrize(
    ("file", "options", "text"),
    [
        ("none.safetensors", {}, "There is no file"),
        ("none.onnx", {}, "There is no file"),
        ("classify.safetensors", {"task": "detect"}, "was trained for classify, not for detect"),
        ("classify.safetensors", {"runtime": "onnx"}, "classify.safetensors.json is missing"),
        (
            "segment.safetensors",
            {"task_options": {"windw": 32}},
            "'windw' of segment is not known: did you mean",
        ),
        (
            "classify.safetensors",
            {"task_options": {"flip": 1.0}},
            "'flip' of classify cannot change",
        ),
        ("../exports/classify.onnx", {"model": "resnet50"}, "holds its model itself"),
        ("../exports/classify.onnx", {"accelerator": "gpu"}, "runs on the CPU"),
        ("../exports/classify.pt2", {}, "Opening"),
        ("../exports/classify.onnx", {"task": "detect"}, "was trained for classify, not for detect"),
    ],
)
def test_what_cannot_be_loaded(file, options, text):
    assert text in message(lambda: res2net.load(CHECKPOINTS / file, **options))


def test_an_exported_file_needs_its_description(tmp_path):
    (tmp_path / "moved.onnx").write_bytes(b"ONNX")
    assert "moved.onnx.json is missing" in message(lambda: res2net.load(tmp_path / "moved.onnx"))


# Predicting.


def test_files_folders_and_patterns(model, images):
    expected = model.predict([images / "a.png", images / "below" / "b.png"])
    assert [result.path for result in expected] == [images / "a.png", images / "below" / "b.png"]
    for what in (
        images,
        str(images),
        f"{images}/**/*.png",
        images.rglob("*.png"),
        [str(images / "a.png"), images / "below"],
    ):
        found = model.predict(what)
        assert [result.path for result in found] == [result.path for result in expected]
        close(found, expected)
    assert [result.path for result in model.predict(f"{images}/*.png")] == [images / "a.png"]


def test_images_in_memory(model):
    (expected,) = model.predict(IMAGE)
    image = opened(IMAGE)
    pixels = np.asarray(image)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    backwards = pixels[..., ::-1].copy()[..., ::-1]  # as BGR turned to RGB
    kinds = [image, pixels, backwards, pixels / 255, np.float16(pixels / 255), tensor, tensor / 255]
    for kind in kinds:
        close(model.predict(kind), [expected])
    close(model.predict(kinds), [expected] * len(kinds))
    assert all(result.path is None for result in model.predict(kinds))


def test_grey_images(model):
    grey = np.asarray(opened(IMAGE).convert("L"))
    expected = model.predict(Image.fromarray(grey))
    tensor = torch.from_numpy(grey.copy())
    for kind in (grey, grey[..., None], tensor, tensor[None], tensor / 255):
        close(model.predict(kind), expected)


def test_one_result_for_each_of_a_list(model):
    image = opened(IMAGE)
    mixed = model.predict([IMAGE, image, str(IMAGE)])
    assert [result.path for result in mixed] == [IMAGE, None, IMAGE]
    close(mixed, model.predict(IMAGE) * 3)
    close(model.predict([IMAGE, IMAGE], batch_size=1), model.predict(IMAGE) * 2)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ([], "There is nothing to predict: give images, or a folder of images."),
        ([[], ()], "There is nothing to predict"),
        ("none.jpg", "There is no file or folder none.jpg: give an image or a folder of images."),
        (Path("none"), "There is no file or folder none"),
        ("none/*.jpg", "No file matches 'none/*.jpg': check the pattern."),
        (None, "None is not an image: give a path"),
        (3, "An object of the type int is not an image"),
        (b"bytes", "An object of the type bytes is not an image"),
        ({"image": IMAGE}, "An object of the type dict is not an image"),
        ([IMAGE, None], "None is not an image"),
        (np.zeros((8, 8, 4), np.uint8), "An array of shape (8, 8, 4) and type uint8 is not an image"),
        (np.zeros((8, 8, 3), np.int64), "An array of shape (8, 8, 3) and type int64 is not an image"),
        (np.zeros((8, 8, 3), bool), "type bool is not an image"),
        (np.array([None]), "type object is not an image"),
        (np.full((8, 8), np.nan), "type float64 is not an image"),
        (np.full((8, 8, 3), 200.0), "type float64 is not an image"),
        (torch.zeros(2, 3, 8, 8), "An array of shape (2, 3, 8, 8) and type torch.float32 is not an image"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "give (H, W, 3) as an array or (3, H, W) as a tensor"),
        (np.zeros((0, 0, 3), np.uint8), "0 x 0 pixels"),
    ],
    ids=repr,
)
def test_what_is_not_an_image(model, what, text):
    assert text in message(lambda: model.predict(what))


def test_a_broken_file_stops_or_is_skipped(model, images):
    broken = images / "broken.png"
    broken.write_bytes(b"broken")
    with pytest.raises(BadImage, match=rf"^Cannot read the image {re.escape(str(broken))}: .*\.$"):
        model.predict(images)
    found = model.predict(images, bad_images="skip")
    assert [result.path.name for result in found] == ["a.png", "b.png"]
    every = list(model.stream(images, bad_images="skip"))
    assert [(Path(one.name).name, one.result is None, bool(one.reason)) for one in every] == [
        *(("a.png", False, False), ("b.png", False, False), ("broken.png", True, True))
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch size 0 is out of range: give 1 or more."),
        ({"bad_images": "skp"}, "did you mean 'skip'?"),
        ({"clicks": ["1,1,+"]}, "Predict with classify has no option 'clicks'"),
    ],
)
def test_options_that_do_not_fit(model, options, text):
    assert text in message(lambda: model.predict(IMAGE, **options))


def test_a_stream_is_lazy(model, images):
    """A file is read when its turn comes, and those before it have their results by then."""
    paths = [images / "a.png", images / "later.png"]
    (images / "later.png").write_bytes(b"")
    predictions = model.stream(paths, batch_size=1)
    assert Path(next(predictions).name) == paths[0]
    (images / "later.png").write_bytes(IMAGE.read_bytes())
    assert next(predictions).result.path == paths[1]
    assert "no file" in message(lambda: model.stream("none.jpg"))  # but wrong inputs are told at once


def test_a_result_remembers_its_image(model, tmp_path):
    image = opened(IMAGE)
    from_file, from_memory = (model.predict(what)[0] for what in (IMAGE, image))
    for result in (from_file, from_memory):
        assert result.image.size == image.size
        drawn = result.draw()
        assert np.array_equal(np.asarray(drawn), np.asarray(result.draw(image)))
        drawn.save(tmp_path / "drawn.png")
    result = type(from_file)(from_file.classes, from_file.probabilities)
    assert message(result.draw) == "This result does not know its image: give one, as in result.draw(image)."


# Every task.


def options_of(name):
    return {"clicks": ["34,34,+", "4,4,-"]} if name.startswith("click") else {}


def an_input(name):
    return FILES / {"roads": "roads/0.png", "volumes": "volumes/0.nii.gz"}.get(name, "images/0.png")


def all_checkpoints():
    for path in sorted(CHECKPOINTS.glob("*.safetensors")):
        marks = [pytest.mark.slow] if path.stem == "volumes" else []
        yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", list(all_checkpoints()))
def test_every_task_in_three_lines(path, tmp_path):
    source = an_input(path.stem)
    (result,) = res2net.load(path).predict(source, **options_of(path.stem))
    assert isinstance(result, Result)
    assert result.path == source
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    assert all(len(row) == len(result.columns) for row in result.rows())
    result.draw().save(tmp_path / "drawn.png")
    assert min(opened(tmp_path / "drawn.png").size) > 8
    written = result.save(tmp_path / "found")
    assert written
    assert all(one.is_file() and one.name.startswith("found") for one in written)
    if not result.files:
        assert json.loads((tmp_path / "found.json").read_text()) == result.to_dict()


def test_options_of_a_task_alone(tmp_path):
    click = res2net.load(CHECKPOINTS / "click.safetensors")
    assert "click" in message(lambda: click.predict(IMAGE))
    assert "clicks '34,34,+' in" in message(lambda: click.predict(IMAGE, clicks="34,34,+"))
    assert "did you mean 'clicks'?" in message(lambda: click.predict(IMAGE, click=["34,34,+"]))
    detect = res2net.load(CHECKPOINTS / "detect.safetensors")
    assert detect.predict(IMAGE, coco=tmp_path / "found.json")
    assert isinstance(json.loads((tmp_path / "found.json").read_text()), list)


# Starting quickly.


@pytest.fixture
def imported(fresh):
    """The heavy libraries and the tasks that a process has imported after it ran these statements."""

    def ask(statements):
        printed = fresh(f"""
import sys
{statements}
print([library for library in {HEAVY} if library in sys.modules])
print([module for module in sys.modules if module.startswith("res2net.tasks.") and module.endswith(".task")])
""")
        heavy, tasks = printed.splitlines()[-2:]
        return heavy, tasks

    return ask


@pytest.mark.parametrize("name", ["classify", "detect", "depth"])
def test_a_prediction_imports_nothing_that_it_does_not_need(imported, name):
    """Neither a library that takes long to import nor another task."""
    file = str(CHECKPOINTS / f"{name}.safetensors")
    heavy, tasks = imported(
        f"import numpy as np, res2net; res2net.load({file!r}).predict(np.zeros((64, 64, 3), np.uint8))"
    )
    assert heavy == "[]"
    assert tasks.count(".task'") == 1
    assert f".{name}.task" in tasks


def test_nor_does_the_command(imported):
    words = ["predict", str(IMAGE), "--weights", str(CHECKPOINTS / "classify.safetensors"), "--json"]
    heavy, tasks = imported(f"from res2net.cli import main; assert not main({words!r})")
    assert (heavy, tasks) == ("[]", "['res2net.tasks.classify.task']")
