"""A run leaves what it promises, repeats itself exactly, and saves what it evaluated."""

import csv
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

import res2net
from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig, read_yaml
from res2net.engine.evaluate import evaluate
from res2net.engine.report import write_run_report
from res2net.engine.restore import restore_task
from res2net.engine.train import train, with_model
from res2net.errors import InputError
from res2net.images import open_source
from res2net.images.loader import eval_loader
from res2net.options import from_dict
from res2net.tasks.classify.task import ClassifyOptions
from res2net.tasks.pixels.segment.task import SegmentOptions
from res2net.weights import save
from res2net.zoo import create_model


def weights(trained, name="last"):
    return load_file(getattr(trained.folder, name))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def trained(small_run, console):
    return train(small_run(), console=console)


def test_the_folder_holds_everything(trained, small_run):
    folder = trained.folder
    write_run_report(trained, small_run())
    names = {path.name for path in folder.path.iterdir()}
    expected = {"config.yaml", "metrics.csv", "tensorboard", "best.safetensors", "last.safetensors", "last.ckpt"}
    assert names == expected | {"report.html", "samples.csv.gz", ".lock"}
    assert any(path.name.startswith("events") for path in (folder.path / "tensorboard").iterdir())
    page = folder.report.read_text()
    for part in ("Confusions", "Hardest images", "Configuration", "size of the object"):
        assert part in page
    assert from_dict(TrainConfig[ClassifyOptions], read_yaml(folder.config)) == small_run()


