"""Detection and instance segmentation: what goes in, what is learnt, and results in the pixels of the file."""

import dataclasses

import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from res2net.backbones.registry import build
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images.loader import eval_loader
from res2net.images.samples import Transformed, collate
from res2net.images.sources import DataSource
from res2net.task.base import TASKS
from res2net.tasks.objects.heads.detector import Detector
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.weights import Preprocessing

HEAD = DetectorOptions(
    fpn_channels=16, head_channels=16, proposals=30, proposals_train=30, rois_per_image=16, anchor_sizes=(8, 16, 32, 64)
)
NAMES = ("cat", "dog", "cow")
MODEL = "res2net20_26w_4s_tiny"


class Scenes(list):
    """Images with what is on them."""

    class_names = NAMES


def scene(width, height, boxes, labels=None, **more):
    """A grey image and its objects, whose masks fill their boxes."""
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=(height, width)
        ),
        "labels": torch.tensor(labels or [0] * len(boxes), dtype=torch.int64),
        "masks": tv_tensors.Mask(masks),
    }
    return Image.new("RGB", (width, height), "grey"), target | more


SCENES = Scenes(
    [
        scene(96, 64, [(10, 10, 50, 40), (60, 20, 90, 60)], [0, 1]),
        scene(50, 120, [(5, 5, 45, 100)], [2]),
        scene(64, 64, []),
        scene(70, 40, [(30, 20, 31, 21)], [1]),  # one pixel
        scene(128, 96, [(0, 0, 128, 96), (20, 20, 60, 60)], [0, 2], crowd=torch.tensor([True, False])),
    ]
)


def source(scenes=SCENES):
    return DataSource("scenes", scenes, scenes, NAMES)


def fresh(num_classes):
    """A backbone with first weights."""
    return build(MODEL, num_classes=num_classes)


def make(name="detect", detector=None, size=64, seed=0, **options):
    """A small task with fresh weights."""
    torch.manual_seed(seed)
    kind = TASKS[name]
    chosen = {} if detector is None else {"detector": detector}
    options = kind.Options(**chosen, head=HEAD, max_size=160, **options)
    return kind.build(fresh, source(), Preprocessing(size=size), options)


class Knowing(Detector):
    """Finds what is true, which it is told."""

    def __init__(self, task, scenes):
        super().__init__()
        self.num_classes, self.scenes, self.seen = len(NAMES), scenes, 0
        self.weight = torch.nn.Parameter(torch.zeros(()))
        del task

    def set_thresholds(self, options):
        del options

    def detect(self, images, sizes):
        found = []
        for height, width in sizes:
            image, target = self.scenes[self.seen]
            self.seen += 1
            across, down = width / image.width, height / image.height
            boxes = target["boxes"].as_subclass(torch.Tensor) * torch.tensor([across, down, across, down])
            count = len(boxes)
            found.append(
                {
                    "boxes": boxes,
                    "labels": target["labels"],
                    "scores": torch.linspace(0.9, 0.8, count),
                    "masks": torch.ones(count, 28, 28),
                }
            )
        return found


def batch_of(task, train, scenes=SCENES):
    """All scenes as the network sees them."""
    samples = Transformed(scenes, task.transform(train))
    return collate([samples[index] for index in range(len(scenes)) if "crowd" not in scenes[index][1]])


@pytest.mark.parametrize("name", ["detect", "instance"])
def test_what_is_true_scores_100_percent_whatever_the_size_of_the_image(name):
    scenes = Scenes([one for one in SCENES if "crowd" not in one[1]])
    for size in (32, 64, 100):
        task = make(name, size=size)
        task.model = Knowing(task, scenes)
        loader = eval_loader(Transformed(scenes, task.transform(False)), 3)
        found = evaluate(task, loader, accelerator="cpu")
        assert found.metrics["box_AP"] == pytest.approx(100)
        if name == "instance":  # torchvision's masks are a pixel wider than their boxes: too much for a single pixel
            assert found.metrics["mask_AP50"] > 74
            assert found.metrics["mask_AP_medium"] > 80
        assert found.records["objects"].tolist() == [2, 1, 0, 1]
        assert found.records["found"].tolist() == [2, 1, 0, 1]


def test_the_metric_of_pascal_voc_leaves_out_what_is_difficult_and_what_is_a_crowd():
    """Two of three objects are found, and the third is difficult; COCO's counts it."""

    class Careless(Knowing):
        def detect(self, images, sizes):
            return [{name: value[:1] for name, value in one.items()} for one in super().detect(images, sizes)]

    none, yes = torch.tensor([False]), torch.tensor([True])
    scenes = Scenes(
        [
            scene(96, 64, [(10, 10, 50, 40), (60, 20, 90, 60)], [0, 0], difficult=torch.cat([none, yes])),
            scene(96, 64, [(5, 5, 45, 60)], [0], difficult=none),
        ]
    )
    crowded = Scenes([scene(96, 64, [(10, 10, 50, 40), (0, 0, 96, 64)], [0, 0], crowd=torch.cat([none, yes]))])
    task = make("detect", metric="voc07")
    assert task.scoring.monitor == "box_AP50_11_point"
    for seen, coco in ((scenes, 2 / 3), (crowded, 1)):
        task.model = Careless(task, seen)
        found = evaluate(task, eval_loader(Transformed(seen, task.transform(False)), 2), accelerator="cpu")
        assert found.metrics == pytest.approx({"box_AP50_11_point": 100, "box_AP50_area": 100})
        assert task.details(found).rows == [("box", pytest.approx(100), pytest.approx(100))]
        other = make("detect")
        assert other.scoring.monitor == "box_AP"
        other.model = Careless(other, seen)
        found = evaluate(other, eval_loader(Transformed(seen, task.transform(False)), 2), accelerator="cpu")
        assert found.metrics["box_AP50"] == pytest.approx(100 * coco, abs=0.7)  # recall at 101 points


