"""Detectors that nobody trained as checkpoints, images for them, and whether two of them find the same."""

from dataclasses import asdict

import pytest
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

from res2net.engine.callbacks import task_metadata
from res2net.images.shapes.dataset import Shapes
from res2net.task.base import TASKS
from res2net.tasks.objects.heads.options import DetectorOptions
from res2net.weights import Preprocessing, save
from res2net.zoo import create_model

BACKBONE = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32, "num_classes": 0}
HEAD = {"levels": (2,), "fpn_channels": 32, "head_channels": 32, "proposals": 40, "detections": 15}
ANCHORS = {"retinanet": (16.0, 32.0, 64.0)}
NAMES = ("cat", "dog", "owl")


def enlarge(detector):
    """Weights far from where training starts, so that scores and boxes differ from place to place."""
    for name, parameter in detector.named_parameters():
        if name.startswith("backbone"):
            continue
        if parameter.ndim > 1:
            parameter.data.normal_()
            around = parameter.data - parameter.data.flatten(1).mean(1).reshape(-1, *[1] * (parameter.ndim - 1))
            parameter.data = around * (1.5 / around[0].numel()) ** 0.5
    for name, parameter in detector.named_parameters():
        if "cls_logits.bias" in name:
            parameter.data.zero_()
        if "final_layer" in name or "semantic.predictor" in name:
            parameter.data *= 10  # heat maps of a score, and no stuff as good as another


def checkpoint(folder, task, detector, chosen=None, names=NAMES, keypoints=None, stuff_names=(), **options):
    """The file of a detector that nobody trained.

    `chosen` are options of the task, and `options` those of its head.
    """
    torch.manual_seed(0)
    head = DetectorOptions(**HEAD, **options, anchor_sizes=ANCHORS.get(detector, (16.0, 32.0)))
    kind = TASKS[task]
    chosen = kind.Options(detector=detector, head=head, max_size=96, **(chosen or {}))
    points = None if keypoints is None else asdict(keypoints)
    facts = {"class_names": list(names), "keypoints": points, "stuff_names": list(stuff_names)}

    def create(**more):
        return create_model("res2net50_26w_4s", **{**more, **BACKBONE})

    built = kind(kind.network(create, chosen, facts), Preprocessing(size=64), chosen, facts).eval()
    enlarge(built.model)
    metadata = {"task": task, "model": "res2net50_26w_4s", "options": BACKBONE, "class_names": list(names)}
    metadata |= {"preprocessing": built.preprocessing.to_dict(), "batch_size": 2, "seed": 0, "val_fraction": 0.5}
    path = folder / f"{detector}.safetensors"
    save(path, built.model.state_dict(), metadata | task_metadata(built))
    return path


def write_scenes(folder, sizes):
    """Synthetic images of those heights and widths."""
    source = Shapes(len(sizes), size=160, things=(2, 4), sizes=(0.2, 0.6))
    for index, (height, width) in enumerate(sizes):
        pixels = source[index][0][:, :height, :width].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def the_same(ours, theirs, count):
    """Each object of one list has its own in the other; the order of almost equal scores depends on rounding."""
    assert len(ours) == len(theirs) == count
    left = list(theirs)
    for one in ours:
        assert one.keys() == theirs[0].keys()
        alike = [other for other in left if is_equal(one, other)]
        assert alike, one
        left.remove(alike[0])


def is_equal(one, other):
    if one["label"] != other["label"] or one["score"] != pytest.approx(other["score"], abs=1e-4):
        return False
    if one["box"] != pytest.approx(other["box"], abs=0.01):
        return False
    points = [torch.tensor(which.get("keypoints", ())).view(-1, 3) for which in (one, other)]
    if (points[0] - points[1]).abs().gt(0.01).any():
        return False
    masks = [[which["mask"]] for which in (one, other) if "mask" in which]
    return not masks or coco_mask.iou(*masks, [0])[0, 0] > 0.99
