"""Boxes of a detector, or of people, for networks that look into boxes."""

import json
from pathlib import Path

import pytest

from res2net.errors import InputError
from res2net.images.samples import true_targets
from res2net.tasks.objects.data.boxes import BoxedSamples, ObjectBox, image_numbers, read_boxes

PATHS = [Path("a/000042.jpg"), Path("b/000007.jpg")]
IDS = [42, 7]


def entry(image_id=42, category=1, bbox=(2, 3, 10, 20), score=0.5, **more):
    return {"image_id": image_id, "category_id": category, "bbox": list(bbox), "score": score} | more


@pytest.fixture
def read(tmp_path):
    """A function that writes `content` and reads the boxes of people and dogs in it."""

    def call(content, min_score=0.0):
        file = tmp_path / "boxes.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_boxes(file, IDS, [1, 18], min_score, PATHS)

    return call


def test_results_go_by_number(read):
    boxes = read([entry(), entry(7, 18, score=1), entry(7, 2), entry(8), entry(42, score=0.25)])
    assert boxes == [
        [ObjectBox((2, 3, 12, 23), 0, 0.5), ObjectBox((2, 3, 12, 23), 0, 0.25)],
        [ObjectBox((2, 3, 12, 23), 1, 1.0)],
    ]


def test_weak_boxes_are_left_out(read):
    assert [len(found) for found in read([entry(), entry(score=0.4), entry(7, score=0.49)], 0.5)] == [1, 0]


def test_annotations_go_by_name_and_have_no_scores(read):
    images = [{"id": 9, "file_name": "train/000007.jpg"}, {"id": 42, "file_name": "other.jpg"}]
    entries = [entry(9), entry(9, iscrowd=1), entry(42)]
    assert read({"images": images, "annotations": entries}) == [[], [ObjectBox((2, 3, 12, 23), 0, 1.0)]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not valid JSON"),
        ("3", "has no boxes: give COCO's annotations, or a list of"),
        ({"annotations": []}, "has no boxes: give COCO's annotations"),
        ([3], "Entry 0 of .* has no image_id or no category_id"),
        ([entry(), {"image_id": 3}], "Entry 1 of .* has no image_id or no category_id"),
        ([entry(bbox=(1, 2, 0, 4))], r"Entry 0 of .* has the bbox \[1, 2, 0, 4\]: give left, top, width and height"),
        ([entry(bbox=(1, 2, 3))], "Entry 0 of .* has the bbox"),
        ([entry(bbox="ab")], "Entry 0 of .* has the bbox"),
        ([entry(score=None)], "has the score None: give a number from 0 to 1"),
        ([entry(score=50)], "has the score 50"),
        ([entry(8)], "has no box in these images: give boxes of the same images, whose image_id is the number at"),
        ([entry(category=2)], "has no box of the category 1, 18: give boxes of the classes of the data"),
        ([], "has no box of the category"),
        ({"images": [], "annotations": [entry()]}, "has no box in these images: give boxes of the same images.$"),
        ({"images": [{"id": "a"}], "annotations": []}, "An image of .* has no id that is a whole number"),
    ],
)
def test_bad_files_are_told_in_a_sentence(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "set" / folder / "1.jpg" for folder in "ab"]
    names = ["b\\1.jpg", "a/1.jpg", "c/2.jpg"]
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    entries = [entry(number, bbox=(number, 0, 5, 5)) for number in range(3)]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"images": images, "annotations": entries}))
    found = read_boxes(file, [0, 1], [1, 18], paths=paths)
    assert [[one.box[0] for one in boxes] for boxes in found] == [[1], [0]]
    file.write_text(json.dumps({"images": [{"id": 0, "file_name": "1.jpg"}], "annotations": entries[:1]}))
    with pytest.raises(InputError, match=r"have the name 1.jpg several times"):
        read_boxes(file, [0, 1], [1, 18], paths=paths)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"Cannot read the boxes .*nothing.json \(no such file or directory\)"):
        read_boxes(tmp_path / "nothing.json", IDS, [1], paths=PATHS)
    with pytest.raises(InputError, match="box score 2 is out of range"):
        read_boxes(tmp_path / "nothing.json", IDS, [1], 2, PATHS)


def test_no_box_has_the_score(read):
    with pytest.raises(InputError, match=r"has no box with a score of 0\.6 or more in these images: choose a smaller"):
        read([entry()], 0.6)


def test_detections_go_by_the_numbers_of_the_data(tmp_path):
    file = tmp_path / "found.json"
    file.write_text(json.dumps([entry(7), entry(5), entry(7, 18), entry(9, score=0.1)]))
    boxes = read_boxes(file, [7, 9, 5], [18, 1], 0.2)
    assert boxes == [
        [ObjectBox((2, 3, 12, 23), 1, 0.5), ObjectBox((2, 3, 12, 23), 0, 0.5)],
        [],
        [ObjectBox((2, 3, 12, 23), 1, 0.5)],
    ]
    with pytest.raises(InputError, match=r"no box in these images: .*, whose image_id is that of the data set.$"):
        read_boxes(file, [1], [1])
    with pytest.raises(InputError, match="box score -1 is out of range"):
        read_boxes(file, [7], [1], -1)
    file.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(InputError, match="has annotations: give COCO's results of a detector, or leave out --boxes"):
        read_boxes(file, [7], [1])


class Images:
    """Three images, which have numbers of their own or none."""

    def __init__(self, **numbers):
        self.numbers = numbers

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return f"image {index}", {name: first + index for name, first in self.numbers.items()}


def test_a_image_comes_once_for_every_box():
    one, two = ObjectBox((0, 0, 4, 5), 1, 0.5), ObjectBox((1, 2, 3, 4), 0, 0.25)
    samples = BoxedSamples(Images(image_id=50), [[one, two], [], [one]])
    assert len(samples) == 3
    image, target = samples[2]
    assert image == "image 2"
    assert target.pop("box").tolist() == [0, 0, 4, 5]
    assert target == {"label": 1, "box_score": 0.5, "image_id": 52, "index": 2, "truth": {"image_id": 52}}
    assert [samples[place][0] for place in (0, 1)] == ["image 0", "image 0"]
    assert BoxedSamples(Images(), [[], [two], []])[0][1]["image_id"] == 1


def test_numbers_and_targets_of_images():
    assert image_numbers(Images(image_id=50)) == [50, 51, 52]
    assert image_numbers(Images(other=3)) == [0, 1, 2]

    class Known(Images):
        def target(self, index):
            return {"image_id": -index}

    assert list(true_targets(Known())) == [{"image_id": 0}, {"image_id": -1}, {"image_id": -2}]
