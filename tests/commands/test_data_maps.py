"""`res2net data check` of volumes, roads and pairs of images, and what its sheets show."""

import json

import nibabel
import numpy as np
import pytest
from data_tables import rows
from PIL import Image
from volume_sets import AFFINE, write_set

from res2net.engine.data_tools import open_parts, spread


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def write_roads(root, count=3, graphs=True):
    for index in range(count):
        for folder in ("images", "graphs"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 255, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{index}.png")
        lines = {"nodes": [[0, 20], [50, 20], [96, 20], [50, 60]], "edges": [[0, 1], [1, 2], [1, 3]]}
        (root / "graphs" / f"{index}.json").write_text(json.dumps(lines if graphs else {"nodes": [], "edges": []}))
    return root


def write_pairs(root, splits=("train", "val")):
    for number, split in enumerate(splits):
        for part in "AB":
            (root / split / part).mkdir(parents=True, exist_ok=True)
            for name in "abc":
                noise = np.random.default_rng([number, ord(name)]).integers(0, 255, (12, 20, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / split / part / f"{name}.png")
    return root


def test_volumes(check, tmp_path):
    root = write_set(tmp_path / "set", 5)
    answer = check(root, "--out", tmp_path / "sheet.png")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert found["volumes"] == ["5"]
    assert found["median voxels"] == ["12 x 22 x 20"]
    assert found["smallest spacing, mm"] == ["3 x 2 x 2"]
    assert found["cube"] == [f"{sum((8 - index) * 8 * 6 for index in range(5)):,}"]
    assert "is volumes with label maps: no problems found." in answer.out
    assert (tmp_path / "sheet.png").stat().st_size > 5000

    cut(root / "imagesTr" / "case_0.nii.gz")
    wrong = AFFINE.copy()
    wrong[0, 3] += 9
    for index, labels, affine in ((1, 7, AFFINE), (2, 1, wrong)):
        array = np.full((20, 22, 12), labels, np.uint8)
        nibabel.save(nibabel.Nifti1Image(array, affine), root / "labelsTr" / f"case_{index}.nii.gz")
    answer = check(root)
    found = rows(answer.out)
    assert answer.status == 1
    assert [found[kind][0] for kind in ("unreadable image", "bad mask", "label map elsewhere")] == ["1", "1", "1"]
    assert found["volumes"] == ["2"]
    assert "its header states another origin than its scan, 9 mm away" in answer.out


def test_volumes_of_background_alone(check, tmp_path):
    root = write_set(tmp_path / "set", 2)
    for path in (root / "labelsTr").iterdir():
        nibabel.save(nibabel.Nifti1Image(np.zeros((20, 22, 12), np.uint8), AFFINE), path)
    answer = check(root)
    assert answer.status == 1
    assert "all label maps are background alone" in answer.out


def test_roads(check, tmp_path):
    root = write_roads(tmp_path / "set")
    answer = check(root, "--out", tmp_path / "page.html")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert (found["images"], found["junctions"], found["length of roads, pixels"]) == (["3"], ["3"], ["408"])
    assert found["largest image"] == ["96 x 64"]
    assert "is images with graphs of roads: no problems found." in answer.out
    assert "2.png" in (tmp_path / "page.html").read_text()
    cut(root / "images" / "1.png")
    (root / "graphs" / "2.json").write_text("{}")
    answer = check(root)
    found = rows(answer.out)
    assert answer.status == 1
    assert (found["unreadable image"][0], found["unreadable file"][0], found["images"]) == ("1", "1", ["1"])


def test_no_road_in_any_graph(check, tmp_path):
    answer = check(write_roads(tmp_path / "set", graphs=False))
    assert answer.status == 1
    assert "there is not one road in it" in answer.out


def test_pairs(check, tmp_path):
    root = write_pairs(tmp_path / "set", ("train", "val", "other"))
    answer = check(root, "--out", tmp_path / "sheet.png")
    assert (answer.status, answer.err) == (0, "")
    found = rows(answer.out)
    assert (found["pairs"], found["20 x 12"]) == (["3", "3", "3"], ["3", "3", "3"])
    assert "A run trains on the split train and validates on val; it does not use other." in answer.out
    assert "is pairs of images: no problems found." in answer.out
    cut(root / "train" / "B" / "a.png")
    (root / "val" / "A" / "b.png").unlink()
    answer = check(root)
    found = rows(answer.out)
    assert (found["unreadable image"][0], found["missing partner"][0], found["pairs"]) == ("1", "1", ["3", "2", "2"])


def test_folders_of_classes_are_no_pairs(tmp_path):
    """Letters as classes, whose images have other names."""
    for name in "AB":
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{name}{index}.png")
    assert [part.about for part in open_parts(str(tmp_path))] != ["pairs of images"]


def test_a_truncated_image_with_a_map(check, tmp_path):
    for stem in "ab":
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{stem}.png")
        Image.fromarray(np.eye(30, 40, dtype=np.uint8) * 2).save(tmp_path / "masks" / f"{stem}.png")
    cut(tmp_path / "images" / "a.png")
    answer = check(tmp_path)
    assert answer.status == 1
    assert rows(answer.out)["unreadable image"][0] == "1"


@pytest.mark.parametrize(
    ("classes", "count", "chosen"),
    [
        ({0: [0], 1: [0], 2: [0, 1], 3: [0], 4: [2]}, 2, [2, 4]),
        ({0: [0], 1: [0], 2: [0, 1], 3: [0], 4: [2]}, 3, [0, 2, 4]),
        ({index: [] for index in range(10)}, 5, [0, 2, 4, 6, 8]),
        ({5: [1], 7: [1, 2], 9: [3, 4, 5]}, 2, [7, 9]),
        ({}, 3, []),
    ],
)
def test_a_sheet_shows_every_class(classes, count, chosen):
    assert spread(classes, count) == chosen
