"""A tiny data set in COCO's format, and the options of a detector that is trained on it in a moment."""

import json

import numpy as np
from PIL import Image

CATEGORIES = {3: "disc", 7: "square"}

SMALL = {
    "--fpn-channels": "8",
    "--head-channels": "16",
    "--detections": "5",
    "--proposals-train": "20",
    "--proposals": "10",
    "--rois-per-image": "8",
    "--max-size": "96",
}


def write_coco(root, splits=(("train", 4), ("val", 3)), width=90, height=60, points=()):
    """Bright things on dark images; the names of the images end in their ids, and categories have gaps.

    With `points`, names of corners, they are people's keypoints.
    """
    random = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    number = 100
    for split, count in splits:
        (root / split).mkdir()
        images, annotations = [], []
        for _ in range(count):
            number += 1
            pixels = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
            for place, category in enumerate(CATEGORIES):
                x, y, side = 5 + 40 * place, int(random.integers(5, 25)), int(random.integers(15, 30))
                pixels[y : y + side, x : x + side, place] += 150
                corners = [x, y, x + side, y, x + side, y + side, x, y + side]
                annotations.append(
                    {"id": len(annotations) + 1 + 100 * number, "image_id": number, "category_id": category}
                    | {"bbox": [x, y, side, side], "area": side * side, "iscrowd": 0, "segmentation": [corners]}
                )
                if points:
                    places = zip(corners[::2], corners[1::2], points, strict=False)
                    annotations[-1]["keypoints"] = [number for x, y, _ in places for number in (x, y, 2)]
                    annotations[-1]["num_keypoints"] = len(points)
            images.append({"id": number, "file_name": f"image_{number:06d}.png", "width": width, "height": height})
            Image.fromarray(pixels).save(root / split / images[-1]["file_name"])
        more = {"keypoints": list(points), "skeleton": []} if points else {}
        categories = [{"id": one, "name": name} | more for one, name in CATEGORIES.items()]
        content = {"images": images, "annotations": annotations, "categories": categories}
        kind = "person_keypoints" if points else "instances"
        (root / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content))
    return root


def with_bad_boxes(root):
    """The first object of each split gets a box without an area."""
    for path in sorted((root / "annotations").glob("*.json")):
        content = json.loads(path.read_text())
        content["annotations"][0]["bbox"][2] = 0
        path.write_text(json.dumps(content))
    return root


def write_voc(root):
    """The same as `write_coco`, in the format of PASCAL VOC; one of the two things of each image is difficult."""
    write_coco(root / "coco")
    year = root / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / folder).mkdir(parents=True)
    for split in ("train", "val"):
        content = json.loads((root / "coco" / "annotations" / f"instances_{split}.json").read_text())
        names = []
        for image in content["images"]:
            name = image["file_name"].removesuffix(".png")
            names.append(name)
            (root / "coco" / split / image["file_name"]).rename(year / "JPEGImages" / image["file_name"])
            things = ""
            for one in content["annotations"]:
                if one["image_id"] == image["id"]:
                    x, y, width, height = one["bbox"]
                    edges = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
                    box = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges.items())
                    said = f"<name>{CATEGORIES[one['category_id']]}</name><difficult>{int(x > 40)}</difficult>"
                    things += f"<object>{said}<bndbox>{box}</bndbox></object>"
            size = f"<size><width>{image['width']}</width><height>{image['height']}</height></size>"
            (year / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{things}</annotation>")
        (year / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names))
    return year
