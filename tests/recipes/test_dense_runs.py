"""The recipes of dense tasks fit their tasks: each learns from a batch of drawn data, in small."""

from dataclasses import replace

import pytest
import torch

from res2net.data import open_source, shape_masks
from res2net.data.bodies import Bodies, bodies_source
from res2net.data.road_scenes import RoadScenes
from res2net.data.samples import collate
from res2net.engine.config import ModelConfig
from res2net.engine.train import make_task
from res2net.recipes.runs import find_recipe, recipes
from res2net.tasks.base import task_type

SIDE = 64
FLAT, DEEP, GENERATOR = "res2net20_26w_4s_tiny", "res2net3d20_26w_4s_tiny", "res2_generator_tiny"
PIXELS = {"crop": (SIDE, SIDE), "channels": 8}
SMALL = {
    "bts_nyu": (FLAT, PIXELS),
    "fcanet_res2net101": (FLAT, {**PIXELS, "resize": SIDE, "rounds": 1}),
    "vecroad_res2net50": (FLAT, {"channels": 8, "branch_channels": 8, "next_channels": 8, "window": SIDE}),
    "res2unet_lits": (DEEP, {"channels": 8, "spacing": None}),
    "res2unet_kits": (DEEP, {"channels": 8, "spacing": None, "depth": 16}),
    "res2unet_lits_slices": (FLAT, {"channels": 8}),
    "pix2pix_facades": (GENERATOR, {"discriminator_channels": 8}),
}
"""A small network and smaller options for each."""


@pytest.fixture
def source_of(shapes_with, monkeypatch):
    """A function that gives a few drawn samples for a task."""
    monkeypatch.setattr(shape_masks, "SIZE", SIDE)

    def source(task):
        if task == "volumes":
            return replace(bodies_source(), train=Bodies(2), val=Bodies(1, split="val"))
        if task == "roads":
            whole = open_source("roads", labels=("graph",))
            return replace(whole, train=RoadScenes(5, size=96), val=RoadScenes(1, size=96, split="val"))
        return open_source("shapes-masks" if task == "translate" else "shapes", labels=task_type(task).labels)

    with shapes_with(train=8, val=1):
        shape_masks.shape_masks_source.cache_clear()
        yield source
    shape_masks.shape_masks_source.cache_clear()


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_is_learnt_from(source_of, name):
    torch.manual_seed(0)
    config = find_recipe(name)()
    model, options = SMALL[name]
    source = source_of(config.task_name)
    small = replace(
        config,
        model=ModelConfig(model=model),
        task=replace(config.task, **options),
        data=replace(config.data, size=16 if config.task_name == "volumes" else SIDE),
    )
    task = make_task(small, source).train()
    train_set, _ = task.datasets(source)
    images, targets = collate([train_set[index] for index in range(config.data.batch_size)])
    targets.pop("skipped")
    for losses in task.turns(images, targets):
        assert all(loss.isfinite() for loss in losses.values())
        torch.stack(list(losses.values())).sum().backward()
    learnt = [one for learner in task.learners() for one in learner.parameters() if one.requires_grad]
    assert sum(one.grad is not None and bool(one.grad.any()) for one in learnt) > len(learnt) / 2


def test_none_is_left_out():
    dense = ("depth", "click", "roads", "volumes", "translate")
    assert {name for name, build in recipes().items() if build().task_name in dense} == set(SMALL)
