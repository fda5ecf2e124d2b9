"""Semantic segmentation of synthetic scenes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import collate
from res2net.images.shapes.dataset import PIXEL_CLASSES
from res2net.task.base import backbone_of
from res2net.tasks.pixels.segment.task import ClassMap, Segment, SegmentOptions

CLASSES = 5


@pytest.fixture
def scenes():
    return Segment.open("shapes:4,3")


@pytest.fixture
def make(scenes):
    """A function that builds the task."""

    def build(source=scenes, **options):
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        options = {"channels": 16, "crop": (64, 64), **options}
        return Segment.build(create, source, source.preprocessing, SegmentOptions(**options))

    return build


def batch(task, scenes, train=False):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(len(samples))])


class ByColour(torch.nn.Module):
    """Not a network: class 1 where an image is bright, else class 0."""

    def forward(self, images):
        bright = images.mean(1, keepdim=True)
        return torch.cat([-bright, bright, *[bright - 100] * (CLASSES - 2)], 1)


def test_a_few_steps_lower_the_loss(make, scenes):
    task = make(flip=0.0).train()
    images, targets = batch(task, scenes, train=True)
    assert images.shape == (4, 3, 64, 64)
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    for _ in range(8):
        total = torch.stack(list(task.losses(images, targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.7 * totals[0]


def test_a_checkpoint_gives_the_same_results(make, scenes, tmp_path):
    task = make(output_stride=8, scales=(0.5, 1.0), flip_test=True).eval()
    assert backbone_of(task).output_stride == 8
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("segment", "shapes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="segment")
    assert (again.options, again.class_names) == (task.options, PIXEL_CLASSES)
    images, targets = batch(task, scenes)
    with torch.no_grad():
        for one, other in zip(task.predict(images, targets), again.predict(images, targets), strict=True):
            np.testing.assert_array_equal(one.classes, other.classes)


def test_the_truth_is_perfect(make, scenes, monkeypatch):
    task = make().eval()
    images, targets = batch(task, scenes)
    true = [one["semantic"].as_subclass(torch.Tensor).long() for one in targets["truth"]]
    found = [torch.nn.functional.one_hot(one, CLASSES).permute(2, 0, 1).float() for one in true]
    monkeypatch.setattr(task, "values", lambda images, targets: found)
    metric = task.metric()
    records = task.validate(images, targets, metric)
    numbers = metric.compute()
    assert (numbers["mIoU"], numbers["boundary_mIoU"], numbers["pixel_accuracy"]) == (1, 1, 1)
    assert records["right"].tolist() == [1, 1, 1]


def some_image(size=(100, 60)):
    """The right half is bright."""
    image = Image.new("RGB", size)
    image.paste("white", (size[0] // 2, 0, size[0], size[1]))
    return image


@pytest.mark.parametrize("resize", [0, 48, 90])
@pytest.mark.parametrize("options", [{}, {"window": 32}, {"flip_test": True, "scales": (0.5, 1.0)}])
def test_results_have_the_size_of_the_file(make, resize, options, tmp_path):
    task = make(resize=resize, **options).eval()
    task.model = ByColour()
    image = some_image()
    images, targets = collate(
        [task.transform(False)(image, {"index": 0}), task.transform(False)(some_image((40, 80)), {"index": 1})]
    )
    first, second = task.predict(images, targets)
    assert (first.classes.shape, second.classes.shape) == ((60, 100), (80, 40))
    right = np.arange(100) >= 50
    assert (first.classes == right).mean() > 0.97
    assert [name for name, _ in first.rows()] in (
        [task.class_names[0], task.class_names[1]],
        [task.class_names[1], task.class_names[0]],
    )
    assert first.draw(image).size == (600, 360)
    (path,) = first.save(tmp_path / "00001-street")
    saved = Image.open(path)
    assert (path.name, saved.mode) == ("00001-street-classes.png", "P")
    np.testing.assert_array_equal(np.asarray(saved), first.classes)
    described = {one["class"]: one for one in first.to_dict()["classes"]}
    np.testing.assert_array_equal(coco_mask.decode([described[1]["segmentation"]])[..., 0], first.classes == 1)
    assert described[1]["share"] == (first.classes == 1).mean()


@pytest.mark.parametrize("size", [(1, 1), (33, 57), (700, 500)])
def test_odd_sizes(make, size):
    task = make(window=256).eval()
    images, targets = collate([task.transform(False)(Image.new("RGB", size), {"index": 0})])
    with torch.no_grad():
        (result,) = task.predict(images, targets)
    assert result.classes.shape == size[::-1]


def test_the_neighbours_in_a_batch_change_nothing(make):
    task = make().eval()
    images = [some_image(), some_image((64, 96))]
    samples = [task.transform(False)(image, {"index": place}) for place, image in enumerate(images)]
    with torch.no_grad():
        together = list(task.values(*collate(samples)))
        for sample, values in zip(samples, together, strict=True):
            torch.testing.assert_close(next(task.values(*collate([sample]))), values)


def test_a_constant_predicts_the_usual_class(make, scenes):
    task = make()
    classes = torch.cat([scenes.train[index][1]["semantic"].flatten() for index in range(4)])
    assert int(task.constant(scenes.train).argmax()) == int(classes.mode().values)


def test_training_that_does_not_fit(make, scenes):
    with pytest.raises(InputError, match="There are 2 class weights and 5 classes: give one for each"):
        make(class_weights=(1.0, 2.0))
    with pytest.raises(InputError, match="Segmentation needs 2 to 255 classes, and the data have 1"):
        make(replace(scenes, class_names=("road",)))
    with pytest.raises(InputError, match="is a backbone without a head for segment"):
        Segment.restore("res2net20_26w_4s_tiny", None)


def test_the_ground_truth_is_a_result(make, scenes):
    image, target = scenes.val[0]
    truth = make().truth(image, target)
    np.testing.assert_array_equal(truth.classes, target["semantic"].numpy())
    assert truth.panel(image, truth).size[0] % 128 == 0


def test_unlabelled_pixels_are_of_no_class():
    found = ClassMap(np.array([[0, 1, 1, 255]], np.uint8), ("a", "b"))
    assert found.rows() == [("b", 50.0), ("a", 25.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ohem": 2.0}, "ohem 2.0 is out of range"),
        ({"class_weights": (-1.0,)}, "class weights -1.0 is out of range"),
        ({"class_weights": (float("nan"),)}, "class weights nan is out of range"),
        ({"class_weights": (0.0, 0.0)}, "All class weights are 0"),
        ({"output_stride": 5}, "output stride 5 does not fit: give 8, 16 or 32"),
        ({"scale": (2.0, 1.0)}, "scales"),
        ({"scales": ()}, "scales"),
        ({"overlap": 1.0}, "overlap 1.0 is out of range"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        SegmentOptions(**options)
