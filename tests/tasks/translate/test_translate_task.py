"""Image-to-image translation: what is learnt in turns, and images in the size of their files."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from res2net.backbones.registry import build
from res2net.engine.callbacks import save_task, task_metadata
from res2net.engine.config import TrainConfig
from res2net.engine.evaluate import evaluate
from res2net.engine.restore import adjust, restore_task
from res2net.errors import InputError
from res2net.export.exporter import EXPORTERS
from res2net.images.loader import eval_loader
from res2net.images.samples import Transformed, collate
from res2net.images.sources import DataSource
from res2net.report import Report
from res2net.task.base import TASKS
from res2net.tasks.pixels.exporter import FixedPixels
from res2net.tasks.translate.data import PAIR_NAMES, Backwards, unit
from res2net.tasks.translate.synthetic import ShapeMasks
from res2net.tasks.translate.task import Translate, TranslatedImage, TranslateOptions
from res2net.weights import Preprocessing

MODEL = "res2_generator_tiny"
PREPROCESSING = Preprocessing(size=32, crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)


def source(length=4):
    pairs = ShapeMasks(length, size=32)
    return DataSource("scenes", pairs, pairs, PAIR_NAMES, PREPROCESSING)


def create(num_classes):
    return build(MODEL, num_classes=num_classes)


def make(seed=0, **options):
    torch.manual_seed(seed)
    return Translate.build(create, source(), PREPROCESSING, TranslateOptions(discriminator_channels=8, **options))


def batch_of(task, train=True):
    samples = Transformed(source().train, task.transform(train))
    return collate([samples[index] for index in range(4)])


class Knowing(torch.nn.Module):
    """Gives back what it sees, in 0 ... 1."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return (images * 0.5 + 0.5).clamp(0, 1)


def test_the_losses_of_each_turn_are_their_formulas():
    task = make(l1=7.0, adversarial=2.0).eval()
    images, targets = batch_of(task)
    generator, discriminator = (turn.losses(images, targets) for turn in task.turns())
    with torch.no_grad():
        made, real = task.model(images), targets["image"]
        verdicts = {name: task.discriminator(images, one) for name, one in (("made", made), ("real", real))}
        expected = {
            "l1": 7 * (made - real).abs().mean(),
            "adversarial": 2 * (verdicts["made"] - 1).square().mean(),
            "discriminator_real": (verdicts["real"] - 1).square().mean() / 2,
            "discriminator_made": verdicts["made"].square().mean() / 2,
        }
    for name, value in {**generator, **discriminator}.items():
        torch.testing.assert_close(value.detach(), expected.pop(name))
    assert not expected


def test_a_turn_changes_what_learns_in_it_alone():
    task = make()
    images, targets = batch_of(task)
    first, second = task.turns()
    assert (first.learner, second.learner) == (task.model, task.discriminator)
    torch.stack(list(first.losses(images, targets).values())).sum().backward()
    assert all(parameter.grad is not None for parameter in first.learner.parameters())
    task.zero_grad()
    torch.stack(list(second.losses(images, targets).values())).sum().backward()
    assert all(parameter.grad is None for parameter in first.learner.parameters())
    assert all(parameter.grad is not None for parameter in second.learner.parameters())


def test_the_discriminator_learns_from_the_images_that_the_generator_learnt_from():
    """They are made once: not again by the generator after its update."""
    task = make()
    images, targets = batch_of(task)
    first, second = task.turns()
    with torch.no_grad():
        made = task.model(images)
    first.losses(images, targets)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.1)
        wanted = task.discriminator(images, made).square().mean() / 2
    torch.testing.assert_close(second.losses(images, targets)["discriminator_made"].detach(), wanted)


def test_without_a_discriminator_there_is_one_turn():
    task = make(adversarial=0)
    (turn,) = task.turns()
    assert turn.learner is task.model
    assert set(turn.losses(*batch_of(task))) == {"l1"}


