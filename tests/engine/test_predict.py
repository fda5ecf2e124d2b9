"""Prediction of files: one answer for each, in their order."""

import numpy as np
import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.engine.predict import predict, results_table
from res2net.errors import InputError
from res2net.images.decode import BadImage, read_image
from res2net.report import Column
from res2net.task.result import Prediction, Result
from res2net.tasks.classify.task import Classify, ClassifyOptions
from res2net.weights import Preprocessing


@pytest.fixture
def task():
    torch.manual_seed(0)
    model = create_model("res2net20_26w_4s_tiny", num_classes=3, zero_init_last=False)
    return Classify(model, Preprocessing(size=32), ClassifyOptions(), {"class_names": ["cat", "dog", "owl"]})


@pytest.fixture
def paths(tmp_path):
    """Seven images of different sizes, of which the third and the last are broken."""
    random = np.random.default_rng(0)
    found = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(found):
        pixels = random.integers(256, size=(30 + number, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels // (number + 1)).save(path)
    found[2].write_bytes(b"broken")
    found[6].write_bytes(b"")
    return found


def alone(task, path):
    """The likeliest class and its probability, by the parts of the task."""
    image, _ = task.transform(False)(read_image(path), {})
    with torch.no_grad():
        probability, index = task.eval().model(image[None].as_subclass(torch.Tensor)).softmax(1)[0].max(0)
    return task.class_names[index], float(probability)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_every_file_has_one_answer_in_order(task, paths, batch_size):
    found = list(predict(task, paths, batch_size=batch_size, bad_images="skip", accelerator="cpu"))
    assert [one.name for one in found] == [str(path) for path in paths]
    for number, (path, (_, result, reason)) in enumerate(zip(paths, found, strict=True)):
        if number in (2, 6):
            assert result is None
            assert reason == ("the file is empty" if number == 6 else reason)
            assert reason
        else:
            name, probability = alone(task, path)
            assert (result.classes[0], reason) == (name, "")
            assert result.probabilities[0] == pytest.approx(probability, rel=1e-4)
            assert result.path == path
    assert len({result.probabilities[0] for _, result, _ in found if result}) == 5  # they can be told apart


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_the_same_file_may_be_given_twice(task, paths, batch_size):
    twice = [paths[2], paths[0], paths[2], paths[2], paths[0], paths[1]]
    found = list(predict(task, twice, batch_size=batch_size, bad_images="skip", accelerator="cpu"))
    assert [one.name for one in found] == [str(path) for path in twice]
    assert [result is None for _, result, _ in found] == [True, False, True, True, False, False]
    assert [bool(reason) for _, _, reason in found] == [True, False, True, True, False, False]
    assert found[1].result.probabilities[0] == pytest.approx(found[4].result.probabilities[0], rel=1e-4)


def test_a_broken_image_stops_by_default(task, paths):
    with pytest.raises(BadImage, match=r"^Cannot read the image .*2\.png: .*\.$"):
        list(predict(task, paths, accelerator="cpu"))


def test_results_come_while_later_images_wait(task, paths):
    """So that the answers for many images need no memory, and a broken one does not cost those before it."""
    answers = predict(task, paths, batch_size=2, accelerator="cpu")
    assert [next(answers).name for _ in range(2)] == [str(path) for path in paths[:2]]
    with pytest.raises(BadImage):
        next(answers)


class Things(Result):
    """As many rows as objects, which may be none."""

    columns = (Column("thing"), Column("left", "px"), Column("top", "px"))

    def __init__(self, *things):
        self.things = things

    def rows(self):
        return [(name, *corner) for name, corner in self.things]


def test_any_task_has_its_results_in_a_table():
    found = [
        Prediction("a.png", Things(("cat", (1, 2)), ("dog", (3, 4)))),
        Prediction("b.png", Things()),
        Prediction("c.png", None, "the file is empty"),
    ]
    table = results_table(found)
    assert [column.heading for column in table.columns] == ["image", "thing", "left", "top"]
    assert table.rows == [
        ("a.png", "cat", 1, 2),
        ("", "dog", 3, 4),
        ("b.png", None, None, None),
        ("c.png", "not read", None, None),
    ]
    assert table.notes == ["c.png: the file is empty"]
    assert results_table([]).rows == []
    assert results_table([]).columns[0].heading == "image"


def test_nothing_to_predict(task):
    assert list(predict(task, [], accelerator="cpu")) == []


def test_in_bf16_the_classes_stay_close(task, paths):
    good = [path for number, path in enumerate(paths) if number not in (2, 6)]
    exact, rounded = (
        [one.result for one in predict(task, good, accelerator="cpu", precision=precision)]
        for precision in ("fp32", "bf16")
    )
    assert [one.rows() for one in exact] != [one.rows() for one in rounded]
    for one, other in zip(exact, rounded, strict=True):
        chances = [dict(zip(result.classes, result.probabilities, strict=True)) for result in (one, other)]
        assert chances[0] == pytest.approx(chances[1], abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf61"}, r"^Unknown precision 'bf61': did you mean 'bf16'\?"),
        ({"accelerator": "cpus"}, r"^Unknown accelerator 'cpus': did you mean 'cpu'\?"),
        ({"accelerator": "gpu"}, r"^This machine has no gpu that torch can use: choose --accelerator auto\.$"),
        ({"accelerator": "mps"}, r"^This machine has no mps that torch can use: choose --accelerator auto\.$"),
        ({"bad_images": "ignore"}, r"^Unknown bad_images 'ignore'"),
    ],
)
def test_what_cannot_be(task, paths, options, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        list(predict(task, paths[:1], **options))
