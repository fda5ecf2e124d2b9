"""COCO annotations as targets, imperfect results made of them, and pycocotools' numbers of both."""

import contextlib
import io
import json
import warnings

import numpy as np
import torch
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

PERSON = [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062]
PERSON += [0.107, 0.107, 0.087, 0.087, 0.089, 0.089]


def quietly(function, *arguments):
    """What pycocotools prints, and NumPy says of it, is not of interest."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),
    ):
        return function(*arguments)


def read(path):
    """Annotations of a file; each class has the number of its place."""
    dataset = json.loads(path.read_text())
    return renumbered(dataset)


def renumbered(dataset):
    places = {category["id"]: place for place, category in enumerate(dataset["categories"])}
    for category in dataset["categories"]:
        category["id"] = places[category["id"]]
    for annotation in dataset["annotations"]:
        annotation["category_id"] = places[annotation["category_id"]]
    return dataset


def synthetic(seed=0, count=12, classes=3, points=0):
    """Random annotations of small images: polygons, crowds, images without objects and objects without points."""
    random = np.random.default_rng(seed)
    size = (120, 160)
    images, annotations = [], []
    for image_id in random.permutation(1000)[:count].tolist():
        images.append({"id": image_id, "height": size[0], "width": size[1]})
        for _ in range(int(random.integers(0, 6))):
            low, extent = random.uniform((0, 0), (100, 70)), random.uniform((3, 3), (60, 50))
            (x, y), (width, height) = low, extent
            corners = [x, y, x + width, y, x + width, y + height / 2, x, y + height]
            crowd = int(random.random() < 0.15)
            rle = mask_api.merge(mask_api.frPyObjects([corners], *size))
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": int(random.integers(classes)),
                "bbox": [x, y, width, height],
                "area": float(0.9 * mask_api.area(rle)),
                "iscrowd": crowd,
                "segmentation": {"size": list(size), "counts": rle["counts"].decode()} if crowd else [corners],
            }
            if points:
                places = random.uniform(low, low + extent, (points, 2))
                labelled = random.integers(0, 3, points) * (random.random() < 0.8)
                annotation["keypoints"] = np.column_stack([places, labelled]).flatten().tolist()
                annotation["num_keypoints"] = int((labelled > 0).sum())
            annotations.append(annotation)
    categories = [{"id": place, "name": f"class {place}"} for place in range(classes)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def targets_of(dataset):
    """A target of each image, as a data set gives them."""
    index = quietly(from_dict, dataset)
    number = max(len(one.get("keypoints", [])) // 3 for one in dataset["annotations"])
    targets = []
    for image in dataset["images"]:
        objects = index.imgToAnns[image["id"]]
        boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = [quietly(index.annToMask, one) for one in objects]
        target = {
            "image_id": image["id"],
            "labels": torch.tensor([one["category_id"] for one in objects], dtype=torch.int64),
            "boxes": boxes.float(),
            "masks": torch.from_numpy(np.stack(masks) if masks else np.zeros((0, image["height"], image["width"]))) > 0,
            "crowd": torch.tensor([one["iscrowd"] for one in objects], dtype=torch.bool),
            "area": torch.tensor([one["area"] for one in objects], dtype=torch.float32),
        }
        if number:
            points = torch.tensor([one["keypoints"] for one in objects], dtype=torch.float32)
            points = points.reshape(len(objects), number, 3)
            # The middles of the pixels that the file counts.
            target |= {"keypoints": points[..., :2] + 0.5, "visibility": points[..., 2].to(torch.uint8)}
        targets.append(target)
    return targets


def imperfect(targets, classes, seed=0, steps=20):
    """Results: moved boxes, masks and points, wrong classes, misses, doubles, inventions, equal scores."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=random)  # noqa: E731
    results = []
    for target in targets:
        count = len(target["labels"])
        kept = (draw(count) < 0.85).nonzero()[:, 0]
        kept = torch.cat([kept, kept[draw(len(kept)) < 0.3]])  # doubles
        if draw(1) < 0.1:
            kept = kept[:0]  # an image without results
        labels = target["labels"][kept].clone()
        wrong = draw(len(kept)) < 0.15
        labels[wrong] = torch.randint(classes, (int(wrong.sum()),), generator=random)
        boxes = target["boxes"][kept]
        extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        boxes = boxes + 0.12 * extent * (draw(len(kept), 4) - 0.5)
        masks = torch.stack([shifted(target["masks"][place], draw(2)) for place in kept]) if len(kept) else None
        height, width = target["masks"].shape[1:]
        result = {
            "labels": labels,
            "boxes": boxes,
            "scores": (draw(len(kept)) * steps).floor() / steps,  # many are equal
            "masks": torch.zeros(0, height, width, dtype=torch.bool) if masks is None else masks,
        }
        if "keypoints" in target:
            spread = (
                0.02 * extent[:, None, :2] * torch.randn(len(kept), target["keypoints"].shape[1], 2, generator=random)
            )
            result["keypoints"] = target["keypoints"][kept] + spread
        if not count and draw(1) < 0.8:  # something where nothing is
            corners = torch.tensor([[2.0, 3.0, 30.0, 40.0]])
            mask = torch.zeros(1, height, width, dtype=torch.bool)
            mask[:, 3:40, 2:30] = True
            invented = {
                "labels": torch.zeros(1).long(),
                "boxes": corners,
                "scores": torch.tensor([0.95]),
                "masks": mask,
            }
            if "keypoints" in target:
                invented["keypoints"] = 30 * draw(1, target["keypoints"].shape[1], 2)
            result = {name: torch.cat([result[name], invented[name]]) for name in result}
        results.append(result)
    return results


def shifted(mask, by):
    down, right = (4 * by - 2).round().int().tolist()
    return mask.roll((down, right), (0, 1))


def as_runs(masks):
    """COCO's run lengths of masks."""
    encoded = mask_api.encode(np.asfortranarray(masks.permute(1, 2, 0).numpy().astype(np.uint8))) if len(masks) else []
    return [{"size": one["size"], "counts": one["counts"].decode()} for one in encoded]


def from_dict(dataset):
    index = COCO()
    index.dataset = json.loads(json.dumps(dataset))
    index.createIndex()
    return index


def pycocotools_numbers(kind, dataset, targets, results, sigmas=None):
    """The summary of COCOeval, and the AP of each class."""
    truth = quietly(from_dict, dataset)
    found = []
    for target, result in zip(targets, results, strict=True):
        for place, (label, score) in enumerate(zip(result["labels"].tolist(), result["scores"].tolist(), strict=True)):
            one = {"image_id": target["image_id"], "category_id": label, "score": score}
            if kind == "bbox":
                left, top, right, bottom = result["boxes"][place].tolist()
                one["bbox"] = [left, top, right - left, bottom - top]
            elif kind == "segm":
                one["segmentation"] = as_runs(result["masks"][place][None])[0]
            else:
                points = torch.nn.functional.pad(result["keypoints"][place].double() - 0.5, (0, 1), value=1)
                one["keypoints"] = points.flatten().tolist()
            found.append(one)
    evaluation = COCOeval(truth, quietly(truth.loadRes, found), kind)
    if sigmas is not None:
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        quietly(step)
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_class = [precision[:, :, place] for place in range(precision.shape[2])]
    return evaluation.stats.tolist(), [part[part > -1].mean() if (part > -1).any() else -1.0 for part in by_class]
