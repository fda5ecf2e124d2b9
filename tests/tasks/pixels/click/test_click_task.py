"""Objects of synthetic scenes, found by clicks."""

from __future__ import annotations

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
from res2net.export.exporter import EXPORTERS
from res2net.images import collate
from res2net.options import from_dict
from res2net.task.base import backbone_of
from res2net.tasks.pixels.click.clicks import Clicked
from res2net.tasks.pixels.click.network import ClickDiscs
from res2net.tasks.pixels.click.options import PredictOptions
from res2net.tasks.pixels.click.session import ClickSession
from res2net.tasks.pixels.click.task import Click, ClickOptions, connected, intersection_over_union


@pytest.fixture
def scenes():
    source = Click.open("shapes:3,2")
    return replace(source, preprocessing=replace(source.preprocessing, size=64))


@pytest.fixture
def make(scenes):
    def build(**options):
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        return Click.build(create, scenes, scenes.preprocessing, ClickOptions(**{"channels": 8, **options}))

    return build


def batch(task, scenes, train=False):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(len(samples))])


class Network(torch.nn.Module):
    """In the place of a network: a function of its input, each of which is kept in `seen`."""

    def __init__(self, function):
        super().__init__()
        self.function, self.seen = function, []

    def forward(self, images):
        self.seen.append(images)
        return self.function(images)


def finds_nothing():
    return Network(lambda images: torch.full_like(images[:, :1], -1.0))


def finds_discs():
    """Around positive clicks."""
    return Network(lambda images: images[:, 3:4] - 0.5)


def finds(truth, clicks=1):
    """The true mask `(H, W)`, in whatever size, once it sees so many positive clicks."""

    def found(images):
        mask = torch.nn.functional.interpolate(truth[None, None].float(), images.shape[-2:])
        seen = (images[:, 3].flatten(1) > 0.99).sum(1) >= clicks
        return torch.where(seen[:, None, None, None], 20 * mask - 10, -10.0)

    return Network(found)


@pytest.mark.parametrize("click_loss", ["bell", "distance"])
@pytest.mark.parametrize("first_click", [True, False])
def test_a_few_steps_lower_the_loss(make, scenes, first_click, click_loss):
    task = make(first_click=first_click, rounds=1, decoder="deeplabv3plus", click_loss=click_loss).train()
    images, targets = batch(task, scenes, train=True)
    assert backbone_of(task).in_channels == 5
    assert EXPORTERS["click"](task).in_channels == 5 + first_click
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    for _ in range(8):
        losses = task.losses(images, targets)
        assert set(losses) == ({"loss", "loss_1"} if first_click else {"loss"})
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert task.model.training
    assert totals[-1] < 0.9 * totals[0]


def test_views_have_clicks_on_what_they_show(make, scenes):
    _, targets = batch(make(scale=(1.5, 2.0)), scenes, train=True)
    for mask, clicks in zip(targets["object"], targets["clicks"], strict=True):
        assert clicks.shape == (1 + 3 + 4, 3)
        assert clicks[0][2] == 1
        for x, y, kind in clicks.long().tolist():
            if kind >= 0:
                assert mask[y, x] == kind


def test_corrections_are_on_errors(make, scenes):
    task = make().train()
    images, targets = batch(task, scenes, train=True)
    task.model = finds_nothing()
    before = torch.stack(targets["clicks"])
    more, found = task.corrected(images, before, targets["object"])
    assert not found.any()
    assert torch.equal(more[:, :-1], before)
    for mask, (x, y, kind) in zip(targets["object"], more[:, -1].long().tolist(), strict=True):
        assert kind == 1
        assert mask[y, x] == 1


def test_the_previous_mask_is_seen_where_it_was(make, scenes):
    """By a network whose channel after the clicks holds it, in the size that the network sees."""
    task = make(previous_mask=True, resize=50).eval()
    assert (backbone_of(task).in_channels, EXPORTERS["click"](task).in_channels) == (6, 7)
    task.model = network = finds_discs()
    image = Image.new("RGB", (200, 100))
    session = ClickSession(task, image)
    first = session.click(121, 41)
    session.click(20, 20)
    seen = [images[:, 5:6] for images in network.seen]
    assert not seen[0].any()
    expected = np.asarray(Image.fromarray(first).convert("L").resize((100, 50), Image.Resampling.BILINEAR)) / 255
    assert np.abs(seen[1][0, 0].numpy() - expected).max() < 0.01
    session.undo()
    session.click(20, 20)
    assert torch.equal(network.seen[2][:, 5:6], seen[1])
    images, targets = collate([task.transform(False)(image, {"index": 0, "label": 0})])
    task.clicks = [Clicked(121, 41, True), Clicked(20, 20, True)]
    (result,) = task.predict(images, targets)
    assert np.array_equal(result.mask, session.mask)
    assert torch.equal(network.seen[-1][:, 5:6], seen[1])


