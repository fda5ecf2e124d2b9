"""`res2net recipes`, and `res2net train --recipe`."""

import pytest
import yaml
from object_sets import SMALL, write_coco

from res2net.commands.train import parse_run
from res2net.engine.recipes import RECIPES

TASKS = {
    name: found.configure().task_name
    for name, found in RECIPES.items()
    if not name.startswith("overfit") and not found.goals
}
"""The sanity checks and those with goals have tests of their own."""
DETECTORS = [name for name, task in TASKS.items() if task in ("detect", "instance")]
OF_PIXELS = [name for name, task in TASKS.items() if task in ("segment", "saliency")]


def first_quick(names):
    """The first of these names, and the others in the long run."""
    first, *others = names
    return [first, *(pytest.param(name, marks=pytest.mark.slow) for name in others)]


CROP = ["--crop", 64, 64, "--channels", 8]
DEEP = {"model": "res2net3d20_26w_4s_tiny", "size": 16}
SMALL_DETECTOR = [word for pair in SMALL.items() for word in pair]
IMAGES = [name for name, task in TASKS.items() if task == "classify"]
SYNTHETIC = {
    "bts_nyu": ("shapes", {}, CROP),
    "fcanet_res2net101": ("shapes", {}, [*CROP, "--resize", 64, "--rounds", 1, "--max-clicks", 2]),
    "vecroad_res2net50": (
        "roads",
        {"size": 64},
        ["--channels", 8, "--branch-channels", 8, "--next-channels", 8, "--window", 64],
    ),
    "res2unet_lits": ("volumes", DEEP, ["--channels", 8, "--patches", 1, "--spacing", 8, 8, 8]),
    "res2unet_kits": ("volumes", DEEP, ["--channels", 8, "--patches", 1, "--spacing", 8, 8, 8, "--depth", 16]),
    "res2unet_lits_slices": ("volumes", {}, ["--channels", 8, "--patches", 1, "--spacing", 8, 8, 8]),
    "pix2pix_facades": (
        "shapes-masks",
        {"model": "res2_generator_tiny", "batch_size": 1},
        ["--discriminator-channels", 8, "--hold", 0],
    ),
    "panoptic_fpn_3x": ("shapes", {}, [*SMALL_DETECTOR, "--min-sizes", 64, 96]),
    **{name: ("shapes", {}, []) for name in IMAGES},
}
"""What each learns from, and options that make it small."""

SHORT = ["--epochs", 1, "--milestones", "--warmup", 0, "--overfit", 2]


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """Not to be changed."""
    return write_coco(tmp_path_factory.mktemp("data") / "things")


@pytest.fixture
def shrunk(tiny):
    """Options that make a tiny run of any recipe."""
    return tiny(batch_size=2) + SMALL_DETECTOR + SHORT


@pytest.mark.parametrize("name", first_quick(DETECTORS))
def test_recipes_run(run, trained, shrunk, coco, tmp_path, name):
    """Shortened, with a tiny network and its weights from another task."""
    options = [*shrunk, "--weights", trained.best, "--out", tmp_path / "run"]
    answer = run("train", "--recipe", name, coco, *options)
    assert answer.status == 0, answer.err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    recipe = RECIPES[name].configure()
    assert written["task"]["detector"] == recipe.task.detector
    assert (written["task"]["freeze"], written["task"]["freeze_norms"]) == (2, True)
    assert (written["optim"]["lr"], written["data"]["batch_size"]) == (0.02, 2)


@pytest.fixture(scope="session")
def pixels(tmp_path_factory, coco, run):
    """A function that gives the folder of a data set for that task; not to be changed."""
    folder = tmp_path_factory.mktemp("pixels")
    for task, to in (("segment", "semantic"), ("saliency", "saliency")):
        answer = run("data", "prepare", coco, "--to", to, "--out", folder / task)
        assert answer.status == 0, answer.err
    return folder.joinpath


@pytest.mark.parametrize("name", first_quick(OF_PIXELS))
def test_recipes_of_pixels_run(run, trained, tiny, pixels, tmp_path, name):
    options = [*tiny(batch_size=2), *SHORT, "--crop", 64, 64, "--channels", 8, "--weights", trained.best]
    answer = run("train", "--recipe", name, pixels(TASKS[name]), *options, "--out", tmp_path / "run")
    assert answer.status == 0, answer.err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    recipe = RECIPES[name].configure()
    assert (written["task"]["decoder"], written["optim"]["lr"]) == (recipe.task.decoder, recipe.optim.lr)


