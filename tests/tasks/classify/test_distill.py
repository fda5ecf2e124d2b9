"""Distillation: the losses against their formulas, what the teacher sees, images without labels, and whole runs."""

import copy
import math

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision

import res2net
from res2net.errors import InputError
from res2net.images import open_source
from res2net.tasks.classify.distill import (
    Teacher,
    open_teacher,
    seen_by_teacher,
    soft_label_loss,
    soft_losses,
)
from res2net.tasks.classify.labels import NO_LABEL, assumed_class_names
from res2net.tasks.classify.options import ClassifyOptions
from res2net.weights import Preprocessing

SHAPES = "shapes:16,8"
NAMES = list(open_source(SHAPES).class_names)
TINY = "res2net20_26w_4s_tiny"


def softmax(row, temperature):
    values = [math.exp(value / temperature) for value in row]
    return [value / sum(values) for value in values]


def divergence(p, q):
    """KL(p || q)."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def naive_loss(student, teacher, kind, temperature):
    """The mean over images, in plain Python, from the formulas."""
    total = 0.0
    for one, other in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = softmax(one, temperature), softmax(other, temperature)
        mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        total += {
            "kl": divergence(p, q),
            "js": (divergence(p, mean) + divergence(q, mean)) / 2,
            "jeffreys": (divergence(p, q) + divergence(q, p)) / 2,
        }[kind]
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("kind", ["js", "kl", "jeffreys"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_loss_is_that_of_the_formula(kind, temperature):
    student, teacher = torch.randn(2, 20, 6) * 3
    loss = soft_label_loss(student, teacher, kind, temperature)
    assert float(loss) == pytest.approx(naive_loss(student, teacher, kind, temperature), rel=1e-5)
    assert float(soft_label_loss(teacher, teacher, kind, temperature)) == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_symmetric_and_bounded_but_not_that_of_hinton():
    certain, other = torch.tensor([[90.0, 0, 0]]), torch.tensor([[0.0, 0, 90]])
    assert float(soft_label_loss(certain, other, "js")) == pytest.approx(math.log(2))  # the most that there is
    one, two = torch.randn(2, 7, 5)
    for kind, symmetric in (("js", True), ("jeffreys", True), ("kl", False)):
        there, back = (float(soft_label_loss(*pair, kind, 2.0)) for pair in ((one, two), (two, one)))
        assert (abs(there - back) < 1e-6) == symmetric
    assert soft_label_loss(one.bfloat16(), two.bfloat16(), "js").dtype == torch.float32


@pytest.mark.parametrize(("kind", "share"), [("kl", 1.0), ("jeffreys", 1.0), ("js", 0.25)])
def test_the_gradient_at_a_high_temperature_is_the_difference_of_the_logits(kind, share):
    """Hinton et al., eq. 4: of logits with mean zero it is (z - v) / K, whatever the temperature, by its square."""
    student, teacher = torch.randn(2, 4, 5).double()
    student, teacher = (one - one.mean(1, keepdim=True) for one in (student, teacher))
    student.requires_grad_()
    soft_label_loss(student, teacher, kind, 1000.0).backward()
    wanted = share * (student - teacher) / 5 / 4
    torch.testing.assert_close(student.grad, wanted.detach(), rtol=0.02, atol=1e-4)


def options(**chosen):
    return ClassifyOptions(teacher="somebody", **chosen)


def test_the_rest_of_the_loss_is_cross_entropy_of_the_images_with_labels():
    logits, soft = torch.randn(2, 6, 4)
    labels = torch.tensor([0, NO_LABEL, 3, 2, NO_LABEL, 1])
    known = torch.tensor([0, 2, 3, 5])
    weights = torch.tensor([1.0, 2, 3, 4])
    chosen = options(distill="kl", temperature=3.0, distill_weight=0.7, label_smoothing=0.1)
    losses = soft_losses(logits, soft, labels, chosen, weights)
    torch.testing.assert_close(losses["soft_labels"], 0.7 * soft_label_loss(logits, soft, "kl", 3.0))
    wanted = F.cross_entropy(logits[known], labels[known], weights, label_smoothing=0.1)
    torch.testing.assert_close(losses["cross_entropy"], 0.3 * wanted)
    without = soft_losses(logits, soft, torch.full((6,), NO_LABEL), chosen, weights)
    assert list(without) == ["soft_labels"]
    torch.testing.assert_close(without["soft_labels"], losses["soft_labels"])
    alone = soft_losses(logits, soft, labels, options(), None)
    torch.testing.assert_close(alone, {"soft_labels": soft_label_loss(logits, soft, "js")})


def test_of_mixed_images_only_those_of_two_labels_count():
    logits, soft = torch.randn(2, 3, 4)
    # The fifth column is the share of images without a label.
    labels = torch.tensor([[0.3, 0.7, 0, 0, 0], [0, 0.6, 0, 0, 0.4], [0, 0, 0, 0, 1.0]])
    losses = soft_losses(logits, soft, labels, options(distill_weight=0.5), None)
    torch.testing.assert_close(losses["cross_entropy"], 0.5 * F.cross_entropy(logits[:1], labels[:1, :4]))


class Pixels(torch.nn.Module):
    """Logits that are the first values of each image, times a weight."""

    def __init__(self, classes, factor=1.0):
        super().__init__()
        self.classes, self.factor = classes, torch.nn.Parameter(torch.tensor(factor))
        self.seen = []

    def forward(self, images):
        self.seen.append((images.detach().clone(), self.training, torch.is_grad_enabled()))
        return images.flatten(1)[:, : self.classes] * self.factor


def pixels_teacher(names=NAMES, preprocessing=None, **known):
    return Teacher("pixels", Pixels(len(names)), preprocessing or Preprocessing(size=8), names, **known)


def student(echo, teacher, **chosen):
    task = echo(len(NAMES), teacher="pixels", **chosen)
    task.teacher = teacher
    return task


@pytest.mark.parametrize("chosen", [{}, {"mixup": 0.5}, {"cutmix": 1.0}])
def test_the_teacher_sees_what_the_student_sees_and_learns_nothing(echo, chosen):
    teacher = pixels_teacher()
    task = student(echo, teacher, distill_weight=0.5, **chosen)
    task.model.scale = torch.nn.Parameter(torch.tensor(2.0))
    seen = []
    task.model.forward = lambda images: seen.append(images) or images.flatten(1)[:, : len(NAMES)] * task.model.scale
    images = torch.randn(12, 3, 8, 8)
    torch.manual_seed(2)  # with which CutMix cuts something out
    torch.stack(list(task.losses(images, {"label": torch.arange(12) % 8}).values())).sum().backward()
    ((shown, training, with_gradient),) = teacher.model.seen
    assert torch.equal(shown, seen[0])
    assert torch.equal(shown, images) == (not chosen)
    assert not training
    assert not with_gradient
    assert task.model.scale.grad.abs() > 0
    assert teacher.model.factor.grad is None
    assert not teacher.model.factor.requires_grad
    # It is neither optimised nor saved, nor copied with an average of the weights.
    assert not any(one is teacher.model.factor for one in task.parameters())
    assert set(task.state_dict()) == {"model.scale"}
    assert copy.deepcopy(task).teacher is teacher


def test_mixed_images_without_labels(echo):
    """Mixup and CutMix blend each image with the one before it, so that every other pair has a label to learn."""
    task = student(echo, pixels_teacher(), distill_weight=0.5, mixup=1.0, unlabelled="folder")
    labels = torch.tensor([3, NO_LABEL, NO_LABEL, 5, 2, 1])
    images = torch.randn(6, 3, 8, 8)
    torch.manual_seed(3)
    losses = task.losses(images, {"label": labels})
    torch.manual_seed(3)
    mixed, _ = task.mix(images, torch.zeros(6, dtype=torch.long))
    share = float((mixed[0] - images[5]).mean() / (images[0] - images[5]).mean())
    torch.testing.assert_close(mixed, share * images + (1 - share) * images.roll(1, 0))
    one_hot = F.one_hot(labels.clamp(min=0), len(NAMES)).float()
    soft = share * one_hot + (1 - share) * one_hot.roll(1, 0)
    pairs = torch.tensor([0, 4, 5])  # with the last, the fourth and the fifth
    torch.testing.assert_close(losses["cross_entropy"], 0.5 * F.cross_entropy(task(mixed)[pairs], soft[pairs]))


def test_the_teacher_has_its_own_normalisation_and_size():
    pixels = torch.rand(2, 3, 12, 12)
    given, wanted = Preprocessing(size=12), Preprocessing(size=6, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (given.mean, given.std))
    seen = seen_by_teacher((pixels - mean) / std, given, wanted)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (wanted.mean, wanted.std))
    small = torchvision.transforms.v2.functional.resize(pixels, [6, 6], antialias=True)
    torch.testing.assert_close(seen, (small - mean) / std)
    images = torch.randn(2, 3, 12, 12)
    assert seen_by_teacher(images, given, Preprocessing(size=12, crop=0.5)) is images


@pytest.mark.parametrize(("given", "wanted"), [(1, 3), (3, 1)])
def test_grey_and_colour(given, wanted):
    plain = [Preprocessing(size=8, mean=(0.0,) * count, std=(1.0,) * count) for count in (given, wanted)]
    images = torch.rand(2, given, 8, 8)
    seen = seen_by_teacher(images, *plain)
    grey = images.expand(-1, 3, -1, -1) if given == 1 else torchvision.transforms.v2.functional.rgb_to_grayscale(images)
    torch.testing.assert_close(seen, grey)
    teacher = pixels_teacher(preprocessing=plain[1])
    teacher.check_channels(plain[0])
    with pytest.raises(InputError, match=f"sees {wanted} channels and the network 4: .*--in-channels {wanted}"):
        teacher.check_channels(Preprocessing(mean=(0.5,) * 4, std=(0.2,) * 4))


def test_classes_are_compared_by_name_where_they_are_known():
    images = torch.randn(2, 3, 8, 8)
    logits = images.flatten(1)
    same = pixels_teacher(["a", "b", "c"])
    assert same.use_classes(["a", "b", "c"], "data") == ""
    assert torch.equal(same(images, same.preprocessing), logits[:, :3])
    for known in (True, False):
        other = pixels_teacher(["a", "b", "c"], names_are_known=known)
        assert other.use_classes(["c", "a", "b"], "data") == ""
        assert torch.equal(other(images, other.preprocessing), logits[:, [2, 0, 1]])
    more = pixels_teacher(["a", "b", "c", "d"])
    assert more.use_classes(["d", "b"], "data") == "The teacher knows 2 classes more than data, which are left out."
    assert torch.equal(more(images, more.preprocessing), logits[:, [3, 1]])


@pytest.mark.parametrize(
    ("own", "names", "known"),
    [
        (["a", "b"], ["a", "c"], True),
        (["a", "b", "c"], ["x", "y"], False),
        (["a", "b", "c"], ["b", "a", "x"], False),  # by number, "b" would be "a"
        (["a", "b", "a"], ["b", "a", "x"], False),
    ],
)
def test_a_teacher_of_other_classes(own, names, known):
    with pytest.raises(InputError, match=r"pixels knows \d classes \(a, b.*\), and data has \d .*: choose one"):
        pixels_teacher(own, names_are_known=known).use_classes(names, "data")


def test_classes_without_known_names_are_those_of_the_data_in_order():
    teacher = pixels_teacher(assumed_class_names(3), names_are_known=False)
    assert "in the same order: x is 'class 0', z is 'class 2'" in teacher.use_classes(["x", "y", "z"], "data")
    imagenet = assumed_class_names(1000)
    wordnet = ["tench", "n01443537", *imagenet[2:]]
    assert "tench is 'tench'" in pixels_teacher(imagenet, names_are_known=False).use_classes(wordnet, "ImageNet")


def test_checkpoints_of_ours_teach(trained):
    before = torch.get_rng_state()
    teacher = open_teacher(str(trained))
    assert torch.equal(torch.get_rng_state(), before)  # the student begins as without a teacher
    assert (teacher.class_names, teacher.preprocessing.size, teacher.names_are_known) == (NAMES, 64, True)
    task, images = res2net.load(trained).task, torch.randn(2, 3, 64, 64)
    assert torch.equal(teacher(images, task.preprocessing), task(images))
    named = open_teacher(f"{TINY}:{trained}")
    assert named.digest == teacher.digest


@pytest.mark.parametrize(
    ("name", "classes"),
    [("timm:test_resnet", 6), ("torchvision:squeezenet1_1", 1000), ("torchvision:shufflenet_v2_x0_5", 5)],
)
def test_models_of_other_libraries_teach_with_the_weights_of_a_file(tmp_path, name, classes):
    library, _, wanted = name.partition(":")
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    model = make(wanted, num_classes=classes).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "own.pth")
    teacher = open_teacher(f"{name}:{tmp_path / 'own.pth'}")
    assert teacher.class_names == assumed_class_names(classes)
    assert not teacher.names_are_known
    images = torch.randn(2, 3, teacher.preprocessing.size, teacher.preprocessing.size)
    assert torch.equal(teacher(images, teacher.preprocessing), model(images))
    if library == "timm":
        config = timm.data.resolve_model_data_config(model)
        assert (teacher.preprocessing.mean, teacher.preprocessing.size) == (config["mean"], config["input_size"][-1])
    else:
        assert teacher.preprocessing == Preprocessing()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs/gone/best.safetensors", "The teacher runs/gone/best.safetensors cannot be opened. There is no file"),
        ("nobody", "There is no teacher 'nobody': give the folder of a run"),
        (TINY, f"There is no teacher '{TINY}': give"),
        (f"{TINY}:in1k", "cannot be opened. "),
        ("nonet50:in1k", "cannot be opened. "),
        ("timm:resnet5", "timm has no model 'resnet5': did you mean '"),
        ("torchvision:fcn_resnet50", "torchvision has no model 'fcn_resnet50': "),
        (
            "torchvision:resnet18",
            "The weights of torchvision:resnet18 cannot be had (no network): give those of a file",
        ),
    ],
)
def test_a_teacher_that_is_not_there(name, text, monkeypatch, tmp_path):
    def fail(*_arguments, **_options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError) as error:
        open_teacher(name)
    assert text in str(error.value)
    assert "?." not in str(error.value)


def test_files_that_do_not_fit(tmp_path, trained):
    with pytest.raises(InputError, match=r"does not hold the weights of test_resnet \(.*\): give another file"):
        open_teacher(f"timm:test_resnet:{trained}")


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({"unlabelled": "folder"}, "--unlabelled folder needs a teacher"),
        ({"distill_weight": 0.5}, "--distill-weight 0.5 needs a teacher"),
        ({"distill": "kl"}, "--distill kl needs a teacher"),
        ({"temperature": 2.0}, "--temperature 2.0 needs a teacher"),
        ({"teacher": "a", "distill_weight": 0.0}, "distill weight 0.0 is out of range"),
        ({"teacher": "a", "distill": "mse"}, "mse"),
    ],
)
def test_options_that_need_a_teacher(chosen, text):
    with pytest.raises(InputError, match=text):
        ClassifyOptions(**chosen)
