"""COCO's panoptic format: what is written is what its description says, and comes back."""

import io

import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.tasks.objects.segments import segments_from_coco, segments_to_coco

THINGS, STUFF = [1, 44], [92, 200]


def example():
    ids = torch.zeros(6, 9, dtype=torch.int64)
    ids[1:4, 2:5] = 1
    ids[4:, :] = 700
    ids[0, 8] = 70_000
    segments = [
        {"id": 1, "label": 1, "thing": True, "score": 0.9, "area": 9},
        {"id": 700, "label": 0, "thing": False, "score": 0.8, "area": 18},
        {"id": 70_000, "label": 0, "thing": True, "score": 0.7, "area": 1, "crowd": True},
        {"id": 5, "label": 0, "thing": True, "score": 0.6, "area": 0},
    ]
    return ids, segments


def written(ids, segments):
    return segments_to_coco(ids, segments, THINGS, STUFF, image_id=3, file_name="3.png")


def test_an_id_is_a_colour():
    image, annotation = written(*example())
    assert image.mode == "RGB"
    assert image.getpixel((2, 1)) == (1, 0, 0)
    assert image.getpixel((0, 5)) == (700 - 2 * 256, 2, 0)
    assert image.getpixel((8, 0)) == (70_000 - 65_536 - 17 * 256, 17, 1)
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert annotation == {
        "image_id": 3,
        "file_name": "3.png",
        "segments_info": [
            {"id": 1, "category_id": 44, "area": 9, "bbox": [2, 1, 3, 3], "iscrowd": 0},
            {"id": 700, "category_id": 92, "area": 18, "bbox": [0, 4, 9, 2], "iscrowd": 0},
            {"id": 70_000, "category_id": 1, "area": 1, "bbox": [8, 0, 1, 1], "iscrowd": 1},
        ],
    }


def test_a_file_leads_back():
    ids, segments = example()
    image, annotation = written(ids, segments)
    file = io.BytesIO()
    image.save(file, "PNG")
    again, found = segments_from_coco(Image.open(file), annotation, THINGS, STUFF)
    assert torch.equal(again, ids)
    expected = [
        {name: one[name] for name in ("id", "label", "thing", "area")} | {"crowd": one.get("crowd", False)}
        for one in segments[:3]
    ]
    assert found == expected


def test_a_image_without_segments_is_black():
    image, annotation = written(torch.zeros(3, 4, dtype=torch.int64), [])
    assert image.getextrema() == ((0, 0),) * 3
    assert annotation["segments_info"] == []
    ids, segments = segments_from_coco(image, annotation, THINGS, STUFF)
    assert not ids.any()
    assert segments == []


def test_what_does_not_fit_is_refused():
    ids, segments = example()
    with pytest.raises(InputError, match="id 700, which is no segment's"):
        written(ids, [segments[0], segments[2]])
    with pytest.raises(InputError, match="no colour"):
        written(ids, [*segments, {"id": 256**3, "label": 0, "thing": True}])
    with pytest.raises(InputError, match="Label 2 has no category"):
        written(ids, [segments[0] | {"label": 2}, *segments[1:]])
    image, annotation = written(ids, segments)
    with pytest.raises(InputError, match="category 200"):
        segments_from_coco(image, {"segments_info": [{"id": 1, "category_id": 200}]}, THINGS, [92])
    with pytest.raises(InputError, match="id 1, which is no segment's"):
        segments_from_coco(image, {"segments_info": annotation["segments_info"][1:]}, THINGS, STUFF)
    with pytest.raises(InputError, match="mode L"):
        segments_from_coco(image.convert("L"), annotation, THINGS, STUFF)
