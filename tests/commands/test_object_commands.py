"""`train`, `eval` and `predict` of tasks that find objects."""

import json
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from object_sets import CATEGORIES, SMALL, with_bad_boxes, write_coco, write_voc
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import res2net
from res2net.tasks.objects.formats import open_objects
from res2net.tasks.objects.metrics.coco import BOX_NUMBERS

KINDS = {"detect": {"box": "bbox"}, "instance": {"box": "bbox", "mask": "segm"}}
"""What is measured of each task, by the name of ours and of pycocotools'."""

EVAL = ["--accelerator", "cpu", "--workers", 0]


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """Not to be changed."""
    return write_coco(tmp_path_factory.mktemp("data") / "things")


@pytest.fixture
def small(tiny):
    """A function that gives the options of a tiny run of a small detector."""

    def options(**given):
        return tiny(batch_size=2, **given) + [word for pair in SMALL.items() for word in pair]

    return options


@pytest.fixture
def train_small(run, small, tmp_path):
    """A function that trains a task for an epoch, and gives the file of its weights."""

    def train(task, source, **given):
        answer = run("train", task, source, *small(**given), "--out", tmp_path / task)
        assert answer.status == 0, answer.err
        assert (tmp_path / task / "report.html").is_file()
        return tmp_path / task / "best.safetensors"

    return train


class Imperfect(torch.nn.Module):
    """Stands in for the network: what is there, moved a little, with some objects missing and some invented."""

    def __init__(self, source, masks):
        super().__init__()
        labels = ("boxes", "labels", "masks") if masks else ("boxes", "labels")
        self.val, self.next, self.masks = open_objects(source, labels)[1], 0, masks
        self.random = torch.Generator().manual_seed(0)

    def set_thresholds(self, options):
        del options

    def draw(self, *shape):
        return torch.rand(*shape, generator=self.random)

    def detect(self, images, sizes):
        return [self.one(size) for size in sizes]

    def one(self, size):
        target, before = self.val.target(self.next), self.val.size(self.next)
        self.next += 1
        kept = self.draw(len(target["labels"])) < 0.8
        scale = torch.tensor([size[1] / before[1], size[0] / before[0]] * 2)
        boxes = target["boxes"].as_subclass(torch.Tensor)[kept] * scale
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        boxes = boxes + 0.15 * (self.draw(len(boxes), 4) - 0.5) * sides
        boxes = torch.cat([boxes, 40 * self.draw(2, 4).sort().values])
        labels = torch.cat([target["labels"][kept], torch.tensor([0, 1])])
        scores, order = self.draw(len(labels)).sort(descending=True)
        found = {"boxes": boxes[order], "labels": labels[order], "scores": scores}
        if self.masks:
            masks = [self.within(mask, box / scale) for mask, box in zip(target["masks"][kept], boxes, strict=False)]
            found["masks"] = torch.stack([*masks, torch.ones(28, 28), torch.ones(28, 28)])[order]
        return found

    def within(self, mask, box):
        left, top, right, bottom = box.clamp(min=0).int().tolist()
        part = mask.as_subclass(torch.Tensor)[top : bottom + 1, left : right + 1].float()
        return F.interpolate(part[None, None], (28, 28))[0, 0] if part.numel() else torch.zeros(28, 28)


def pycocotools_numbers(annotations, results, kind):
    """The twelve numbers, in percent.

    Where results have boxes, pycocotools takes the size of a mask from its box; those of masks are evaluated without.
    """
    truth = COCO(str(annotations))
    if kind == "segm":
        results = [{name: value for name, value in one.items() if name != "bbox"} for one in results]
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [100 * value for value in evaluation.stats]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")
@pytest.mark.parametrize(
    ("task", "kinds"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] == "detect" else ()) for one in KINDS.items()],
)
def test_pycocotools_finds_the_same_numbers_in_the_results(train_small, real_data, tmp_path, task, kinds):
    source = real_data("coco_mini")
    model = res2net.load(train_small(task, source, overfit=2), accelerator="cpu")
    model.task.model = Imperfect(source, masks=task == "instance")
    file = tmp_path / "results.json"
    evaluation = model.evaluate(source, workers=0, results=file)
    results = json.loads(file.read_text())
    annotations = source / "annotations" / "instances_val2017.json"
    for name, kind in kinds.items():
        expected = pycocotools_numbers(annotations, results, kind)
        ours = [evaluation.metrics[f"{name}_{number}"] for number in BOX_NUMBERS]
        assert ours == pytest.approx(expected, abs=1e-6)
        assert 10 < ours[0] < 90


@pytest.fixture
def found_things(run, train_small, coco, tmp_path):
    """Weights of an instance task on `coco`, and what `eval --results` found with all scores."""
    weights = train_small("instance", coco, score_threshold=0)
    file = tmp_path / "folder" / "results.json"
    answer = run("eval", "instance", coco, "--weights", weights, *EVAL, "--results", file)
    assert answer.status == 0, answer.err
    return weights, json.loads(file.read_text())


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")
def test_results_have_the_numbers_of_the_data_set(found_things, coco, run, tmp_path):
    """And `predict` finds the same in the same images."""
    weights, evaluated = found_things
    assert {one["category_id"] for one in evaluated} <= set(CATEGORIES)
    assert {one["image_id"] for one in evaluated} == {105, 106, 107}
    for one in evaluated:
        assert one.keys() == {"image_id", "category_id", "bbox", "score", "segmentation"}
        assert one["segmentation"]["size"] == [60, 90]
        assert mask_api.decode(one["segmentation"]).shape == (60, 90)
    file = tmp_path / "predicted.json"
    answer = run("predict", "instance", coco / "val", "--weights", weights, "--accelerator", "cpu", "--coco", file)
    assert answer.status == 0, answer.err
    predicted = json.loads(file.read_text())
    assert len(predicted) == len(evaluated) > 0
    for one, other in zip(predicted, evaluated, strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])


