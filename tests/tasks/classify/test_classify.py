"""Classification: losses, predictions, metrics and images, against what can be computed by hand."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from res2net import create_model
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import open_source
from res2net.report import Report, confusion_matrix
from res2net.task.base import Evaluation
from res2net.tasks.classify.labels import assumed_class_names
from res2net.tasks.classify.report import SIZES, accuracy_by_size, class_matrix, count_by_size
from res2net.tasks.classify.task import Classify, ClassifyOptions, ClassScores
from res2net.weights import Preprocessing


def images(logits):
    """Images whose first numbers are these logits."""
    images = torch.zeros(len(logits), 3, 8, 8)
    images.view(len(logits), -1)[:, : logits.shape[1]] = logits
    return images


def naive_cross_entropy(logits, probabilities):
    """The mean over images of -sum p log softmax, in plain Python."""
    total = 0.0
    for row, wanted in zip(logits.tolist(), probabilities.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        total -= sum(p * (value - normaliser) for p, value in zip(wanted, row, strict=True))
    return total / len(logits)


@pytest.fixture
def sample():
    torch.manual_seed(0)
    return torch.randn(50, 8) * 2, torch.randint(8, (50,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_cross_entropy_of_smoothed_labels(echo, sample, smoothing):
    logits, labels = sample
    losses = echo(label_smoothing=smoothing).losses(images(logits), {"label": labels})
    assert losses.keys() == {"loss"}
    torch.testing.assert_close(losses["loss"], F.cross_entropy(logits, labels, label_smoothing=smoothing))
    smoothed = (1 - smoothing) * F.one_hot(labels, 8) + smoothing / 8
    assert float(losses["loss"]) == pytest.approx(naive_cross_entropy(logits, smoothed), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_images_is_that_of_mixed_labels(echo, sample, smoothing):
    """Mixup blends each image with the one before it, `share` of the former (Zhang et al., 2018, eq. 1)."""
    logits, labels = sample
    task = echo(mixup=1.0, label_smoothing=smoothing)
    torch.manual_seed(7)
    loss = task.losses(images(logits), {"label": labels})["loss"]
    torch.manual_seed(7)
    mixed, soft = task.mix(images(logits), labels)
    one_hot = F.one_hot(labels, 8).float()
    # What share was drawn, read from an image whose neighbour has another class.
    place = next(i for i in range(1, 50) if labels[i] != labels[i - 1])
    share = float(soft[place, labels[place]])
    assert 0 < share < 1
    torch.testing.assert_close(soft, share * one_hot + (1 - share) * one_hot.roll(1, 0))
    torch.testing.assert_close(task(mixed), share * logits + (1 - share) * logits.roll(1, 0))
    wanted = (1 - smoothing) * soft + smoothing / 8
    assert float(loss) == pytest.approx(naive_cross_entropy(task(mixed), wanted), rel=1e-5)


def test_cutmix_weighs_labels_by_area(echo):
    """Images of one value each: the share of a label is the share of pixels that show its image."""
    task = echo(cutmix=1.0)
    labels = torch.arange(8)
    torch.manual_seed(3)
    mixed, soft = task.mix(labels.view(8, 1, 1, 1).expand(8, 3, 32, 32).float(), labels)
    assert soft.shape == (8, 8)
    own = (mixed[:, 0] == labels.view(8, 1, 1)).float().mean((1, 2))
    assert 0 < float(own[0]) < 1
    torch.testing.assert_close(soft.diagonal(), own)
    torch.testing.assert_close(soft.sum(1), torch.ones(8))


def test_validation_sees_neither_mixing_nor_smoothing(echo, sample):
    logits, labels = sample
    task = echo(mixup=1.0, cutmix=1.0, label_smoothing=0.3)
    size = torch.rand(50)
    found = task.validate(images(logits), {"label": labels, "size": size}, task.metric())
    assert found.keys() == {"loss", "label", "predicted", "probability", "size"}
    torch.testing.assert_close(found["loss"], F.cross_entropy(logits, labels, reduction="none"))
    assert torch.equal(found["label"], labels)
    assert torch.equal(found["predicted"], logits.argmax(1))
    torch.testing.assert_close(found["probability"], logits.softmax(1).amax(1))
    assert torch.equal(found["size"], size)
    assert "size" not in task.validate(images(logits), {"label": labels}, task.metric())


def test_metrics_count_images_whose_class_is_among_the_likeliest(echo, sample):
    logits, labels = sample
    task = echo()
    metric = task.metric()
    for part in (slice(0, 20), slice(20, 50)):
        task.validate(images(logits[part]), {"label": labels[part]}, metric)
    found = metric.compute()
    assert found.keys() == {"top1", "top5"}
    for rank in (1, 5):
        right = 0
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            right += sum(value > row[label] for value in row) < rank
        assert 0 < right < 50
        assert float(found[f"top{rank}"]) == pytest.approx(right / 50)


@pytest.mark.parametrize(("classes", "names"), [(2, {"top1"}), (5, {"top1"}), (6, {"top1", "top5"})])
def test_top_5_takes_more_than_five_classes(echo, classes, names):
    task = echo(classes)
    metric = task.metric()
    task.validate(images(torch.eye(classes)), {"label": torch.arange(classes)}, metric)
    found = metric.compute()
    assert found.keys() == names
    assert float(found["top1"]) == 1
    assert task.scoring.monitor in found


@pytest.mark.parametrize("classes", [2, 5, 8])
def test_a_prediction_is_the_likeliest_classes_first(echo, classes):
    torch.manual_seed(1)
    logits = torch.randn(6, classes)
    results = echo(classes).predict(images(logits))
    assert len(results) == 6
    for row, result in zip(logits, results, strict=True):
        odds = {f"class {index}": math.exp(value) for index, value in enumerate(row.tolist())}
        total = sum(odds.values())
        expected = sorted(odds, key=odds.get, reverse=True)[:5]
        assert list(result.classes) == expected
        for name, probability in zip(result.classes, result.probabilities, strict=True):
            assert probability == pytest.approx(odds[name] / total, rel=1e-5)
        assert (sum(result.probabilities) == pytest.approx(1)) is (classes <= 5)


def test_probabilities_are_computed_in_full_precision(echo):
    logits = torch.zeros(1, 8)
    assert list(echo().predict(images(logits).bfloat16())[0].probabilities) == [0.125] * 5
    logits[0, 0] = 8.0
    (first, *_), exact = echo().predict(images(logits).bfloat16())[0].probabilities, logits.softmax(1)[0, 0]
    assert first == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("train", [True, False])
def test_images_of_any_size_become_what_the_network_sees(echo, train, mode):
    options = {"rand_augment": 2, "color_jitter": 0.2, "erase": 1.0} if train else {}
    transform = echo(**options).transform(train)
    full_image = Image.fromarray(np.random.default_rng(0).integers(256, size=(30, 41), dtype=np.uint8)).convert(mode)
    image, target = transform(full_image, {"label": 3, "index": 5})
    assert image.shape == (3, 8, 8)
    assert image.dtype == torch.float32
    assert target == {"label": 3, "index": 5}
    again, _ = transform(full_image, {})
    assert torch.equal(image, again) is not train


def test_evaluation_resizes_crops_the_centre_and_normalises(echo):
    transform = echo().transform(False)
    image, _ = transform(Image.new("RGB", (100, 50), (255, 0, 51)), {})
    usual = Preprocessing()
    for channel, value in enumerate((1.0, 0.0, 0.2)):
        expected = (value - usual.mean[channel]) / usual.std[channel]
        torch.testing.assert_close(image[channel].as_subclass(torch.Tensor), torch.full((8, 8), expected))


def test_options_override_what_is_usual_for_the_data():
    source = open_source("shapes")
    assert Classify.build(tiny, source, source.preprocessing, ClassifyOptions()).augment == source.augment
    chosen = ClassifyOptions(rand_augment=2, magnitude=5, color_jitter=0.1, erase=0.2, flip=0.0, crop_area=0.5)
    augment = Classify.build(tiny, source, source.preprocessing, chosen).augment
    assert (augment.rand_augment, augment.magnitude, augment.color_jitter, augment.erase) == (2, 5, 0.1, 0.2)
    assert (augment.flip, augment.scale, augment.pad) == (0.0, (0.5, 1.0), None)


def tiny(**options):
    return create_model("resnet20_tiny", **options)


def test_a_task_takes_the_classes_of_its_source():
    source = open_source("shapes")
    task = Classify.build(tiny, source, source.preprocessing, ClassifyOptions())
    assert task.class_names == tuple(source.class_names)
    assert task(torch.randn(2, 3, 64, 64)).shape == (2, 16)


def test_a_checkpoint_holds_the_task(tmp_path):
    source = open_source("shapes")
    task = Classify.build(tiny, source, source.preprocessing, ClassifyOptions()).eval()
    config = TrainConfig("classify", "shapes", ClassifyOptions())
    save_task(tmp_path / "best.safetensors", task, {"top1": 12.5}, config)
    restored, checkpoint = restore_task(tmp_path / "best.safetensors")
    assert restored.class_names == task.class_names
    assert restored.preprocessing == task.preprocessing
    assert restored.facts == task.facts == {"class_names": list(source.class_names)}
    assert checkpoint.metadata["metrics"] == {"top1": 12.5}
    images = torch.randn(2, 3, 64, 64)
    assert [one.to_dict() for one in restored.predict(images)] == [one.to_dict() for one in task.predict(images)]


def test_a_backbone_alone_is_a_classifier_whose_class_names_are_assumed():
    task = Classify.restore("resnet20_tiny", None)
    assert task.class_names[:2] == ("tench", "goldfish")  # of ImageNet, where there are a thousand
    assert assumed_class_names(3) == ["class 0", "class 1", "class 2"]
    assert task.facts["class_names_assumed"]
    assert not task.training


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("label_smoothing", value) for value in (-0.1, 1.0, math.nan)),
        *(("mixup", value) for value in (-1.0, math.inf, math.nan)),
        *(("cutmix", value) for value in (-1.0, math.inf)),
        *(("rand_augment", -1), ("magnitude", 31), ("magnitude", -1)),
        *(("color_jitter", 1.5), ("erase", 1.01), ("flip", -0.5), ("flip", 2.0)),
        *(("crop_area", 0.0), ("crop_area", 1.1)),
    ],
)
def test_an_option_out_of_range_is_named_in_one_sentence(option, value):
    message = rf"^{option.replace('_', ' ')} {value} is out of range: give [\d.]+ to [\d.]+\.$"
    with pytest.raises(InputError, match=message):
        ClassifyOptions(**{option: value})


def test_a_model_for_other_classes_is_refused():
    with pytest.raises(InputError, match=r"^The model has 7 classes and the data 2: .*--adapt-classifier"):
        Classify(tiny(num_classes=7), Preprocessing(), ClassifyOptions(), {"class_names": ["cat", "dog"]})


def test_one_class_is_nothing_to_tell_apart():
    with pytest.raises(InputError, match="needs two classes, and there is only cat: add some"):
        Classify(tiny(num_classes=1), Preprocessing(), ClassifyOptions(), {"class_names": ["cat"]})


RESULT = ClassScores(["cat", "dog"], [0.75, 0.25])


def test_a_result_is_tabulated_as_classes_with_percentages():
    assert RESULT.rows() == [("cat", 75.0), ("dog", 25.0)]
    assert [(column.heading, column.unit) for column in RESULT.columns] == [("class", ""), ("probability", "%")]


def test_a_result_as_json(tmp_path):
    wanted = {"classes": [{"class": "cat", "probability": 0.75}, {"class": "dog", "probability": 0.25}]}
    assert RESULT.to_dict() == wanted
    assert RESULT.save(tmp_path / "found.one") == [tmp_path / "found.one.json"]
    assert json.loads((tmp_path / "found.one.json").read_text()) == wanted


def test_the_ground_truth_is_the_class_without_a_probability(echo):
    truth = echo().truth(None, {"label": 3})
    assert (list(truth.classes), list(truth.probabilities)) == (["class 3"], [])
    assert truth.panel(Image.new("RGB", (64, 64))).height > 64


def test_drawing_puts_the_classes_below_the_image():
    drawn = RESULT.draw(Image.new("RGB", (64, 64), "red"))
    pixels = np.asarray(drawn)
    red = np.flatnonzero((pixels == (255, 0, 0)).all(2).any(1))
    assert len(red) > 0.8 * drawn.height
    below = pixels[red[-1] + 1 :]
    assert (below.max(2) < 100).any()  # ink of the text


def evaluation(records):
    return Evaluation({}, {name: torch.as_tensor(values) for name, values in records.items()})


def test_accuracy_by_size_counts_each_group():
    random = np.random.default_rng(0)
    # The borders themselves are among the sizes: the lower one belongs to its group, the last to the last.
    sizes = np.concatenate([random.uniform(SIZES[0], SIZES[-1], 200), SIZES])
    label, predicted = random.integers(3, size=(2, len(sizes)))
    found = evaluation({"size": sizes, "label": label, "predicted": predicted})
    right, count = [0] * 5, [0] * 5
    for size, wanted, got in zip(sizes, label, predicted, strict=True):
        group = max(number for number in range(5) if size >= SIZES[number])
        count[group] += 1
        right[group] += wanted == got
    assert count_by_size(found) == count
    assert sum(count) == len(sizes)
    assert accuracy_by_size(found) == pytest.approx([100 * r / n for r, n in zip(right, count, strict=True)], rel=1e-5)


def test_a_group_without_images_has_no_accuracy():
    found = evaluation({"size": [0.07, 0.08, 0.5], "label": [1, 1, 1], "predicted": [1, 0, 1]})
    assert count_by_size(found) == [2, 0, 0, 0, 1]
    assert accuracy_by_size(found) == pytest.approx([50, math.nan, math.nan, math.nan, 100], nan_ok=True)


class Source:
    """Images that tell their number by their colour."""

    class_names = ("class 0", "class 1", "class 2", "class 3")

    def __init__(self, length):
        self.val = [(Image.new("RGB", (32, 32), (number, 0, 0)), {}) for number in range(length)]


def test_the_report_shows_confusions_classes_and_the_hardest_images(echo):
    random = np.random.default_rng(0)
    label, predicted = random.integers(3, size=(2, 40))  # the fourth class has no images
    loss = random.permutation(40).astype(np.float32)
    index = random.permutation(40)
    records = {"loss": loss, "label": label, "predicted": predicted, "probability": np.full(40, 0.25), "index": index}
    shown = {}

    class KeepingReport(Report):
        def add_figure(self, figure, caption):
            shown["figure"] = figure.axes[0].images[0].get_array()
            super().add_figure(figure, caption)

        def add_table(self, table):
            shown["rows"] = table.rows
            super().add_table(table)

        def add_images(self, images, captions, caption):
            shown["images"], shown["captions"] = [image.getpixel((0, 0))[0] for image in images], captions
            super().add_images(images, captions, caption)

    report = KeepingReport("title")
    echo(4).write_report(report, evaluation(records), Source(40))

    matrix = np.zeros((4, 4), int)
    for wanted, got in zip(label, predicted, strict=True):
        matrix[wanted, got] += 1
    assert class_matrix(evaluation(records), 4).tolist() == matrix.tolist()
    names = [f"class {index}" for index in range(4)]
    expected = confusion_matrix(torch.from_numpy(matrix), names).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown["figure"], expected)
    rows = [(f"class {c}", matrix[c].sum(), 100 * matrix[c, c] / matrix[c].sum()) for c in range(3)]
    assert [row[0] for row in shown["rows"]] == [row[0] for row in sorted(rows, key=lambda row: row[2])]
    for name, count, share in rows:
        assert (name, count, pytest.approx(share)) in shown["rows"]
    hardest = np.argsort(-loss)[:24]
    assert shown["images"] == index[hardest].tolist()
    first = hardest[0]
    assert shown["captions"][0] == f"class {label[first]}\ntaken for class {predicted[first]} (25 %)"
    html = report.html()
    assert [heading in html for heading in ("Confusions", "Classes", "Hardest images")] == [True] * 3
    assert "size of the object" not in html
