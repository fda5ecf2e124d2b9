"""Controls of classification: views, sizes, weights of classes, balanced sampling, frozen stages, grey images."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import v2

import res2net
from res2net.api import Model
from res2net.engine.config import default_config, override
from res2net.engine.train import make_task
from res2net.errors import InputError
from res2net.images import open_source
from res2net.images.folder import ImageFiles
from res2net.images.sources import DataSource
from res2net.images.transforms import Normalise, eval_transform, ten_crop_transform
from res2net.task.inputs import Inputs
from res2net.tasks.classify.labels import balanced_indices, class_weights
from res2net.tasks.classify.options import ClassifyOptions, EvalOptions
from res2net.tasks.classify.task import Classify
from res2net.weights import Preprocessing, save

LOOK = Preprocessing(size=32, crop=0.8)


@pytest.fixture(scope="module")
def photo():
    return Image.effect_noise((80, 60), 90).convert("RGB")


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = res2net.create_model("res2net20_26w_4s_tiny", num_classes=4)
    names = {"class_names": list("abcd")}
    return Model(Classify(network, LOOK, ClassifyOptions(), names).eval(), {}, Path("x"), "cpu")


def probabilities(model, images):
    with torch.no_grad():
        return model.task.model(images).softmax(1)


def found(model, photo, **options):
    (result,) = model.predict(photo, **options)
    scores = dict(zip(result.classes, result.probabilities, strict=True))
    return torch.tensor([scores[name] for name in "abcd"])


def test_ten_crops_are_those_of_torchvision(photo):
    crops = ten_crop_transform(LOOK)(photo)
    steps = [v2.Resize(40), v2.TenCrop(32), lambda views: torch.cat([Normalise(LOOK)(view) for view in views])]
    assert torch.equal(crops, v2.Compose(steps)(photo))
    assert torch.equal(crops[12:15], eval_transform(LOOK)(photo))  # the fifth is the centre


def test_probabilities_are_means_over_views(model, photo):
    image = eval_transform(LOOK)(photo)[None]
    usual = found(model, photo)
    torch.testing.assert_close(usual, probabilities(model, image)[0])
    flipped = probabilities(model, torch.cat([image, image.flip(-1)])).mean(0)
    torch.testing.assert_close(found(model, photo, tta="flip"), flipped)
    ten = probabilities(model, ten_crop_transform(LOOK)(photo).view(10, 3, 32, 32)).mean(0)
    torch.testing.assert_close(found(model, photo, tta="ten-crop"), ten)
    assert torch.equal(found(model, photo), usual)


def test_another_size_sees_the_same_share_of_an_image(model, photo):
    expected = probabilities(model, eval_transform(Preprocessing(size=48, crop=0.8))(photo)[None])[0]
    torch.testing.assert_close(found(model, photo, size=48), expected)
    assert model.task.preprocessing.size == 32


@pytest.mark.parametrize("tta", ["flip", "ten-crop"])
def test_evaluation_of_views(model, tta, tmp_path):
    source = open_source("shapes:4,6")
    model.task.class_names = tuple(source.class_names)
    model.task.model = res2net.create_model("res2net20_26w_4s_tiny", num_classes=len(source.class_names)).eval()
    loss = model.evaluate(source, size=48, tta=tta, batch_size=4, workers=0).metrics["loss"]
    images, labels = zip(
        *((image, target["label"]) for image, target in (source.val[i] for i in range(6))), strict=True
    )
    look = Preprocessing(size=48, crop=0.8)
    views = [ten_crop_transform(look)(image) if tta == "ten-crop" else eval_transform(look)(image) for image in images]
    stacked = torch.stack([view if tta == "ten-crop" else torch.cat([view, view.flip(-1)]) for view in views])
    mean = torch.stack([probabilities(model, view) for view in stacked.split(3, 1)]).mean(0)
    assert loss == pytest.approx(float(F.nll_loss(mean.log(), torch.tensor(labels))), rel=1e-4)
    assert model.evaluate(source, batch_size=4, workers=0).metrics["loss"] != pytest.approx(loss, rel=1e-4)


def test_an_exported_network_has_one_size():
    task = Classify(
        res2net.create_model("res2net20_26w_4s_tiny", num_classes=2), LOOK, ClassifyOptions(), {"class_names": "ab"}
    )
    task.model = torch.nn.Identity()
    with pytest.raises(InputError, match="exported for images of 32 pixels: leave out --size, or export"):
        EvalOptions(size=64).prepare(task)
    EvalOptions(size=32, tta="flip").prepare(task)
    for wrong in ({"size": 4}, {"tta": "five"}):
        with pytest.raises(InputError):
            EvalOptions(**wrong)


def test_balanced_weights_and_samples():
    labels = [0, 0, 0, 0, 1, 2, 2]
    weights = class_weights("balanced", labels, ["a", "b", "c"])
    assert weights.tolist() == pytest.approx([7 / 12, 7 / 3, 7 / 6])
    assert float(weights[torch.tensor(labels)].mean()) == pytest.approx(1)
    assert balanced_indices(labels, 3) == [*range(7), 4, 4, 4, 5, 6]
    assert balanced_indices([1, 0], 2) == [0, 1]
    assert balanced_indices([0, 0, 2], 3) == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("a,1\nb,0.5\n", [1, 0.5]),
        ("\ufeffb\t2\r\na\t0\r\n", [0, 2]),
        ('"a", 3\n\nb,1e-1', [3, 0.1]),
        ("a,1", "has no weight for b"),
        ("a,1\nb,2\nc,3", "Line 3 of "),
        ("a,1\na,2\nb,1", "Line 2 of "),
        ("a,x\nb,1", "Line 1 of "),
        ("a,-1\nb,1", "Line 1 of "),
        ("a,inf\nb,1", "Line 1 of "),
        ("a,0\nb,0", "nothing is learnt"),
    ],
)
def test_weights_in_a_file(tmp_path, text, weights):
    (tmp_path / "weights.csv").write_bytes(text.encode())
    read = partial(class_weights, str(tmp_path / "weights.csv"), [0, 1], ["a", "b"])
    if isinstance(weights, list):
        assert read().tolist() == pytest.approx(weights)
    else:
        with pytest.raises(InputError, match=weights):
            read()


def test_a_file_of_weights_that_is_missing():
    with pytest.raises(InputError, match=r"Cannot read the class weights balancd .*: give balanced, or a file"):
        class_weights("balancd", [0], ["a"])


@pytest.fixture
def files(tmp_path):
    paths = []
    for index in range(5):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.effect_noise((40, 40), 50 + index).convert("RGB").save(paths[-1])
    images = ImageFiles(paths, [0, 0, 0, 0, 1], ["cat", "dog"])
    return DataSource("files", images, images, ["cat", "dog"])


def made(source, **options):
    chosen = override(default_config("classify", "x"), {"model": "res2net20_26w_4s_tiny", "size": 32} | options)
    return make_task(chosen, source)


def test_a_run_with_weights_and_balance(files):
    task = made(files, class_weights="balanced", balance=True)
    assert task.class_weights.tolist() == pytest.approx([0.625, 2.5])
    train, val = task.datasets(files)
    assert [train[index][1]["label"] for index in range(len(train))] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(val) == 5
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 1, 0])
    expected = F.cross_entropy(task.eval()(images), labels, torch.tensor([0.625, 2.5]))
    torch.testing.assert_close(task.losses(images, {"label": labels})["loss"], expected)
    assert "class_weights" not in task.state_dict()
    assert made(files).class_weights is None


def test_frozen_stages(files):
    task = made(files, freeze=2)
    frozen = {name for name, one in task.model.named_parameters() if not one.requires_grad}
    assert frozen
    assert not any(name.startswith(("layer2", "fc")) for name in frozen)
    with pytest.raises(InputError, match="Cannot freeze 9 stages"):
        made(files, freeze=9)


def test_grey_images(files):
    task = made(files, in_channels=1)
    image, _ = task.datasets(files)[1][0]
    assert image.shape == (1, 32, 32)
    assert task.model(image[None]).shape == (1, 2)
    assert task.preprocessing.mean == pytest.approx([sum(files.preprocessing.mean) / 3])
    assert made(files, in_channels=3).preprocessing.mean == files.preprocessing.mean
    with pytest.raises(InputError, match="in_channels 2"):
        made(files, in_channels=2)


def test_images_with_transparency(files, tmp_path):
    """A fourth channel is opacity: it is read where the network sees it, and weights of colours begin without it."""
    for index, path in enumerate(files.train.paths):
        Image.new("RGBA", (40, 40), (10, 20, 30, 50 * index)).save(path)
    torch.manual_seed(0)
    task = made(files, in_channels=4)
    assert task.preprocessing.mean[:3] == files.preprocessing.mean
    opacity = [
        float(image[3, 0, 0] * task.preprocessing.std[3] + task.preprocessing.mean[3])
        for image, _ in (task.datasets(files)[1][index] for index in range(len(files.val)))
    ]
    assert opacity == pytest.approx([50 * index / 255 for index in range(len(opacity))], abs=1e-6)
    path = files.train.paths[1]
    with Image.open(path) as stored:
        stored.load()
    results = [Model(task.eval(), {}, Path("x"), "cpu").predict(one)[0] for one in (path, stored, np.asarray(stored))]
    assert [result.probabilities for result in results] == [results[0].probabilities] * 3
    colours = res2net.create_model("res2net20_26w_4s_tiny", num_classes=2).eval()
    save(tmp_path / "colours.safetensors", colours.state_dict(), {"model": "res2net20_26w_4s_tiny", "options": {}})
    adapted = made(files, in_channels=4, weights=str(tmp_path / "colours.safetensors")).model.eval()
    x = torch.rand(2, 4, 32, 32)
    torch.testing.assert_close(adapted(x), colours(x[:, :3]))
    with pytest.raises(InputError, match=r"shapes has no transparency, so that .*: choose --in-channels 1 or 3\."):
        made(open_source("shapes:4,4"), in_channels=4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_mode_in_files_and_in_memory(mode, channels, tmp_path):
    grey = Image.linear_gradient("L").resize((32, 32))
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.new("L", image.size, 120))
    file = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.save(file)
    inputs = Inputs(alpha=channels == 4)
    normalise = Normalise(Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels))
    read, in_memory = normalise(inputs.read(file)), normalise(inputs.from_memory(image))
    assert read.shape == (channels, 32, 32)
    torch.testing.assert_close(in_memory, read, atol=1.5 / 255, rtol=0)  # grey is rounded once or twice
    if channels == 4:
        assert read[3].unique().tolist() == pytest.approx([120 / 255 if mode in ("LA", "RGBA") else 1.0])