def test_broken_images_have_no_results(found_things, coco, run, tmp_path):
    weights, _ = found_things
    images = shutil.copytree(coco / "val", tmp_path / "val")
    (images / "image_000106.png").write_bytes(b"")
    options = ["--weights", weights, "--accelerator", "cpu", "--bad-images", "skip", "--coco", tmp_path / "some.json"]
    assert run("predict", "instance", images, *options).status == 0
    assert {one["image_id"] for one in json.loads((tmp_path / "some.json").read_text())} == {105, 107}


def test_results_that_cannot_be_written(refused, weights, images, found_things, coco, tmp_path):
    """Tasks without objects have no such options; and a folder for a file."""
    assert "has no option '--results'" in refused("eval", images, *weights, "--results", tmp_path / "x.json")
    assert "has no option '--coco'" in refused("predict", images, *weights, "--coco", tmp_path / "x.json")
    own, _ = found_things
    assert refused("eval", "instance", coco, "--weights", own, *EVAL, "--results", tmp_path).startswith(
        f"{tmp_path} is a folder: give the name of a file"
    )


def test_wrong_annotations_stop_or_are_left_out(refused, run, small, coco, tmp_path):
    broken = with_bad_boxes(shutil.copytree(coco, tmp_path / "broken"))
    sentence = f"The data set {broken} has 2 degenerate boxes; the first is in "
    assert refused("train", "detect", broken, *small(), "--out", tmp_path / "run").startswith(sentence)
    skip = ["--bad-annotations", "skip"]
    answer = run("train", "detect", broken, *small(), *skip, "--out", tmp_path / "run")
    assert answer.status == 0, answer.err
    options = ["--weights", tmp_path / "run" / "best.safetensors", *EVAL]
    sentence = f"The data set {broken} has 1 degenerate box; the first is in "  # that of the split to evaluate
    assert refused("eval", "detect", broken, *options).startswith(sentence)
    answer = run("eval", "detect", broken, *options, *skip)
    assert answer.status == 0, answer.err
    assert f"1 degenerate box of {broken} is left out." in answer.out
    assert "did you mean 'skip'?" in refused("eval", "detect", broken, *options, "--bad-annotations", "skp")


def test_pascal_voc_is_measured_as_its_devkit_does(run, refused, train_small, tmp_path):
    source = write_voc(tmp_path / "data")
    weights = train_small("detect", source, metric="voc07")
    assert "11 points" in (tmp_path / "detect" / "report.html").read_text()
    options = ["--weights", weights, *EVAL]
    answer = run("eval", "detect", source, *options)
    assert answer.status == 0, answer.err
    assert "box_AP50_11_point" in answer.out
    assert "box_AP75" not in answer.out
    answer = run("eval", "detect", source, *options, "--metric", "coco", "--results", tmp_path / "found.json")
    assert answer.status == 0, answer.err
    assert "box_AP75" in answer.out
    assert (tmp_path / "found.json").is_file()
    assert refused("eval", "detect", source, *options, "--results", tmp_path / "found.json") == (
        "The task detect has no results in COCO's format with the metric voc07: leave out --results, or add --metric "
        "coco."
    )
    assert "did you mean 'voc07'?" in refused("eval", "detect", source, *options, "--metric", "voc7")


def test_the_same_images_train_and_validate(run, small, coco, tmp_path):
    answer = run("train", "detect", coco, *small(), "--overfit", 2, "--out", tmp_path / "run")
    assert answer.status == 0, answer.err
    assert "2 images to train, 2 to validate (the first 2 to train), 2 classes" in answer.out


def overfit(run, recipe, source, folder, score):
    """The score after the first and after the last epoch of a recipe, in percent."""
    answer = run("train", "--recipe", recipe, source, "--accelerator", "cpu", "--out", folder)
    assert answer.status == 0, answer.err
    scores = [float(value) for value in re.findall(rf"^epoch .*{score} (\S+) %", answer.out, re.MULTILINE)]
    print(recipe, score, "begins at", scores[0], "and ends at", scores[-1])
    return scores[0], scores[-1]


@pytest.mark.slow
def test_people_on_real_images_are_overfitted(run, real_data, tmp_path):
    begin, end = overfit(run, "overfit_instance", real_data("penn_fudan"), tmp_path / "run", "mask_AP50")
    assert begin < 10
    assert end > 90


@pytest.mark.slow
def test_things_on_real_images_are_overfitted(run, real_data, tmp_path):
    """29 and 35 objects, most of them of a few pixels, are in two of the four images."""
    begin, end = overfit(run, "overfit_detect", real_data("coco_mini"), tmp_path / "run", "box_AP50")
    assert begin < 5
    assert end > 40


@pytest.mark.slow
def test_key_points_on_real_images_are_overfitted(run, real_data, tmp_path):
    """Six people; one of them has its second point beyond its crop, so that 5 of 6 can be found."""
    begin, end = overfit(run, "overfit_keypoints", real_data("coco_mini"), tmp_path / "run", "keypoint_AP")
    assert begin < 5
    assert end > 50
