"""Join Penn-Fudan and a part of COCO into one data set of people, on which the shipped weights are trained.

    python benchmarks/people.py PATH/TO/penn_fudan PATH/TO/coco people

writes `people` in COCO's layout: `train2017`, `val2017` and `annotations`. Every fifth image of Penn-Fudan, in order
of their names, is for validation, the others for training; images of COCO keep their split, and are those of
`people_of_coco.json`, 80 and 79, whether the folder has these or all of COCO 2017. Objects that are no people are left
out unless `--every-class` is given; images without people stay, since a detector must stay silent on them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

EVERY = 5
"""Each so many images of Penn-Fudan, one is for validation."""
FIRST = 1_000_000
"""Identities of images and objects of Penn-Fudan count from here; COCO's images have lower ones."""
PERSON = 1
"""COCO's category of people."""


def main(words: Sequence[str] | None = None) -> None:
    """Write the joined data set; `words` are the arguments, by default those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("penn", type=Path, help="the folder with `Images` (or `PNGImages`) and `PedMasks`")
    parser.add_argument("coco", type=Path, help="the folder with `train2017`, `val2017` and `annotations`")
    parser.add_argument("out", type=Path, help="the folder to write, which must not exist")
    parser.add_argument("--every-class", action="store_true", help="keep objects of COCO that are no people")
    chosen = parser.parse_args(words)
    for split in ("train2017", "val2017"):
        (chosen.out / split).mkdir(parents=True)
        sets = [coco_split(chosen.coco, split, every_class=chosen.every_class), penn_split(chosen.penn, split)]
        for files, _ in sets:
            for file, name in files:
                shutil.copyfile(file, chosen.out / split / name)
        write(chosen.out / "annotations" / f"instances_{split}.json", *(content for _, content in sets))
        write(
            chosen.out / "annotations" / f"person_keypoints_{split}.json", read(chosen.coco, "person_keypoints", split)
        )


def read(root: Path, kind: str, split: str) -> dict[str, Any]:
    """COCO's annotations of a split, of the images that are taken."""
    kept = set(json.loads(Path(__file__).with_name("people_of_coco.json").read_text())[split])
    content = json.loads((root / "annotations" / f"{kind}_{split}.json").read_text())
    content["images"] = [one for one in content["images"] if one["id"] in kept]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    return content


def coco_split(root: Path, split: str, *, every_class: bool) -> tuple[list[tuple[Path, str]], dict[str, Any]]:
    """The files of a split of COCO with their new names, and its annotations."""
    content = read(root, "instances", split)
    if not every_class:
        content["annotations"] = [one for one in content["annotations"] if one["category_id"] == PERSON]
        content["categories"] = [one for one in content["categories"] if one["id"] == PERSON]
    names = [image["file_name"] for image in content["images"]]
    return [(root / split / name, name) for name in names], content


def penn_split(root: Path, split: str) -> tuple[list[tuple[Path, str]], dict[str, Any]]:
    """The files of one of the two splits of Penn-Fudan with their names, and annotations as of COCO."""
    folder = next(root / name for name in ("PNGImages", "Images") if (root / name).is_dir())
    files, images, annotations = [], [], []
    for index, file in enumerate(sorted(folder.iterdir())):
        if (index % EVERY == EVERY - 1) != (split == "val2017"):
            continue
        numbers = np.asarray(Image.open(root / "PedMasks" / f"{file.stem}_mask.png"))
        height, width = numbers.shape
        image = FIRST + index
        files.append((file, file.name))
        images.append({"id": image, "file_name": file.name, "width": width, "height": height})
        for number in np.unique(numbers[numbers > 0]).tolist():
            mask = numbers == number
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = int(columns[0]), int(rows[0])
            annotations.append(
                {
                    "id": image * 100 + number,
                    "image_id": image,
                    "category_id": PERSON,
                    "iscrowd": 0,
                    "area": int(mask.sum()),
                    "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                    "segmentation": {"size": [height, width], "counts": run_lengths(mask)},
                }
            )
    return files, {"images": images, "annotations": annotations}


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's run lengths of a mask `(H, W)`: of zeros first, down the columns."""
    flat = mask.T.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff([0, *starts, flat.size]).tolist()


def write(path: Path, first: dict[str, Any], *others: dict[str, Any]) -> None:
    """Write annotations, those of others added to those of the first."""
    joined = {
        name: [*first[name], *(one for other in others for one in other[name])] for name in ("images", "annotations")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"categories": first["categories"], **joined}))


if __name__ == "__main__":
    main()