def test_a_perceptual_loss_by_a_trained_backbone(tmp_path):
    path = tmp_path / "backbone.safetensors"
    classify = TASKS["classify"]
    seeing = build("res2net20_26w_4s_tiny", num_classes=2).eval()
    trained = classify(seeing, Preprocessing(), classify.Options(), {"class_names": ["a", "b"]})
    save_task(path, trained, {}, TrainConfig("classify", "x", classify.Options()))
    task = make(perceptual=3.0, perceptual_weights=str(path)).train()
    images, targets = batch_of(task)
    made, real = task.model(images), targets["image"]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (Preprocessing().mean, Preprocessing().std))
    maps = [seeing.features((batch_images - mean) / std) for batch_images in (made, real)]
    expected = 3 * sum(F.l1_loss(one, other) for one, other in zip(*maps, strict=True)) / len(maps[0])
    found = task.generator_losses(images, made, real)
    torch.testing.assert_close(found["perceptual"], expected)
    assert len(task.turns()) == 2  # the seeing one does not learn
    before = [parameter.clone() for parameter in task.perceptual.parameters()]
    sum(found.values()).backward()
    assert all(parameter.grad is None for parameter in task.perceptual.parameters())
    assert before


def test_the_difference_falls():
    task = make(adversarial=0).train()
    images, targets = batch_of(task)
    optimizer = torch.optim.AdamW(task.model.parameters(), 3e-3)
    totals = []
    for _ in range(30):
        total = sum(task.losses(images, targets).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.7 * totals[0]


def test_equal_images_score_100_percent_in_any_size():
    sizes = [(50, 41), (64, 48), (43, 90), (1, 1)]
    images = [Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    pairs = [(image, {"image": image}) for image in images]
    task = make()
    task.model = Knowing()
    found = evaluate(task, eval_loader(Transformed(pairs, task.transform(False)), 4), accelerator="cpu")
    assert found.metrics["SSIM"] == pytest.approx(100, abs=1e-3)
    assert found.metrics["PSNR"] > 80  # in dB, as it is
    assert found.units == {"PSNR": "dB"}
    assert found.records["l1"].max() == pytest.approx(0, abs=1e-6)
    results = task.predict(*collate([Transformed(pairs, task.transform(False))[index] for index in range(4)]))
    for image, result in zip(images, results, strict=True):
        assert np.array_equal(np.asarray(image), result.pixels)


def test_a_batch_of_images_of_different_sizes_is_seen_one_by_one():
    """Instance normalisation would see the zeros around an image."""
    task = make().eval()
    pairs = [(Image.new("RGB", size, colour), {}) for size, colour in (((40, 32), "red"), ((64, 64), "blue"))]
    samples = Transformed(pairs, task.transform(False))
    with torch.inference_mode():
        together = task.predict(*collate([samples[0], samples[1]]))
        alone = [task.predict(*collate([samples[index]]))[0] for index in range(2)]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1


def test_large_images_piece_by_piece():
    task = make(window=32, overlap=0.5)
    sides = []

    class Noting(Knowing):
        def forward(self, images):
            sides.append(tuple(images.shape[-2:]))
            return super().forward(images)

    task.model = Noting()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8))
    (result,) = task.predict(*collate([Transformed([(image, {})], task.transform(False))[0]]))
    assert np.array_equal(result.pixels, np.asarray(image))
    assert len(sides) > 4
    assert max(max(side) for side in sides) == 32


def test_a_checkpoint_holds_the_generator_alone_and_makes_the_same(tmp_path):
    task = make(flip=0.5).eval()
    path = tmp_path / "task.safetensors"
    save_task(path, task, {}, TrainConfig(task_name="translate", source="scenes", task=task.options))
    restored, checkpoint = restore_task(path, name="translate")
    assert not [name for name in checkpoint.tensors if "discriminator" in name]
    assert restored.options == task.options
    assert restored.discriminator is None
    images, targets = batch_of(task, train=False)
    with torch.inference_mode():
        for one, other in zip(task.predict(images, targets), restored.predict(images, targets), strict=True):
            assert np.array_equal(one.pixels, other.pixels)
    with pytest.raises(InputError, match="was trained for translate, not for segment"):
        restore_task(path, name="segment")