def test_training_sees_the_previous_mask(make, scenes):
    task = make(previous_mask=True, rounds=1).train()
    images, targets = batch(task, scenes, train=True)
    clicks, found = task.corrected(images, torch.stack(targets["clicks"]), targets["object"])
    seen = task.with_clicks(images, clicks, found)
    assert torch.equal(seen[:, 5:6], found.float())
    task.model(seen).sum().backward()
    assert torch.equal(task.with_clicks(images, clicks)[:, 5], torch.zeros_like(images[:, 0]))


def test_the_truth_takes_one_click(make, scenes):
    task = make().eval()
    images, targets = batch(task, scenes)
    truth = targets["truth"][0]["object"].as_subclass(torch.Tensor)
    targets = {name: values[:1] for name, values in targets.items()}
    task.model = finds(truth)
    metric = task.metric()
    records = task.validate(images[:1], targets, metric)
    assert metric.compute()["NoC@90"] == 1
    assert metric.compute()["IoU@1"] == 1
    assert (records["clicks"].tolist(), records["iou"].tolist()) == ([1], [1])
    metric = task.metric()
    task.model = finds(truth, clicks=3)
    task.validate(images[:1], targets, metric)
    assert metric.compute()["NoC@85"] == 3
    assert metric.compute()["IoU@1"] == 0
    assert [task.scoring.unit(name) for name in ("NoC@85", "IoU@1")] == ["clicks", "%"]


def test_what_never_gets_there_has_all_clicks(make, scenes):
    task = make(max_clicks=6).eval()
    images, targets = batch(task, scenes)
    task.model = finds_nothing()
    metric = task.metric()
    records = task.validate(images, targets, metric)
    found = metric.compute()
    assert (found["NoC@85"], found["reached@85"], found["IoU@5"]) == (6, 0, 0)
    assert (records["clicks"] == 6).all()


def test_clicks_and_masks_are_in_pixels_of_the_file(make):
    """An image of 200 x 100 pixels, which the network sees at half the size."""
    task = make(resize=50).eval()
    task.model = network = finds_discs()
    session = ClickSession(task, Image.new("RGB", (200, 100)))
    mask = session.click(121, 41)
    assert mask.shape == (100, 200)
    assert network.seen[0].shape == (1, 6, 50, 100)
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx(41, abs=1)
    assert columns.mean() == pytest.approx(121, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(2 * task.options.sigma, abs=2)


def test_a_session(make):
    torch.manual_seed(1)
    task = make().eval()
    session = ClickSession(task, Image.fromarray(np.random.default_rng(0).integers(0, 255, (57, 33, 3), np.uint8)))
    assert session.mask.shape == (57, 33)
    assert not session.mask.any()
    one = session.click(10, 12, True)
    two = session.click(30, 50, positive=False)
    assert two.dtype == bool
    assert session.clicks == (Clicked(10, 12, True), Clicked(30, 50, False))
    assert np.array_equal(session.mask, two)
    two[:] = True  # what was given is the user's own
    assert np.array_equal(session.undo(), one)
    assert not session.undo().any()
    assert not session.undo().any()
    assert session.clicks == ()
    with pytest.raises(InputError, match="The click 33,0 lies outside of an image of 33 x 57 pixels"):
        session.click(33, 0)
    assert session.clicks == ()
    session.click(0, 0, False)  # nothing positive at all


def test_predictions_are_those_of_a_session(make, tmp_path):
    task = make().eval()
    full_image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8))
    images, targets = collate([task.transform(False)(full_image, {"index": 0, "label": 0})])
    with pytest.raises(InputError, match="Nothing is found without a click: give some"):
        task.predict(images, targets)
    task.clicks = [Clicked(20, 30, True), Clicked(3, 3, False)]
    with torch.no_grad():
        (result,) = task.predict(images, targets)
    session = ClickSession(task, full_image)
    for click in task.clicks:
        mask = session.click(*click)
    assert np.array_equal(result.mask, mask)
    (file,) = result.save(tmp_path / "00001-a")
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image), mask)
    assert result.to_dict()["object"]["clicks"][0] == {"x": 20, "y": 30, "positive": True}
    assert result.rows() == [(100 * mask.mean(), 2)]
    assert result.draw(full_image).width % 48 == 0
    task.clicks = [Clicked(20, 64, True)]
    with pytest.raises(InputError, match="outside of an image of 48 x 64 pixels"):
        task.predict(images, targets)


