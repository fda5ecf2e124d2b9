"""Salient objects in synthetic scenes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

import res2net
from res2net.engine.callbacks import save_task
from res2net.engine.config import TrainConfig
from res2net.engine.restore import restore_task
from res2net.errors import InputError
from res2net.images import collate
from res2net.tasks.pixels.heads.binary_losses import edge_cross_entropy, iou_loss, mask_cross_entropy
from res2net.tasks.pixels.saliency.task import Matte, Saliency, SaliencyOptions

DECODERS = ("dss", "poolnet", "poolnet_edges", "deeplabv3plus")


@pytest.fixture
def scenes():
    """Four training and three validation images, of which the network sees 64 x 64 pixels."""
    source = Saliency.open("shapes:4,3")
    return replace(source, preprocessing=replace(source.preprocessing, size=64))


@pytest.fixture
def make(scenes):
    """A function that builds the task."""

    def build(decoder="poolnet", **options):
        torch.manual_seed(0)
        create = partial(res2net.create_model, "res2net20_26w_4s_tiny", zero_init_last=False)
        chosen = SaliencyOptions(decoder=decoder, channels=16, **options)
        return Saliency.build(create, scenes, scenes.preprocessing, chosen)

    return build


class Known(torch.nn.Module):
    """In the place of a network: logits that it is given."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, images):
        return self.logits


def batch(task, scenes, train=False):
    samples = task.datasets(scenes)[0 if train else 1]
    return collate([samples[index] for index in range(len(samples))])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_few_steps_lower_the_loss(make, scenes, decoder):
    task = make(decoder, flip=0.0, iou_weight=0.5).train()
    images, targets = batch(task, scenes, train=True)
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    for _ in range(12):
        total = torch.stack(list(task.losses(images, targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.97 * totals[0]


@pytest.mark.parametrize("summed", [False, True])
def test_each_map_is_learnt_from_what_it_stands_for(make, scenes, summed):
    reduction = "sum" if summed else "mean"
    task = make("poolnet_edges", reduction=reduction, iou_weight=2.0, edge_weight=0.5).eval()
    images, targets = batch(task, scenes, train=True)
    answer, *edges = task.model.all_outputs(images)
    wanted = targets["saliency"]
    expected = {"loss_0": mask_cross_entropy(answer, wanted, summed=summed), "loss_iou": 2 * iou_loss(answer, wanted)}
    for place, logits in enumerate(edges, start=1):
        expected[f"loss_{place}"] = 0.5 * edge_cross_entropy(logits, wanted, summed=summed)
    losses = task.losses(images, targets)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}
    )
    # The mean of side outputs is not learnt itself: fusion and four sides are.
    assert sorted(make("dss").losses(images, targets)) == [f"loss_{place}" for place in range(1, 6)]
    assert sorted(make("poolnet_edges", edge_weight=0.0).losses(images, targets)) == ["loss_0"]


def test_what_is_right_has_the_best_scores(make, scenes):
    task = make().eval()
    images, targets = batch(task, scenes)
    masks = torch.stack([one["saliency"].as_subclass(torch.Tensor) for one in targets["truth"]])
    task.model = Known(torch.where(masks, 30.0, -30.0)[:, None])
    metric = task.metric()
    records = task.validate(images, targets, metric)
    values = metric.compute()
    assert values["max_F"] == pytest.approx(1)
    assert values["weighted_F"] == pytest.approx(1)
    assert values["MAE"] == 0
    assert records["error"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    task.model = Known(torch.where(masks, -30.0, 30.0)[:, None])
    worst = task.metric()
    assert task.validate(images, targets, worst)["error"].tolist() == pytest.approx([1, 1, 1])
    assert worst.compute()["MAE"] == 1


def test_a_constant_is_the_share_of_salient_pixels(make, scenes):
    task = make()
    shares = [float(scenes.train[index][1]["saliency"].float().mean()) for index in range(4)]
    assert task.constant(scenes.train).sigmoid().item() == pytest.approx(sum(shares) / 4)


def test_results_have_the_size_of_the_image_and_are_written(make, scenes, tmp_path):
    task = make(resize=32).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (57, 33, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    prepared, noted = task.transform(False)(image, {"index": 0})
    with torch.no_grad():
        (result,) = task.predict(prepared[None], {name: [value] for name, value in noted.items()})
    levels = result.levels
    assert (levels.shape, levels.dtype) == ((57, 33), np.uint8)
    (path,) = result.save(tmp_path / "00001-photo")
    assert path.name == "00001-photo-mask.png"
    with Image.open(path) as mask:
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), levels)
    # The cut-out is written where the result knows its image.
    _, path = result.attach_input(lambda: image).save(tmp_path / "00002-photo")
    assert path.name == "00002-photo-cutout.png"
    with Image.open(path) as cut:
        assert cut.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(cut), np.dstack([pixels, levels]))
    assert result.cut_out(image).tobytes() == result.cut_out().tobytes()
    assert result.draw(image).size == (3 * 33 + 8, 57)


def test_json_and_the_table_have_what_is_salient():
    levels = np.zeros((10, 20), np.uint8)
    levels[2:6, 3:13] = 200
    levels[0, 0] = 127  # less than half
    result = Matte(levels)
    salient = result.to_dict()["salient"]
    assert salient["share"] == pytest.approx(0.2)
    assert salient["box"] == [3, 2, 13, 6]
    np.testing.assert_array_equal(coco_mask.decode(salient["segmentation"]), levels >= 128)
    assert [column.heading for column in result.columns] == ["salient", "x1", "y1", "x2", "y2"]
    assert result.rows() == [(pytest.approx(20), 3, 2, 13, 6)]
    nothing = Matte(np.zeros((10, 20), np.uint8))
    assert (nothing.to_dict()["salient"]["box"], nothing.rows()) == (None, [(0, *[None] * 4)])


@pytest.mark.parametrize(("threshold", "least"), [(0.5, 128), (0.3, 77), (1.0, 255), (0.001, 1), (77 / 255, 77)])
def test_the_threshold_of_the_mask(threshold, least):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert levels[Matte(levels, threshold).mask].min() == least


def test_the_panel_of_a_ground_truth_is_its_mask(make, scenes):
    image, target = scenes.val[0]
    truth = make().truth(image, target)
    np.testing.assert_array_equal(np.asarray(truth.panel(image, truth)), 255 * target["saliency"].numpy())


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_checkpoint_is_the_same_task(make, scenes, tmp_path, decoder):
    task = make(decoder).eval()
    config = TrainConfig(task_name="saliency", source="shapes", task=task.options)
    path = tmp_path / "network.safetensors"
    save_task(path, task, {}, config)
    again, _ = restore_task(path, name="saliency")
    images, _ = batch(task, scenes)
    assert torch.equal(again(images), task(images))
    assert again.class_names == ("salient",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reduction": "summ"}, "did you mean 'sum'"),
        ({"iou_weight": -1.0}, "iou weight"),
        ({"edge_weight": -1.0}, "edge weight"),
    ],
)
def test_options_out_of_range_are_told(options, said):
    with pytest.raises(InputError, match=said):
        SaliencyOptions(**options)