@pytest.mark.parametrize("name", first_quick(SYNTHETIC))
def test_recipes_run_on_synthetic_data(run, trained, tiny, tmp_path, name):
    source, usual, options = SYNTHETIC[name]
    recipe = RECIPES[name].configure()
    weights = ["--weights", trained.best] if recipe.model.weights else []
    if getattr(recipe.task, "teacher", None):
        teacher = run("train", f"{source}:4,3", *tiny(batch_size=2), *SHORT, "--out", tmp_path / "teacher")
        assert teacher.status == 0, teacher.err
        weights += ["--teacher", tmp_path / "teacher", "--accumulate", 1]
    words = [*tiny(**{"batch_size": 2} | usual), *SHORT, *options, *weights, "--out", tmp_path / "run"]
    answer = run("train", "--recipe", name, f"{source}:4,3", *words)
    assert answer.status == 0, answer.err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["task_name"] == TASKS[name]
    for option in ("optimizer", "lr", "weight_decay", "poly_power", "lr_end"):
        assert written["optim"][option] == getattr(recipe.optim, option)


def test_every_recipe_is_tried():
    assert {*TASKS} == {*DETECTORS, *OF_PIXELS, *SYNTHETIC, "simple_baseline_256x192"}


def test_a_recipe_of_key_points_runs(run, trained, tiny, tmp_path):
    people = write_coco(tmp_path / "people", points=("head", "hand"))
    options = [*tiny(batch_size=2), *SHORT, "--crop", 64, 48, "--channels", 16, "--weights", trained.best]
    answer = run("train", "--recipe", "simple_baseline_256x192", people, *options, "--out", tmp_path / "run")
    assert answer.status == 0, answer.err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["task"]["crop"], written["optim"]["lr"]) == ([64, 48], 1e-3)


def test_a_recipe_is_written_and_read_as_yaml(run, shrunk, coco, tmp_path):
    answer = run("recipes", "mask_rcnn_2x")
    assert answer.out.startswith("# Mask R-CNN")
    (tmp_path / "own.yaml").write_text(answer.out)
    options = [*shrunk, "--weights", "None", "--config", tmp_path / "own.yaml", "--out", tmp_path / "run"]
    assert run("train", "instance", coco, *options).status == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["optim"]["lr"] == 0.02


def test_all_are_listed(run):
    answer = run("recipes")
    assert answer.status == 0
    for name in RECIPES:
        assert name in answer.out


def test_what_does_not_fit_is_told(refused, coco, tmp_path):
    assert "did you mean 'mask_rcnn_1x'?" in refused("train", "--recipe", "mask_rcnn1x", coco)
    assert "did you mean 'mask_rcnn_1x'?" in refused("recipes", "mask_rcnn1x")
    sentence = "The recipe mask_rcnn_1x is for the task instance, not for detect: name the task instance instead."
    assert refused("train", "detect", coco, "--recipe", "mask_rcnn_1x") == sentence
    assert refused("train", "--recipe", "mask_rcnn_1x").startswith("SOURCE is missing")
    both = ["--recipe", "mask_rcnn_1x", "--config", tmp_path / "own.yaml"]
    assert refused("train", coco, *both).startswith("--recipe and --config exclude each other")
    assert refused("train", coco, "--recipe", "mask_rcnn_1x", "--epochs", 6, "--milestones", 8, 11) == (
        "Milestones 8, 11 do not fit a run of 6 epochs: give rising numbers from 1 to 5."
    )


def test_a_resumed_run_takes_no_recipe(refused, trained):
    sentence = refused("train", "--resume", trained.folder, "--recipe", "mask_rcnn_1x")
    assert sentence.startswith("A resumed run keeps its options")


def test_reproduce_prints_a_table_with_the_goal(run, tiny, tmp_path):
    words = ["--epochs", 1, "--warmup", 0, "--batch-size", 8, "--workers", 0, "--out", tmp_path / "run"]
    answer = run("reproduce", "shapes_saliency", "shapes:16,4", *words, "--crop", 32, 32, "--channels", 8)
    assert answer.status == 0, answer.err
    for word in ("untrained", "constant", "trained", "max_F", "85"):
        assert word in answer.out
    assert (tmp_path / "run" / "report.html").is_file()


def test_reproduce_refuses_what_it_cannot_do(refused, coco):
    assert "did you mean 'shapes_detect'?" in refused("reproduce", "shapes_detec")
    assert refused("reproduce", "mask_rcnn_1x").startswith("SOURCE is missing")
    for option in ("--recipe", "--config", "--resume"):
        assert "leave out --recipe" in refused("reproduce", "shapes_detect", option, "mask_rcnn_1x")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {"zero_init_last": False}),
        (("--options", "scale", "2"), {"zero_init_last": False, "scale": 2}),
        (("--options", "zero_init_last", "True", "act", "mish"), {"zero_init_last": True, "act": "mish"}),
        (("--model", "resnet20_small"), {"zero_init_last": False}),
        (("--model", "inception_v3"), {}),
    ],
)
def test_options_of_the_architecture_are_added_to_those_of_a_recipe(capsys, words, options):
    config = RECIPES["shapes_segment"].configure()
    assert parse_run("train", ["shapes", *words], config).run.model.options == options
    said = "inception_v3 has no option zero_init_last: without it.\n" if not options else ""
    assert capsys.readouterr().out == said