def test_checkpoints_of_earlier_versions_call_the_image_a_picture(tmp_path):
    task = make().eval()
    task.facts["class_names"] = ["picture"]
    save_task(tmp_path / "task.safetensors", task, {}, TrainConfig("translate", "scenes", task.options))
    restored, checkpoint = restore_task(tmp_path / "task.safetensors")
    assert checkpoint.metadata["class_names"] == ["picture"]
    assert restored.class_names == PAIR_NAMES
    assert restored.facts["class_names"] == list(PAIR_NAMES) == restored.describe(source())["class_names"]


@pytest.mark.parametrize("outputs", ["image", "picture"])
def test_an_exported_generator_makes_the_same(outputs):
    task = make().eval()
    exporter = EXPORTERS["translate"](task)
    assert tuple(exporter.outputs) == ("image",)
    assert exporter.set_size() == (32, 32)
    assert exporter.transform()(Image.new("RGB", (64, 20), "red")).shape == (3, 32, 32)
    restored = Translate(task.model, task.preprocessing, task.options, task_metadata(task))
    EXPORTERS["translate"](restored).restore(task.model, [outputs], (32, 32))
    assert isinstance(restored.model, FixedPixels)
    image, target = source().val[0]
    one, other = (each.predict_sample(image, target) for each in (task, restored))
    assert np.array_equal(one.pixels, other.pixels)
    assert restored.predict_sample(Image.new("RGB", (80, 40)), {}).pixels.shape == (40, 80, 3)
    with pytest.raises(InputError, match="returns logits, and translate needs image: export it again"):
        EXPORTERS["translate"](restored).restore(task.model, ["logits"], (32, 32))


def test_the_windows_may_change_after_training():
    task = make()
    adjust(task, {"window": 16, "overlap": 0.5})
    assert (task.options.window, task.options.overlap) == (16, 0.5)
    with pytest.raises(InputError, match="The option 'flip' of translate cannot change after training"):
        adjust(task, {"flip": 0.5})


def test_backward_makes_masks_of_images():
    task = make(direction="backward")
    pairs = source()
    turned = dataclasses.replace(pairs, train=Backwards(pairs.train), val=Backwards(pairs.val))
    train, val = task.datasets(turned)
    mask, target = pairs.train[1]
    seen, truth = val[1]
    torch.testing.assert_close(seen.as_subclass(Tensor) * 0.5 + 0.5, unit(target["image"]))
    assert torch.equal(truth["truth"]["image"], mask)
    assert torch.equal(train[1][1]["image"], unit(mask))
    assert np.array_equal(task.truth(*turned.val[1]).pixels, mask.permute(1, 2, 0).numpy())


def test_files_drawings_and_report(tmp_path):
    task = make().eval()
    image = Image.new("RGB", (33, 57), "red")
    result = TranslatedImage(np.full((57, 33, 3), 7, np.uint8))
    (path,) = result.save(tmp_path / "00001-x.y")
    assert path.name == "00001-x.y-translated.png"
    assert np.array_equal(np.asarray(Image.open(path)), result.pixels)
    drawn = np.asarray(result.draw(image))
    assert drawn.shape == (57, 66, 3)
    assert np.array_equal(drawn[:, :33], np.asarray(image))
    assert np.array_equal(drawn[:, 33:], result.pixels)
    assert np.array_equal(np.asarray(result.attach_input(lambda: image).draw()), drawn)
    assert np.array_equal(np.asarray(result.panel(image)), result.pixels)
    assert result.rows() == [("33 x 57",)]
    assert result.to_dict() == {"translation": {"width": 33, "height": 57}}
    report = Report("report", "")
    task.write_report(report, None, source())
    report.write(tmp_path / "report.html")
    assert "the images that were made of them" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "sideways"}, "Unknown direction 'sideways'"),
        ({"adversarial_loss": "hinge"}, "Unknown adversarial loss 'hinge'"),
        ({"l1": 0, "adversarial": 0}, "Nothing is learnt without a loss"),
        ({"l1": -1}, "l1 -1 is out of range"),
        ({"perceptual": 1.0}, "--perceptual and --perceptual-weights belong together"),
        ({"perceptual_weights": "x.pth"}, "--perceptual and --perceptual-weights belong together"),
        ({"enlarge": 0.5}, "enlarge 0.5 is out of range"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        TranslateOptions(**options)
    assert dataclasses.is_dataclass(TranslateOptions())
