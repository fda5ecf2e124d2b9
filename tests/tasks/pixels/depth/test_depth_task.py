"""Distances of synthetic scenes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import collate
from res2net.options import from_dict
from res2net.tasks.pixels.depth.task import Depth, DepthMap, DepthOptions, root_log_loss, scale_invariant_log_loss


@pytest.fixture
def scenes():
    source = Depth.open("shapes:4,3")
    return replace(source, preprocessing=replace(source.preprocessing, size=64))


@pytest.fixture
def make(scenes):
    def build(**options):
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        return Depth.build(create, scenes, scenes.preprocessing, DepthOptions(**{"channels": 16, **options}))

    return build


def batch(task, scenes, train=False):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(len(samples))])


class Knows(torch.nn.Module):
    """In the place of a network: finds the logarithm of `truth` `(H, W)` in whatever it is shown."""

    def __init__(self, truth):
        super().__init__()
        self.logits = truth.log()[None, None]

    def forward(self, images):
        found = torch.nn.functional.interpolate(self.logits, images.shape[-2:])
        return found.expand(len(images), -1, -1, -1)

    def all_outputs(self, images):
        return [self.logits]


def test_the_root_over_a_batch_is_that_of_bts():
    """10 sqrt(mean(d^2) - 0.85 mean(d)^2) over the pixels that are known, as its published code has it."""
    found, true = torch.randn(3, 4, 5), torch.rand(3, 4, 5) + 0.1
    true[0, 0, :3] = 0
    true[2] = 0  # nothing is known
    differences = [
        float(one) - math.log(float(depth)) for one, depth in zip(found.flatten(), true.flatten(), strict=True) if depth
    ]
    mean, squares = (sum(one**power for one in differences) / len(differences) for power in (1, 2))
    assert root_log_loss(found, true).item() == pytest.approx(10 * math.sqrt(squares - 0.85 * mean**2), rel=1e-5)
    exact = true[:2].log().nan_to_num(neginf=0.0).requires_grad_()
    for metres in (true[:2], torch.zeros(2, 4, 5)):
        loss = root_log_loss(exact, metres)
        (gradient,) = torch.autograd.grad(loss, exact)
        assert loss.item() == pytest.approx(0, abs=1e-4)
        assert gradient.isfinite().all()


def test_the_root_is_learnt_from_where_that_is_chosen(make, scenes):
    task = make(root=True, scale_invariance=0.85, scale=(1.0, 1.0), flip=0.0).eval()
    images, targets = batch(task, scenes, train=True)
    (loss,) = task.losses(images, targets).values()
    with torch.no_grad():
        expected = root_log_loss(task(images)[:, 0], targets["depth"].as_subclass(torch.Tensor))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_the_loss_is_the_papers(weight):
    found, true = torch.randn(3, 4, 5), torch.rand(3, 4, 5) + 0.1
    true[0, 0, :3] = 0
    true[2] = 0  # nothing is known
    expected = []
    for one, other in zip(found[:2], true[:2], strict=True):
        d = [a - math.log(b) for a, b in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True) if b > 0]
        expected.append(sum(x * x for x in d) / len(d) - weight * sum(d) ** 2 / len(d) ** 2)
    assert scale_invariant_log_loss(found, true, weight).item() == pytest.approx(sum(expected) / 2, abs=1e-5)


def test_nothing_is_learnt_where_nothing_is_known():
    found = torch.randn(2, 4, 5, requires_grad=True)
    loss = scale_invariant_log_loss(found, torch.zeros(2, 4, 5))
    loss.backward()
    assert loss == 0
    assert (found.grad == 0).all()


def test_a_common_factor_is_forgiven_by_1_alone():
    true = torch.rand(2, 4, 5) + 1
    assert scale_invariant_log_loss((3 * true).log(), true, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert scale_invariant_log_loss((3 * true).log(), true, 0.5).item() == pytest.approx(math.log(3) ** 2 / 2, rel=1e-5)


def test_a_few_steps_lower_the_loss(make, scenes):
    task = make().train()
    images, targets = batch(task, scenes, train=True)
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        (loss,) = task.losses(images, targets).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_what_is_enlarged_is_nearer(make, scenes):
    """A network that finds the distances of the file, divided by the zoom, has no loss."""
    task = make(scale=(2.0, 2.0), flip=0.0, scale_invariance=0.0)
    images, targets = batch(task, scenes, train=True)
    assert targets["zoom"].tolist() == [2.0] * 4
    known = Knows(torch.zeros(1))
    known.logits = (targets["depth"].as_subclass(torch.Tensor) / 2).log()[:, None]
    task.model = known
    assert task.losses(images, targets)["loss"] == pytest.approx(0, abs=1e-6)
    far = make(scale=(2.0, 2.0), flip=0.0, scale_invariance=0.0, zoom_depth=False)
    far.model = known
    assert far.losses(images, targets)["loss"] == pytest.approx(math.log(2) ** 2, rel=1e-4)


def test_the_size_in_which_an_image_is_seen_is_corrected(make):
    """What is 3 m away in an image of half the size is 1.5 m away, unless half the size is usual."""
    half = (32, 48)
    cases = (
        ({}, half, 1.5),
        ({"zoom_depth": False}, half, 3.0),
        ({"resize": 32}, None, 3.0),
        ({"resize": 64}, half, 1.5),
    )
    for options, within, metres in cases:
        task = make(**options).eval()
        task.fixed_size = within
        task.model = Knows(torch.full((8, 8), 3.0))
        images, targets = collate([task.transform(False)(Image.new("RGB", (96, 64)), {"index": 0})])
        (found,) = task.predict(images, targets)
        assert found.metres.shape == (64, 96)
        assert found.metres == pytest.approx(metres, rel=1e-5)
    task = make(scales=(0.5, 2.0, 2.0)).eval()
    task.model = Knows(torch.full((8, 8), 3.0))
    images, targets = collate([task.transform(False)(Image.new("RGB", (96, 64)), {"index": 0})])
    (found,) = task.predict(images, targets)
    # Whatever it is shown, the network finds 3 m: 1.5 m, 6 m and 6 m, of which the geometric mean counts.
    assert found.metres == pytest.approx((1.5 * 6 * 6) ** (1 / 3), rel=1e-5)


def test_caps(make):
    task = make(min_depth=1.0, max_depth=10.0).eval()
    task.model = Knows(torch.tensor([[0.1, 5.0], [5.0, 200.0]]))
    images, targets = collate([task.transform(False)(Image.new("RGB", (2, 2)), {"index": 0})])
    (found,) = task.predict(images, targets)
    assert found.metres.min() == pytest.approx(1.0)
    assert found.metres.max() == pytest.approx(10.0)


def test_the_truth_is_perfect(make, scenes, monkeypatch):
    task = make().eval()
    images, targets = batch(task, scenes)
    true = [one["depth"].as_subclass(torch.Tensor) for one in targets["truth"]]
    monkeypatch.setattr(task, "values", lambda images, targets: [one.log()[None] for one in true])
    metric = task.metric()
    records = task.validate(images, targets, metric)
    assert records["delta1"].tolist() == [1, 1, 1]
    assert metric.compute()["RMSE"] == pytest.approx(0, abs=1e-4)
    assert [task.scoring.unit(name) for name in ("delta1", "RMSE", "RMSE_log")] == ["%", "m", ""]


def test_the_constant_is_the_median(make, scenes):
    task = make()
    every = torch.cat([scenes.train[index][1]["depth"].flatten() for index in range(4)])
    assert task.constant(scenes.train).exp().item() == pytest.approx(float(every.median()), rel=0.2)


def test_a_checkpoint_gives_the_same_results(make, scenes, tmp_path):
    task = make(max_depth=30.0).eval()
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("depth", "shapes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="depth")
    assert again.options == task.options
    images, targets = batch(task, scenes)
    with torch.no_grad():
        for one, other in zip(task.predict(images, targets), again.predict(images, targets), strict=True):
            assert np.array_equal(one.metres, other.metres)


@pytest.mark.parametrize("size", [(1, 1), (57, 33), (200, 3)])
def test_results_are_files_in_the_size_of_the_image(make, tmp_path, size):
    task = make().eval()
    full_image = Image.new("RGB", size, "teal")
    images, targets = collate([task.transform(False)(full_image, {"index": 0})])
    with torch.no_grad():
        (found,) = task.predict(images, targets)
    depth, colours = found.save(tmp_path / "00001-a")
    with Image.open(depth) as image:
        millimetres = np.asarray(image)
    assert millimetres.dtype == np.uint16
    assert millimetres.shape == size[::-1]
    assert millimetres / 1000 == pytest.approx(found.metres, abs=6e-4)
    with Image.open(colours) as image:
        assert image.size == size
    assert found.draw(full_image).width >= 600
    assert found.to_dict()["depth"].keys() == {"nearest", "median", "farthest"}
    assert len(found.rows()[0]) == len(found.columns)


def test_the_ground_truth_is_a_result(make, scenes):
    image, target = scenes.val[0]
    truth = make().truth(image, target)
    assert np.array_equal(truth.metres, target["depth"].numpy())
    assert truth.panel(image, truth).width >= 600


def test_what_is_too_far_for_a_file(tmp_path):
    depth, _ = DepthMap(np.array([[70.0, 0.0001]], np.float32)).save(tmp_path / "a")
    with Image.open(depth) as image:
        assert np.asarray(image).tolist() == [[65535, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_depth": 5.0, "max_depth": 1.0}, "Distances from 5.0 to 1.0 m do not fit"),
        ({"scale_invariance": 2.0}, "scale invariance 2.0 is out of range"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        DepthOptions(**options)


def test_the_former_names_of_options_are_still_read():
    options = from_dict(DepthOptions, {"least": 0.5, "most": 20.0})
    assert (options.min_depth, options.max_depth) == (0.5, 20.0)