def test_another_metric_can_be_chosen_for_an_evaluation():
    task = make("detect")
    task.measure_by("voc")
    assert task.scoring.monitor == "box_AP50_area"
    with pytest.raises(InputError, match="did you mean 'voc07'"):
        task.measure_by("voc7")
    assert task.options.metric == "voc"


def test_results_are_in_the_pixels_of_the_file():
    task = make("instance", size=48)
    task.model = Knowing(task, SCENES)
    images, targets = batch_of(task, False, Scenes(SCENES[:4]))
    assert len({tuple(size) for size in targets["size_now"]}) > 1
    results = task.predict(images, targets)
    for result, (image, target) in zip(results, SCENES, strict=False):
        assert len(result.boxes) == len(target["boxes"])
        listed = result.to_dict()["objects"]
        for one, box, label, mask in zip(listed, target["boxes"], target["labels"], target["masks"], strict=True):
            left, top, width, height = one["box"]
            torch.testing.assert_close(
                torch.tensor([left, top, left + width, top + height]), box.as_subclass(torch.Tensor)
            )
            assert one["label"] == NAMES[label]
            assert one["mask"]["size"] == [image.height, image.width]
            assert result.draw(image).size[0] >= image.width
            assert mask.any()


@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("detect", "faster_rcnn"),
        pytest.param("detect", "retinanet", marks=pytest.mark.slow),
        pytest.param("detect", "fcos", marks=pytest.mark.slow),
        ("instance", "mask_rcnn"),
    ],
)
def test_the_loss_falls(name, detector):
    head = dataclasses.replace(
        HEAD, fpn_channels=32, anchor_sizes=(8, 16, 32, 64, 128) if detector == "retinanet" else HEAD.anchor_sizes
    )
    torch.manual_seed(0)
    kind = TASKS[name]
    options = kind.Options(detector=detector, head=head, max_size=160, flip=0)
    task = kind.build(fresh, source(), Preprocessing(size=64), options).train()
    images, targets = batch_of(task, True)
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    totals = []
    for _ in range(20):
        total = sum(task.losses(images, targets).values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5)
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_crowds_are_not_learnt():
    task = make("instance")
    samples = Transformed(Scenes([SCENES[4]]), task.transform(True))
    _, targets = collate([samples[0]])
    (found,) = task.detector_targets(targets, torch.device("cpu"))
    assert found["labels"].tolist() == [2]
    assert len(found["boxes"]) == len(found["masks"]) == 1


@pytest.mark.parametrize(("name", "detector"), [("detect", "faster_rcnn"), ("instance", "mask_rcnn")])
def test_a_checkpoint_gives_the_same_results(tmp_path, name, detector):
    task = make(name, detector, min_sizes=(48, 64)).eval()
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "task.safetensors"
    config = TrainConfig(task_name=name, source="scenes", task=task.options)
    save_task(path, task, {}, config)
    restored, _ = restore_task(path, name=name)
    assert restored.options == task.options
    assert restored.class_names == NAMES
    images, targets = batch_of(task, False)
    with torch.inference_mode():
        expected = task.predict(images, targets)
        assert any(len(one.boxes) for one in expected)
        again = restored.predict(images, targets)
        assert [one.to_dict() for one in again] == [one.to_dict() for one in expected]
    assert restore_task(path)[0].name == name
    with pytest.raises(InputError, match=f"was trained for {name}, not for classify"):
        restore_task(path, name="classify")


def test_published_weights_are_no_detector(tmp_path):
    path = tmp_path / "backbone.safetensors"
    classify, model = TASKS["classify"], build(MODEL, num_classes=3)
    task = classify(model, Preprocessing(), classify.Options(), {"class_names": NAMES})
    save_task(path, task, {}, TrainConfig("classify", "x", classify.Options()))
    with pytest.raises(InputError, match="was trained for classify, not for detect"):
        restore_task(path, name="detect")


def test_images_without_objects_and_without_detections():
    empty = Scenes([scene(40, 60, []), scene(64, 64, [])])
    task = make("detect").train()
    images, targets = batch_of(task, True, empty)
    losses = task.losses(images, targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    nothing = make("detect", size=32)
    nothing.model = Knowing(nothing, empty)
    images, targets = batch_of(nothing, False, empty)
    results = nothing.predict(images, targets)
    assert [one.to_dict() for one in results] == [{"objects": []}] * 2
    assert results[0].rows() == []
    assert results[0].draw(empty[0][0]).size


def test_objects_are_pasted_only_in_training():
    task = make("instance", copy_paste=1.0)
    scenes = Scenes([SCENES[0], SCENES[0]])
    train, val = task.datasets(DataSource("scenes", scenes, scenes, NAMES))
    counts = {len(train[0][1]["labels"]) for _ in range(12)}
    assert max(counts) > 2
    assert len(val[0][1]["truth"]["labels"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "faster"}, "Unknown detector 'faster': did you mean 'faster_rcnn'"),
        ({"max_size": 1}, "max size 1 is out of range"),
        ({"flip": 2}, "flip 2 is out of range"),
        ({"min_sizes": (0,)}, "min sizes 0 is out of range"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        TASKS["detect"].Options(**options)


def test_scenes_of_shapes():
    scenes = TASKS["instance"].open("shapes:4,2")
    image, target = scenes.train[0]
    assert image.shape == (3, 128, 128)
    assert 1 <= len(target["boxes"]) == len(target["masks"]) <= 4
    assert len(scenes.val) == 2
