"""Results in COCO's format."""

import json
from pathlib import Path

import pytest

from res2net.engine.coco_results import category_numbers, image_numbers, listed_results, of_categories, write_results
from res2net.errors import InputError


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["000000397133.jpg", "000000000042.jpg"], [397133, 42]),
        (["COCO_val2014_000000000042.jpg", "b/7.png"], [42, 7]),
        (["7.png", "cat.png"], [0, 1]),  # one has none
        (["a/7.png", "b/07.png"], [0, 1]),  # of the same number
        (["9" * 30 + "1.png"], [999999999999999991]),
        ([], []),
    ],
)
def test_pictures_have_the_number_of_their_name(names, numbers):
    assert image_numbers([Path(name) for name in names]) == numbers


def test_classes_have_the_numbers_of_the_data_set_or_count_from_one():
    assert category_numbers(2, [3, 90]) == [3, 90]
    assert category_numbers(2, []) == [1, 2]


def test_all_that_was_found_is_listed():
    mask = {"size": [2, 3], "counts": "06"}
    one = {"label": "b", "score": 0.5, "box": [1.0, 2.0, 3.0, 4.0], "mask": mask}
    other = {"label": "a", "score": 0.25, "box": [0.0, 0.0, 1.0, 1.0], "keypoints": [1.0, 2.0, 0.9]}
    found = listed_results([(42, [one]), (7, []), (8, [other])], ["a", "b"], [3, 90])
    assert found == [
        {"image_id": 42, "category_id": 90, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 4.0], "segmentation": mask},
        {"image_id": 8, "category_id": 3, "score": 0.25, "bbox": [0.0, 0.0, 1.0, 1.0], "keypoints": [1.0, 2.0, 0.9]},
    ]
    with pytest.raises(InputError, match="Nobody looked for the class"):
        listed_results([(1, [other | {"label": "object"}])], ["a", "b"], [3, 90])


def test_indices_become_categories(tmp_path):
    entries = of_categories([{"image_id": 1, "category_id": 1, "score": 1.0}], [3, 90])
    write_results(tmp_path / "new" / "found.json", entries)
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == [
        {"image_id": 1, "category_id": 90, "score": 1.0}
    ]
