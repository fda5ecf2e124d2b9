"""Recipes say what they are, and their configurations are whole."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from res2net import list_models
from res2net.engine.config import TrainConfig, read_yaml, to_yaml
from res2net.engine.options import options_type
from res2net.engine.recipes import RECIPES, recipe
from res2net.errors import InputError
from res2net.options import from_dict
from res2net.weights import find_record

WITHOUT_DATA = [name for name, found in RECIPES.items() if found.goals]
"""Recipes on embedded data sets, which have goals."""
PAPERS = ("faster_rcnn_c4", "faster_rcnn_1x", "faster_rcnn_voc07", "mask_rcnn_1x", "mask_rcnn_2x")


@pytest.mark.parametrize("name", RECIPES)
def test_the_docstring_gives_command_time_and_score(name):
    lines = RECIPES[name].about.splitlines()
    assert lines[0].endswith(".")
    command = f"reproduce {name}`" if name in WITHOUT_DATA else f"train --recipe {name} "
    assert any(line.startswith(f"- command: `res2net {command}") for line in lines)
    for what in ("time", "score"):
        assert any(line.startswith(f"- {what}: ") for line in lines)


@pytest.mark.parametrize("name", RECIPES)
def test_the_configuration_is_one_of_the_task(tmp_path, name):
    config = RECIPES[name].configure()
    assert config == RECIPES[name].configure()
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert from_dict(TrainConfig[options_type(config.task_name)], read_yaml(path)) == config
    assert (config.source == "") == (name not in WITHOUT_DATA)
    assert config.model.model in list_models()
    if config.model.weights:
        assert find_record(config.model.model, config.model.weights).tag == "in1k"


@pytest.mark.parametrize("name", PAPERS)
def test_settings_of_the_paper(name):
    config = RECIPES[name].configure()
    optim, task = config.optim, config.task
    assert config.model.model == "res2net50_26w_4s"
    assert (optim.optimizer, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.02, 0.9, 1e-4)
    assert (optim.schedule, config.data.batch_size, task.freeze, task.freeze_norms) == ("step", 16, 2, True)
    coco = "voc" not in name
    assert (config.data.size, task.max_size) == ((800, 1333) if coco else (600, 1000))
    assert getattr(task, "metric", "coco") == ("coco" if coco else "voc07")
    if coco:
        assert (optim.epochs, optim.milestones) == ((24, (16, 22)) if name.endswith("2x") else (12, (8, 11)))
        assert round(optim.warmup * (118_287 // 16)) == 500


def test_settings_of_deeplab():
    config = RECIPES["deeplabv3plus_voc"].configure()
    task, optim = config.task, config.optim
    assert (task.decoder, task.output_stride, task.crop, task.scale) == ("deeplabv3plus", 16, (513, 513), (0.5, 2.0))
    assert (optim.lr, optim.schedule, optim.poly_power, config.data.batch_size) == (0.007, "poly", 0.9, 16)
    assert abs(optim.epochs * (10_582 // 16) - 30_000) < 661


def test_settings_of_saliency():
    """Of `solver.prototxt` of DSS, and of `main.py`, `solver.py`, `joint_main.py` and `joint_solver.py` of PoolNet."""
    dss, pool, edges = (RECIPES[f"{name}_res2net50"].configure() for name in ("dss", "poolnet", "poolnet_edges"))
    for config in (dss, pool, edges):
        task = config.task
        assert (task.reduction, task.crop, task.scale, task.freeze_norms) == ("sum", (400, 400), (1.0, 1.0), True)
        assert (config.data.batch_size, config.optim.step_factor) == (10, 0.1)
    assert (dss.optim.optimizer, dss.optim.lr, dss.optim.momentum, dss.optim.weight_decay) == ("sgd", 1e-8, 0.9, 5e-4)
    assert (dss.optim.epochs * 2_500 // 10, dss.optim.milestones[0] * 2_500 // 10) == (12_000, 7_500)
    assert (pool.optim.epochs, pool.optim.milestones, edges.optim.epochs, edges.optim.milestones) == (
        24,
        (16,),
        11,
        (9,),
    )
    assert pool.optim.lr == edges.optim.lr == 5e-5
    assert (dss.task.output_stride, pool.task.output_stride) == (None, 16)
    assert [config.task.decoder for config in (dss, pool, edges)] == ["dss", "poolnet", "poolnet_edges"]


def test_settings_of_simple_baseline():
    config = RECIPES["simple_baseline_256x192"].configure()
    assert (config.task.crop, config.task.sigma, config.task.crop_scale, config.task.rotation) == (
        (256, 192),
        2,
        0.3,
        40,
    )
    assert (config.optim.epochs, config.optim.milestones, config.optim.lr) == (140, (90, 120), 1e-3)
    assert config.data.batch_size == 128


def test_settings_of_bts():
    """Of `arguments_train_nyu.txt` and `bts_main.py`."""
    config = RECIPES["bts_nyu"].configure()
    task, optim = config.task, config.optim
    assert (task.crop, task.scale, task.scale_invariance, task.root, task.max_depth) == (
        (416, 544),
        (1.0, 1.0),
        0.85,
        True,
        10,
    )
    assert (optim.optimizer, optim.lr, optim.weight_decay, optim.epochs) == ("adamw", 1e-4, 1e-2, 50)
    assert (optim.schedule, optim.poly_power, optim.lr_end, config.data.batch_size) == ("poly", 0.9, 0.1, 4)


def test_settings_of_fcanet():
    """Of `config.py`, `trainer.py` and `my_custom_transforms.py` of its training code."""
    config = RECIPES["fcanet_res2net101"].configure()
    task, optim = config.task, config.optim
    assert (config.model.model, task.output_stride, task.first_click, task.click_loss) == (
        "res2net101d",
        16,
        True,
        "distance",
    )
    assert (task.sigma, task.first_sigma, task.resize, task.crop) == (10, 30, 384, (384, 384))
    assert (1 + task.positives, task.negatives) == (10, 10)
    assert (optim.optimizer, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.007, 0.9, 5e-4)
    assert (optim.schedule, optim.poly_power, optim.epochs, config.data.batch_size) == ("poly", 0.9, 33, 8)


def test_settings_of_vecroad():
    """Of `default.yml` and `train.py`: 2,048 updates in each of 50 rounds, of which 20 have the higher rate."""
    config = RECIPES["vecroad_res2net50"].configure()
    task, optim, data = config.task, config.optim, config.data
    assert (config.model.model, task.window, task.step) == ("res2net50d", 256, 20)
    assert (data.batch_size * task.steps_per_image, data.batch_size * data.size**2) == (20, 20 * 256**2)
    assert optim.epochs * 1_600 // data.batch_size == 50 * 2_048
    assert optim.milestones[0] / optim.epochs == 20 / 50
    assert (optim.optimizer, optim.betas, optim.lr, optim.step_factor) == ("adam", (0.9, 0.99), 1e-3, 0.1)


@pytest.mark.parametrize(
    ("name", "volumes", "patch"),
    [("res2unet_lits", 131, (128, 128)), ("res2unet_kits", 210, (80, 160))],
)
def test_settings_of_nnunet(name, volumes, patch):
    """Of `nnUNetTrainer.py`: 250 updates in each of 1,000 rounds, of two patches each."""
    config = RECIPES[name].configure()
    task, optim, data = config.task, config.optim, config.data
    assert (task.depth or data.size, data.size) == patch
    assert (data.batch_size, task.foreground, data.val_fraction) == (2, 0.33, 0.2)
    assert (optim.optimizer, optim.lr, optim.momentum, optim.nesterov) == ("sgd", 0.01, 0.99, True)
    assert (optim.weight_decay, optim.schedule, optim.poly_power, optim.clip) == (3e-5, "poly", 0.9, 12)
    trained = volumes - round(volumes * data.val_fraction)
    assert abs(trained * task.patches // data.batch_size * optim.epochs - 250_000) < 2_625


def test_settings_of_the_slices_of_h_denseunet():
    """Of `train_2ddense.py`: 40 slices of 224 x 224, of which each sees its neighbours."""
    config = RECIPES["res2unet_lits_slices"].configure()
    task, optim, data = config.task, config.optim, config.data
    assert (data.batch_size * task.depth, data.size, task.slices, task.foreground) == (40, 224, 3, 1)
    assert (optim.optimizer, optim.lr, optim.momentum, optim.nesterov) == ("sgd", 1e-3, 0.9, True)


def test_settings_of_pix2pix():
    config = RECIPES["pix2pix_facades"].configure()
    task, optim, data = config.task, config.optim, config.data
    assert (data.batch_size, data.size, round(task.enlarge * data.size), task.flip) == (1, 256, 286, 0.5)
    assert (optim.optimizer, optim.betas, optim.lr) == ("adam", (0.5, 0.999), 2e-4)
    assert (optim.epochs, optim.hold, optim.schedule, optim.poly_power) == (200, 100, "poly", 1)
    assert (task.l1 / 2, task.adversarial, task.adversarial_loss) == (100, 1, "cross-entropy")


def test_the_documentation_has_all():
    docs = Path(__file__).parents[2] / "docs"
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(docs.glob("*.md")))
    for name in RECIPES:
        assert f"`{name}`" in pages


def test_names_are_given_once():
    def mask_rcnn_1x():
        """Another."""

    list(RECIPES)
    with pytest.raises(ValueError, match="registered twice"):
        recipe()(mask_rcnn_1x)
    with pytest.raises(InputError, match="did you mean 'mask_rcnn_2x'"):
        RECIPES["mask_rcnn2x"]


def test_what_a_block_registers_is_forgotten():
    with RECIPES.restored():
        recipe()(lambda_run)
        assert RECIPES["lambda_run"].configure() == "a run"
    assert "lambda_run" not in RECIPES


def lambda_run():
    """A run."""
    return "a run"


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_functions_that_recipes_name_exist(name):
    for target in (RECIPES[name].baselines, RECIPES[name].variants):
        if target:
            module, function = target.split(":")
            assert callable(getattr(importlib.import_module(module), function))


def test_they_need_no_torch():
    ask = "import sys; from res2net.engine.recipes import RECIPES; len(RECIPES); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", ask], check=True)


def test_settings_of_imagenet():
    """Section 4.1 of the paper; v1b has a cosine, mixup and CutMix."""
    config = RECIPES["imagenet_100e"].configure()
    optim, data = config.optim, config.data
    assert (config.model.model, config.model.options) == ("res2net50_26w_4s", {"zero_init_last": False})
    assert (data.batch_size, data.size, config.task.label_smoothing) == (256, 224, 0)
    assert (optim.optimizer, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
    assert (optim.epochs, optim.schedule, optim.step_epochs, optim.step_factor) == (100, "step", 30, 0.1)
    config = RECIPES["imagenet_v1b_300e"].configure()
    assert (config.model.model, config.optim.epochs, config.optim.schedule) == ("res2net50d", 300, "cosine")
    assert config.task.mixup > 0
    assert config.task.cutmix > 0


def test_settings_of_cifar():
    """Of the public code of ResNeXt-29 at half its batch and rate, and of the papers of the baselines."""
    names = ("cifar100_resnext29", "cifar100_wide_resnet", "cifar100_densenet")
    settings = []
    for name in names:
        config = RECIPES[name].configure()
        optim = config.optim
        assert (optim.optimizer, optim.momentum, optim.nesterov, optim.schedule) == ("sgd", 0.9, True, "step")
        settings.append((config.data.batch_size, optim.lr, optim.weight_decay, optim.epochs, optim.milestones))
    assert settings == [
        (64, 0.05, 5e-4, 300, (150, 225)),
        (128, 0.1, 5e-4, 200, (60, 120, 160)),
        (64, 0.1, 1e-4, 300, (150, 225)),
    ]
    assert [RECIPES[name].configure().optim.step_factor for name in names] == [0.1, 0.2, 0.1]


def test_settings_of_panoptic_fpn():
    """Of `panoptic_fpn_R_101_3x.yaml`: 270,000 updates of 16 images, steps after 210,000 and 250,000."""
    config = RECIPES["panoptic_fpn_3x"].configure()
    updates = [epoch * 118_287 / 16 for epoch in (config.optim.epochs, *config.optim.milestones)]
    assert [round(count, -4) for count in updates] == [270_000, 210_000, 250_000]
    assert (config.data.batch_size, config.optim.lr, config.task.min_sizes[0], config.task.max_size) == (
        16,
        0.02,
        640,
        1333,
    )
