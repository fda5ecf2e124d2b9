"""What a run starts from if nothing is said: the size, batch, optimizer and learning rate that suit the task."""

import pytest
from PIL import Image

from res2net.commands.train import parse_run
from res2net.engine.config import DataConfig, OptimConfig, default_config, read_config, size_and_options
from res2net.errors import InputError
from res2net.images.folder import ImageFiles, enlargement_note
from res2net.task import task_names
from res2net.tasks.objects.detect.options import DetectOptions
from res2net.tasks.objects.keypoints.options import KeypointsOptions


@pytest.mark.parametrize(
    ("task", "size", "batch_size", "optimizer", "lr"),
    [
        ("classify", None, 64, "sgd", 0.05),
        ("click", 384, 8, "sgd", 0.007),
        ("depth", 448, 4, "adamw", 1e-4),
        ("detect", 800, 16, "sgd", 0.02),
        ("instance", 800, 16, "sgd", 0.02),
        ("keypoints", None, 128, "adamw", 1e-3),
        ("panoptic", 800, 16, "sgd", 0.02),
        ("roads", 512, 5, "adam", 1e-3),
        ("saliency", 400, 10, "adamw", 5e-5),
        ("segment", 513, 16, "sgd", 0.007),
        ("translate", 256, 1, "adam", 2e-4),
        ("volumes", 128, 2, "sgd", 0.01),
    ],
)
def test_published_numbers_of_each_task(task, size, batch_size, optimizer, lr):
    config = default_config(task)
    assert (config.data.size, config.data.batch_size) == (size, batch_size)
    assert (config.optim.optimizer, config.optim.lr) == (optimizer, lr)


@pytest.mark.parametrize("task", task_names())
def test_an_embedded_data_set_keeps_its_size_and_any_number_of_epochs_fits(task):
    assert default_config(task, "shapes:8,4").data.size is None
    words = ["x", "--epochs", "1", "--schedule", "one-cycle", "--lr", "1"]
    optim = parse_run("train", words, default_config(task)).run.optim
    assert (optim.epochs, optim.schedule, optim.lr) == (1, "one-cycle", 1.0)


def test_the_options_of_the_task_count():
    assert default_config("detect", "x", DetectOptions(detector="fcos")).optim.lr == 0.01
    found = default_config("keypoints", "x", KeypointsOptions(detector="keypoint_rcnn"))
    assert (found.data.size, found.data.batch_size, found.optim.lr) == (800, 16, 0.02)


def test_files_are_read_as_before(tmp_path):
    (tmp_path / "run.yaml").write_text("task_name: instance\noptim: {epochs: 3}\n")
    found = read_config(tmp_path / "run.yaml")
    assert (found.data, found.optim) == (DataConfig(), OptimConfig(epochs=3))


def sized(task, *words):
    size, options = size_and_options(parse_run("train", ["x", "--size", *words], default_config(task)).run)
    return size, getattr(options, "crop", None)


def test_a_height_and_a_width_are_the_crop_where_there_is_one():
    assert sized("segment", "480", "640") == (640, (480, 640))
    assert sized("click", "96") == (96, None)
    assert sized("keypoints", "128", "96") == (128, (128, 96))
    assert sized("roads", "96", "96") == (96, None)


@pytest.mark.parametrize(
    ("task", "words", "reason"),
    [
        ("detect", ("480", "640"), "--size 480 640 does not fit the task detect: give one number, the shorter side"),
        ("classify", ("224", "192"), "--size 224 192 does not fit the task classify: give one number"),
        ("depth", ("64", "96", "--crop", "64", "64"), "--size 64 96 and --crop 64 64 differ: give one."),
    ],
)
def test_sizes_that_do_not_fit(task, words, reason):
    with pytest.raises(InputError) as error:
        sized(task, *words)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("sides", "size", "note"),
    [
        ((48, 48, 400), 224, "about 48 pixels, and is enlarged to 224: --size 48 keeps their size"),
        ((20, 20), 224, "about 20 pixels, and is enlarged to 224."),
        ((224, 500), 224, ""),
    ],
)
def test_small_images_are_not_enlarged_without_a_word(tmp_path, sides, size, note):
    for index, side in enumerate(sides):
        Image.new("RGB", (side, side + index)).save(tmp_path / f"{index}.png")
    (tmp_path / "9.png").write_bytes(b"broken")
    paths = sorted(map(str, tmp_path.glob("*.png")))
    found = enlargement_note(ImageFiles(paths, [0] * len(paths), ["a"]), size)
    assert note in found
    assert bool(found) == bool(note)