def test_metrics_are_one_row_an_epoch(trained):
    rows = list(csv.DictReader(trained.folder.metrics.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row, kept in zip(rows, trained.rows, strict=True):
        assert {name: float(value) for name, value in row.items()} == kept
        assert 0 <= kept["val_top1"] <= kept["val_top5"] <= 100
        assert kept["images_per_s"] > 0
    # 80 images in batches of 16 are 5 updates an epoch; the row tells the rate of the last: a cosine from 0.05.
    assert rows[1]["lr"] == pytest.approx(str(trained.rows[1]["lr"]))
    assert trained.rows[1]["lr"] < trained.rows[0]["lr"] < 0.05


def test_evaluating_the_best_weights_again_gives_the_score_that_the_run_printed(trained):
    best = max(trained.rows, key=lambda row: row["val_top1"])
    task, checkpoint = restore_task(trained.folder.best)
    loader = eval_loader(open_source("shapes:80,40").transformed(task.transform(True), task.transform(False))[1], 16)
    again = evaluate(task, loader, accelerator="cpu").metrics
    for metrics in (again, trained.evaluation.metrics, checkpoint.metadata["metrics"]):
        assert metrics["top1"] == best["val_top1"]
        assert metrics["loss"] == pytest.approx(best["val_loss"], abs=1e-6)


def test_what_it_saves_is_a_model_of_the_library(trained):
    model, checkpoint = res2net.load_model(trained.folder.best)
    assert model.variant_name == "res2net20_26w_4s_tiny"
    assert model.num_classes == 16
    assert checkpoint.metadata["class_names"][0] == "striped square"
    by_name = res2net.create_model("res2net20_26w_4s_tiny", trained.folder.best)
    assert equal(model.state_dict(), by_name.state_dict())


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(small_run, console):
    options = {"task": {"mixup": 0.2, "erase": 0.5}, "model": {"options": {"drop_path_rate": 0.2}}}
    first = train(small_run("first", **options), console=console)
    second = train(small_run("second", data={"workers": 1}, **options), console=console)
    other = train(small_run("other", seed=1, **options), console=console)
    assert equal(weights(first), weights(second))
    assert not equal(weights(first), weights(other))


@pytest.mark.slow
def test_training_learns(small_run, console):
    """Far above chance on the training images themselves: the loss falls and the evaluation sees it."""
    optim = {"epochs": 30, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 0.0}
    trained = train(small_run(optim=optim, model={"options": {"zero_init_last": False}}), console=console)
    losses = [row["train_loss"] for row in trained.rows]
    assert losses[0] > 2
    assert losses[-1] < 0.6


def test_mixed_precision_and_the_other_memory_format(small_run, console):
    trained = train(small_run(precision="bf16", channels_last=False), console=console)
    assert all(tensor.dtype == torch.float32 for name, tensor in weights(trained).items() if "num_batches" not in name)


def test_fp16_needs_a_gpu(small_run, console):
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        train(small_run(precision="fp16"), console=console)


def test_an_average_of_the_weights_is_what_is_evaluated_and_saved(small_run, console):
    """Against an average computed here: the first update copies, the later ones average (Polyak and Juditsky)."""
    plain = train(small_run("plain", optim={"epochs": 1}), console=console)
    averaged = train(small_run("averaged", optim={"epochs": 1, "ema": 0.999}), console=console)
    plain_fc, averaged_fc = (weights(run)["fc.weight"] for run in (plain, averaged))
    state = torch.load(averaged.folder.state, weights_only=True)
    current = state["current_model_state"]["task.model.fc.weight"]
    assert torch.equal(current, plain_fc)  # the average changes nothing in the training itself
    assert not torch.equal(averaged_fc, plain_fc)
    assert torch.equal(state["state_dict"]["task.model.fc.weight"], averaged_fc)


def test_compiled_training_works(small_run, console, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_options: function)  # a real one takes a minute
    trained = train(small_run(compile=True, optim={"epochs": 1}), console=console)
    assert "fc.weight" in weights(trained)


def test_a_folder_with_a_run_is_not_overwritten(small_run, console):
    train(small_run(optim={"epochs": 1}), console=console)
    with pytest.raises(InputError, match="holds a run already"):
        train(small_run(optim={"epochs": 1}), console=console)


def test_folders_are_numbered_by_default(small_run, console, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(small_run(optim={"epochs": 1}), out=None)
    folders = [train(config, console=console).folder.path.name for _ in range(2)]
    assert folders == ["res2net20_26w_4s_tiny-shapes-80-40-1", "res2net20_26w_4s_tiny-shapes-80-40-2"]
    saved = yaml.safe_load((tmp_path / "runs" / folders[0] / "config.yaml").read_text())
    assert saved["optim"]["epochs"] == 1


def test_one_image_is_too_few_for_a_normalisation_over_the_batch(tmp_path, console):
    """That of DeepLab's pooling has one value of each channel then."""
    config = TrainConfig(
        "segment",
        "shapes:80,40",
        SegmentOptions(channels=8, crop=(32, 32)),
        ModelConfig("res2net20_26w_4s_tiny"),
        DataConfig(batch_size=1, workers=0),
        OptimConfig(epochs=1),
        accelerator="cpu",
        out=str(tmp_path / "run"),
    )
    with pytest.raises(InputError, match=r"^This network normalises over .* give --batch-size 2 or more\.$"):
        train(config, console=console)


def test_the_weights_name_the_model(tmp_path):
    name = "res2net20_26w_4s_tiny"
    save(tmp_path / "best.safetensors", create_model(name, num_classes=3).state_dict(), {"model": name})
    torch.save({"arch": name, "state_dict": create_model(name).state_dict()}, tmp_path / "other.pth")
    torch.save(create_model(name).state_dict(), tmp_path / "unnamed.pth")

    def chosen(**options):
        return with_model(TrainConfig("classify", "shapes", ClassifyOptions(), ModelConfig(**options))).model.model

    assert chosen() == chosen(weights="in1k") == chosen(weights=str(tmp_path / "unnamed.pth")) == "res2net50_26w_4s"
    assert chosen(weights=str(tmp_path)) == chosen(weights=str(tmp_path / "best.safetensors")) == name
    assert chosen(weights=str(tmp_path / "other.pth")) == name
    assert chosen(weights=str(tmp_path), model="resnet20_tiny") == "resnet20_tiny"  # refused when it is created
    with pytest.raises(InputError, match=f"holds a '{name}', not a 'resnet20_tiny'"):
        create_model("resnet20_tiny", str(tmp_path))