def test_the_clicks_of_a_prediction(make):
    task = make().eval()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8))
    clicked, _ = PredictOptions(clicks=("20,30,+", "3,3,-")).predict(task, [image, image], accelerator="cpu")
    session = ClickSession(task, image)
    session.click(20, 30)
    assert np.array_equal(clicked.result.mask, session.click(3, 3, positive=False))
    assert clicked.result.draw().width % 48 == 0
    with pytest.raises(InputError, match="Nothing is found without a click: give some"):
        list(PredictOptions().predict(task, [image]))
    with pytest.raises(InputError, match="'20;30' is no click"):
        PredictOptions(clicks=("20;30",)).predict(task, [image])


def test_a_checkpoint_gives_the_same_results(make, scenes, tmp_path):
    task = make(sigma=7.0).eval()
    save_task(tmp_path / "best.safetensors", task, {}, TrainConfig("click", "shapes", task.options))
    again, _ = restore_task(tmp_path / "best.safetensors", name="click")
    assert again.options == task.options
    images, targets = batch(task, scenes)
    with torch.no_grad():
        clicks = [[Clicked(20, 30, True)]] * len(images)
        for one, other in zip(task.masks(images, targets, clicks), again.masks(images, targets, clicks), strict=True):
            assert np.array_equal(one, other)


def test_what_a_network_without_training_is_compared_with(make, scenes):
    task = make()
    radius = float(task.constant(scenes.train))
    discs = Click(ClickDiscs(radius, task.options.sigma), task.preprocessing, task.options, task.facts).eval()
    mask = ClickSession(discs, Image.new("RGB", (128, 128))).click(64, 64)
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    session = ClickSession(discs, Image.new("RGB", (128, 128)))
    session.click(64, 64)
    assert not session.click(66, 64, False)[60:68, 66:].any()


def test_parts_without_a_click_are_left_out():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 1]], bool)
    assert connected(mask, [Clicked(3, 1, True)]).tolist() == [[False] * 3 + [True]] * 2
    assert not connected(mask, [Clicked(2, 0, True), Clicked(0, 0, False)]).any()


def test_pixels_that_are_not_known_do_not_count():
    mask = np.array([[1, 1, 0, 1]], bool)
    true = np.array([[1, 0, 1, 255]], np.uint8)
    assert intersection_over_union(mask, true) == pytest.approx(1 / 3)
    assert intersection_over_union(mask & False, true * 0) == 1


def test_objects_of_a_report(make, scenes):
    task = make()
    image, target = scenes.val[0]
    found = task.predict_sample(image, target)
    assert found.mask.shape == (128, 128)
    assert 1 <= len(found.clicks) <= 3
    assert found.clicks[0].positive
    truth = task.truth(image, target)
    assert truth.mask.sum() == target["masks"].flatten(1).sum(1).max()
    assert truth.panel(image, truth).size == found.panel(image, truth).size


def test_an_exported_network_sees_a_click(make):
    task = make().eval()
    exporter = EXPORTERS["click"](task)
    assert exporter.set_size((64, 96)) == (64, 96)
    assert exporter.transform()(Image.new("RGB", (96, 64)))[3:].amax((1, 2)).tolist() == [1, 0, 1]


def test_new_channels_of_weights_start_at_zero():
    from res2net.weights.load import adapt_channels

    weight = torch.randn(4, 3, 3, 3)
    wider = adapt_channels(weight, 5, zeros=True)
    assert torch.equal(wider[:, :3], weight)
    assert (wider[:, 3:] == 0).all()


def test_clicks_have_to_be_learnt():
    with pytest.raises(InputError, match="leave out --freeze"):
        ClickOptions(freeze=1)


def test_nobody_clicks_where_no_object_is_known(make, scenes):
    image, _ = scenes.val[0]
    with pytest.raises(InputError, match="give a data set with their masks"):
        make().predict_sample(image, {})


def test_the_former_names_of_options_are_still_read():
    options = from_dict(ClickOptions, {"most_clicks": 7, "least_area": 9.0})
    assert (options.max_clicks, options.min_area) == (7, 9.0)
