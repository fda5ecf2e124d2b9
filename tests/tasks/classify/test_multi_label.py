"""Images with any number of labels, in a table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import res2net
from res2net.api import Model
from res2net.engine.data_tools import open_parts
from res2net.engine.restore import task_metadata
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.splits import DataSettings
from res2net.report import Report
from res2net.tasks.classify.multi_label import LabelScoring, label_metric
from res2net.tasks.classify.options import ClassifyOptions
from res2net.tasks.classify.task import Classify
from res2net.weights import Preprocessing

NAMES = ["cat", "dog", "traffic light"]
SIZE = Preprocessing(size=32, crop=1.0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(6):
        Image.effect_noise((40, 40), 20 + 30 * index).convert("RGB").save(tmp_path / "images" / f"{index}.png")
    return tmp_path


def opened(folder, text, **settings):
    (folder / "labels.csv").write_bytes(text.encode())
    return Classify.open(folder / "labels.csv", DataSettings(evaluate=True, **settings))


def labels_in(source):
    return {
        Path(source.val.paths[index]).stem: [source.class_names[one] for one in source.val[index][1]["label"].nonzero()]
        for index in range(len(source.val))
    }


EXPECTED = {"0": ["cat"], "1": ["cat", "traffic light"], "2": [], "3": ["dog"]}


@pytest.mark.parametrize(
    "text",
    [
        "file,labels\n0.png,cat\n1.png,traffic light;cat\n2.png,\n3.png,dog\n",
        "\ufefffilename;tags\r\nimages\\0.png;cat\r\n./images/1.png;cat|traffic light\r\n2.png;\r\n3.png;dog\r\n",
        '0.png,cat\n1,"cat, traffic light"\n2.png,\n3.PNG,dog\n',
        "Image Name,cat,dog,traffic light\n0.png,1,0,0\n1.png,1,0,1\n2.png,0,0,0\n3.png,0,1.0,0\n",
        "picture\tcat\tdog\ttraffic light\n0.png\t1\t\t\n1.png\tTRUE\t0\t1\n2.png\t\t\t\n3.png\t0\t1\t0\n",
    ],
)
def test_tables(folder, text):
    source = opened(folder, text)
    assert list(source.class_names) == NAMES
    assert labels_in(source) == EXPECTED


def test_a_column_of_splits(folder):
    text = "file,labels,split\n0.png,a b,train\n1.png,b,train\n2.png,a,val\n3.png,,test\n"
    (folder / "labels.csv").write_text(text)
    source = Classify.open(folder / "labels.csv")
    assert [len(source.train), len(source.val)] == [2, 1]
    assert len(opened(folder, text, split="test").val) == 1
    (folder / "labels.csv").write_text("".join(f"{index}.png,a b\n" for index in range(6)))
    whole = Classify.open(folder / "labels.csv")
    assert [len(whole.train), len(whole.val)] == [5, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,labels\n0.png,a b\n9.png,a\n", "Row 3 of .* names no file"),
        ("file,labels\n0.png,a b\n0.png,a\n", "in several rows"),
        ("file,cat,dog\n0.png,1,2\n", "Row 2 of .* has '2' in the column of a class"),
        ("file,labels\n0.png,a\n", "has 1 classes, and classification needs two"),
        ("file,a,b\n0.png,1\n", "Row 2 of .* has 2 cells and the first 3"),
        ("file\n0.png\n", "is no table of labels"),
        ("", "is no table of labels"),
    ],
)
def test_tables_with_mistakes(folder, text, sentence):
    with pytest.raises(InputError, match=sentence):
        opened(folder, text)


@pytest.fixture
def source(folder):
    rows = ("file,labels", "0.png,cat", "1.png,traffic light;cat", "2.png,", "3.png,dog;cat", "4.png,dog;traffic light")
    return opened(folder, "\n".join(rows))


@pytest.fixture
def task(source):
    torch.manual_seed(0)

    def create(**options):
        return res2net.create_model("res2net20_26w_4s_tiny", **options)

    return Classify.build(create, source, SIZE, ClassifyOptions()).eval()


def average_precision(scores, wanted):
    """The mean over the positives of the precision at their ranks."""
    order = np.argsort(-scores)
    hits = wanted[order].astype(float)
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())


def test_losses_and_metrics(task, source):
    images = torch.stack([task.transform(False)(source.val[index][0]) for index in range(5)])
    labels = torch.stack([source.val[index][1]["label"] for index in range(5)])
    with torch.no_grad():
        logits = task(images)
        loss = task.losses(images, {"label": labels})["loss"]
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels))
    model = Model(task, {}, Path("x"), "cpu")
    metrics = model.evaluate(source, batch_size=2, workers=0).metrics
    assert metrics["loss"] == pytest.approx(float(loss), rel=1e-5)
    wanted = [average_precision(logits[:, one].numpy(), labels[:, one].bool().numpy()) for one in range(3)]
    assert metrics["mAP"] == pytest.approx(100 * np.mean(wanted), rel=1e-4)
    assert task.scoring.monitor == "mAP"


def test_classes_without_an_image_do_not_count():
    metric = label_metric(3)
    scores, wanted = torch.tensor([[0.9, 0.2, 0.1], [0.8, 0.3, 0.6]]), torch.tensor([[0, 0, 1], [1, 0, 0]])
    metric.update(scores, wanted)
    assert float(metric.compute()["mAP"]) == pytest.approx(0.5)  # 1/2 and 1/2; the second class has no image
    metric.reset()
    metric.update(scores, torch.zeros_like(wanted))
    assert metric.compute()["mAP"].isnan()


def test_predictions_are_independent_probabilities(task, source):
    model = Model(task, {}, Path("x"), "cpu")
    image = source.val[0][0]
    with torch.no_grad():
        logits = task(task.transform(False)(image)[None])[0]
    (found,) = model.predict(image)
    expected = dict(zip(NAMES, logits.sigmoid().tolist(), strict=True))
    assert dict(zip(found.classes, found.probabilities, strict=True)) == pytest.approx(expected)
    (flipped,) = model.predict(image, tta="flip")
    assert sorted(flipped.classes) == NAMES
    assert list(task.truth(*source.val[1]).classes) == ["cat", "traffic light"]


def test_the_task_is_restored_and_exported_with_its_labels(task, source):
    facts = task_metadata(task)
    assert facts["multi_label"] is True
    again = Classify(task.model, SIZE, ClassifyOptions(), facts)
    assert (again.multi_label, again.scoring.monitor) == (True, "mAP")
    assert EXPORTERS["classify"](again).task is again
    report = Report("a", "b")
    task.write_report(report, Model(task, {}, Path("x"), "cpu").evaluate(source, batch_size=2, workers=0), source)


def test_what_is_for_one_label_each(task, source):
    for options in ({"mixup": 0.2}, {"balance": True}, {"class_weights": "balanced"}, {"label_smoothing": 0.1}):
        with pytest.raises(InputError, match=f"--{next(iter(options)).replace('_', '-')} applies to images with one"):
            Classify(task.model, SIZE, ClassifyOptions(**options), task.facts)
    single = Classify(task.model, SIZE, ClassifyOptions(), {"class_names": NAMES})
    with pytest.raises(InputError, match="The weights find one label for each image, and labels has others"):
        single.datasets(replace(source, train=source.val))


def test_the_check_of_a_table_counts_labels_of_each_split_and_images_it_does_not_name(folder):
    text = "file,split,cat,dog\n0.png,train,1,1\n1.png,train,0,0\n2.png,val,0,1\n3.png,test,1,0\n"
    (folder / "labels.csv").write_text(text)
    (part,) = open_parts(str(folder / "labels.csv"))
    images, classes = part.tables(None)
    assert part.faults == 0
    assert images.rows == [("train", 2, 2), ("val", 1, 2), ("test", 1, 2)]
    assert sorted(classes.rows) == [("cat", 1, 0, 1), ("dog", 1, 1, 0)]
    assert sorted(caption for _, caption in part.images(4)) == ["cat", "cat, dog", "dog", "no label"]
    assert any("does not name 2 images beside its own" in note for note in part.notes)
    assert any("trains on the split train and validates on val; it does not use test" in note for note in part.notes)


def test_the_check_of_a_table_names_images_that_cannot_be_read(folder):
    (folder / "images" / "1.png").write_bytes(b"no image")
    (folder / "labels.csv").write_text("file,labels\n0.png,cat\n1.png,dog\n")
    (part,) = open_parts(str(folder / "labels.csv"))
    assert part.faults == 1
    assert part.about == "a table of labels"


@pytest.mark.parametrize(
    ("rows", "chance", "note"),
    [
        (
            "0.png,train,0,0\n1.png,train,0,0\n2.png,val,1,0\n",
            100,
            "No training image has 2 of the 2 labels: cat, dog.",
        ),
        ("0.png,train,1,0\n1.png,train,1,0\n2.png,val,1,0\n3.png,val,0,0\n", 50, "1 of the 2 labels: dog."),
        ("0.png,train,1,1\n2.png,val,1,0\n3.png,val,1,1\n4.png,val,1,0\n5.png,val,1,0\n", 62.5, ""),
        ("0.png,train,1,1\n2.png,val,0,0\n", 0, ""),
    ],
)
def test_labels_that_cannot_be_learned_and_scores_without_learning(folder, rows, chance, note):
    (folder / "labels.csv").write_text(f"file,split,cat,dog\n{rows}")
    source = Classify.open(folder / "labels.csv")
    assert LabelScoring("mAP").chance(source) == chance
    assert note in " ".join(source.notes)
    assert bool(note) == bool(source.notes)
