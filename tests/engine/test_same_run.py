"""A resumed run is the same run: its state, configuration, data and folder are compared with those at hand."""

import gzip
import io
import math
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

import res2net
from res2net.console import Console
from res2net.engine.config import default_config, override, read_config
from res2net.engine.folder import RunFolder
from res2net.engine.identity import compare_data, read_samples
from res2net.engine.state import VERSION, AtomicCheckpointIO, read_state
from res2net.engine.stop import StoppedError
from res2net.errors import InputError
from res2net.images.fingerprint import SampleKey
from res2net.weights import read_checkpoint, save

SMALL = {
    "model": "res2net20_26w_4s_tiny",
    "size": 32,
    "batch_size": 4,
    "workers": 0,
    "accelerator": "cpu",
    "epochs": 3,
}


def write_classes(root, names=("ball", "box"), each=5):
    for shade, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(each):
            Image.new("RGB", (32, 32), (40 * index, 99 * shade, 7)).save(root / name / f"{index}.png")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with `data` and a `run` on them that was stopped in the first batch of its second epoch."""
    root = tmp_path_factory.mktemp("stopped")
    write_classes(root / "data")
    before, steps = torch.optim.SGD.step, []

    def step(self, *arguments, **options):
        steps.append(self)
        if len(steps) == 3:
            os.kill(os.getpid(), 2)
        return before(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        patch.chdir(root)
        with pytest.raises(StoppedError):
            res2net.train("classify", "data", out="run", console=Console(quiet=True), **SMALL)
    return root


@pytest.fixture
def copied(stopped, tmp_path, monkeypatch):
    """A copy to change, in the current folder."""
    shutil.copytree(stopped, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")


def refused(**options):
    with pytest.raises(InputError) as error:
        res2net.train(resume="run", console=Console(quiet=True), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def rename(old, new):
    return lambda: Path(old).rename(new)


def copy_file(old, new):
    def change():
        Path(new).parent.mkdir(exist_ok=True)
        shutil.copy(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (rename("data/ball", "data/sphere"), "classes removed: ball; classes added: sphere"),
        (rename("data/box", "data/Box"), "classes removed: box; classes added: Box"),
        (lambda: shutil.copytree("data/box", "data/cone"), "classes added: cone"),
        (lambda: shutil.rmtree("data/box") or write_classes(Path("data"), ("a", "b")), "classes removed: box"),
        (copy_file("data/box/0.png", "data/box/9.png"), "added (such as box/9.png)"),
        (lambda: Path("data/ball/3.png").unlink(), "removed (such as ball/3.png)"),
        (lambda: Image.new("RGB", (90, 80)).save("data/ball/3.png"), "1 changed (such as ball/3.png)"),
        (lambda: exchange("data/ball/3.png"), "1 changed (such as ball/3.png)"),
        (lambda: [exchange(f"data/box/{index}.png") for index in range(5)], "changed (such as box/"),
        (rename("data", "elsewhere"), "say where they are now with --resume run SOURCE"),
        (lambda: edit_config("lr: 0.05", "lr: 0.07"), "was edited since the run began (lr was 0.05 and is 0.07)"),
        (lambda: edit_config("  epochs: 3", "  epochs: 8"), "(epochs was 3 and is 8)"),
        (lambda: edit_config("  label_smoothing: 0.0", "  label_smoothing: 0.5"), "label_smoothing was 0.0 and is 0.5"),
    ],
)
def test_what_changed_is_named(copied, change, text):
    change()
    message = refused()
    assert text in message
    assert read_state("run/last.ckpt")["place"] == {"epoch": 1, "batch": 1}  # nothing is lost


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors"])
@pytest.mark.parametrize("run", ["0123456789abcdef", None])
def test_weights_of_another_run_are_refused(copied, name, run):
    checkpoint = read_checkpoint(f"run/{name}")
    save(f"run/{name}", checkpoint.tensors, checkpoint.metadata | {"run": run})
    assert f"run/{name} belongs to another run than run/last.ckpt: restore the file of this run." in refused()


def test_the_best_weights_may_be_gone_which_is_said(copied):
    Path("run/best.safetensors").unlink()
    out = io.StringIO()
    resumed = res2net.train(resume="run", console=Console(file=out, width=400))
    assert "run/best.safetensors is missing: the best epoch from here on takes its place." in out.getvalue()
    scores = [row["val_top1"] for row in resumed.rows[1:]]
    assert read_checkpoint("run/best.safetensors").metadata["metrics"]["top1"] == max(scores)


@pytest.mark.parametrize("path", ["run", "run/", "run/last.ckpt", "./run/last.ckpt"])
def test_the_state_of_a_run_stands_for_its_folder(copied, path):
    assert RunFolder.existing(path).path == Path("run")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("run/best.safetensors", "(it has no config.yaml): give run."),
        ("run/config.yaml", "(it has no config.yaml): give run."),
        ("data", "(it has no config.yaml): give one under runs/."),
        ("rum", "(it does not exist): give one under runs/."),
        ("rum/last.ckpt", "(it does not exist): give one under runs/."),
    ],
)
def test_what_is_no_folder_of_a_run(copied, path, text):
    with pytest.raises(InputError, match=re.escape(f"{path} is not the folder of a run {text}")):
        RunFolder.existing(path)


@pytest.mark.parametrize("out", ["elsewhere", "runs/run", "run/run"])
def test_a_resumed_run_stays_in_its_folder(copied, out):
    with pytest.raises(InputError, match=r"A resumed run keeps --out: leave that out of --resume run "):
        res2net.train(resume="run", out=out)


def exchange(name):
    """Put other bytes of the same number in place of an image."""
    path = Path(name)
    size = path.stat().st_size
    Image.new("RGB", (32, 32), "white").save(path, compress_level=9)
    path.write_bytes(path.read_bytes()[:size].ljust(size, b"\0"))
    assert path.stat().st_size == size


def edit_config(old, new):
    text = Path("run/config.yaml").read_text()
    assert text.count(old) == 1
    Path("run/config.yaml").write_text(text.replace(old, new))


def test_more_epochs_moved_data_and_accepted_samples(copied):
    Path("run").rename("moved")
    Path("data").rename("elsewhere")
    with pytest.raises(InputError, match=r"has trained for 1 epochs and a part of the next, and --epochs is 1"):
        res2net.train(resume="moved", source="elsewhere", epochs=1)
    shutil.copy("elsewhere/ball/1.png", "elsewhere/ball/8.png")
    shutil.copy("elsewhere/ball/1.png", "elsewhere/ball/9.png")
    out = io.StringIO()
    options = {"source": "elsewhere", "epochs": 4, "accept_changed_data": True}
    resumed = res2net.train(resume="moved", console=Console(file=out, width=400), **options)
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3, 4]
    assert "2 added (such as ball/8.png)" in out.getvalue()
    assert "Epoch 2 starts again, since its samples changed." in out.getvalue()
    assert "cosine is now that of 4 epochs instead of 3, from epoch 2 on" in out.getvalue()
    written = read_config("moved/config.yaml")
    assert (written.optim.epochs, written.source) == (4, "elsewhere")
    # With batches of 4 of the 9 or 10 images to train on there are 2 updates an epoch, and 8 in all.
    assert resumed.rows[-1]["lr"] == pytest.approx(0.05 * (1 + math.cos(math.pi * 7 / 8)) / 2)
    assert (
        len(read_samples(RunFolder(Path("moved")))[1]["train"])
        == read_state("moved/last.ckpt")["run"]["train"]["count"]
    )


EDITS = {
    "no version": lambda state: state["run"].pop("version"),
    "another version": lambda state: state["run"].update(version=VERSION + 1),
    "another run": lambda state: state["run"].update(id="0123456789abcdef"),
    "no place": lambda state: state.pop("place"),
    "a negative batch": lambda state: state["place"].update(batch=-1),
    "a batch that is text": lambda state: state["place"].update(batch="1"),
    "another batch": lambda state: state["place"].update(batch=0),
    "another epoch": lambda state: state["place"].update(epoch=2),
    "a table of another length": lambda state: state["res2net"].update(rows=[]),
    "a loss that is NaN": lambda state: state["res2net"]["loss"].fill_(torch.nan),
    "no best": lambda state: state["res2net"].pop("best"),
    "random numbers of nothing": lambda state: state["random"]["cpu"].zero_(),
    "no weights": lambda state: state["state_dict"].clear(),
    "a weight of another shape": lambda state: state["state_dict"].update({"task.model.fc.bias": torch.zeros(3)}),
    "a weight of another type": lambda state: halve(state["state_dict"], "task.model.fc.bias"),
    "another number of updates": lambda state: state.update(global_step=7),
    "no optimizer": lambda state: state["optimizer_states"].clear(),
    "momentum of another shape": lambda state: state["optimizer_states"][0]["state"][0].update(
        momentum_buffer=torch.zeros(2)
    ),
    "momentum that is text": lambda state: state["optimizer_states"][0]["state"][0].update(momentum_buffer="0"),
    "another rate": lambda state: state["optimizer_states"][0]["param_groups"][0].update(lr=3.0),
    "another momentum": lambda state: state["optimizer_states"][0]["param_groups"][0].update(momentum=0.1),
    "a schedule elsewhere": lambda state: state["lr_schedulers"][0].update(last_epoch=9),
    "a schedule of another length": lambda state: state["lr_schedulers"][0].update(T_max=9),
    "no loops": lambda state: state["loops"].clear(),
    "another configuration": lambda state: state["run"]["config"]["optim"].update(lr=0.5),
    "a backbone without options": lambda state: state["run"]["model"].update(options=3),
}


def halve(tensors, name):
    tensors[name] = tensors[name].half()


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_state_is_refused(copied, name):
    """Also with a right checksum, as somebody who knows how to write one could make it."""
    state = read_state("run/last.ckpt")
    EDITS[name](state)
    AtomicCheckpointIO().save_checkpoint(state, "run/last.ckpt")
    assert "run/last.ckpt" in refused() or name == "another configuration"


def test_every_flipped_bit_of_a_state_is_seen(stopped, tmp_path):
    whole = (stopped / "run" / "last.ckpt").read_bytes()
    random = torch.Generator().manual_seed(0)
    ends = [0, len(whole) - 1, len(whole) - 64, len(whole) - 66]
    for place in [*ends, *torch.randint(len(whole), (30,), generator=random).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        (tmp_path / "last.ckpt").write_bytes(damaged)
        with pytest.raises(InputError, match="damaged or not the state of a run"):
            read_state(tmp_path / "last.ckpt")
    for shorter in (whole[:-1], whole[: len(whole) // 2], b""):
        (tmp_path / "last.ckpt").write_bytes(shorter)
        with pytest.raises(InputError, match="damaged or not the state of a run"):
            read_state(tmp_path / "last.ckpt")


def test_a_state_with_a_checksum_is_still_a_file_of_torch(stopped):
    assert torch.load(stopped / "run" / "last.ckpt", weights_only=True)["place"] == {"epoch": 1, "batch": 1}


def test_a_run_does_not_need_the_weights_it_began_with(copied):
    state = read_state("run/last.ckpt")
    edit_config("\n  weights: null", "\n  weights: gone.pth")
    state["run"]["config"]["model"]["weights"] = "gone.pth"
    AtomicCheckpointIO().save_checkpoint(state, "run/last.ckpt")
    resumed = res2net.train(resume="run", console=Console(quiet=True))
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3]


def test_the_list_of_samples_may_be_gone(copied):
    Path("run/samples.csv.gz").unlink()
    Path("data/ball/3.png").unlink()
    assert "8 samples then, 7 now, and not the same" in refused()


def test_a_list_of_samples_without_contents_is_said_and_completed(copied):
    path = Path("run/samples.csv.gz")
    header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    older = [header.replace("content,", ""), *(row.rpartition(",")[0] for row in rows)]
    path.write_bytes(gzip.compress("\n".join(older).encode()))
    out = io.StringIO()
    res2net.train(resume="run", console=Console(file=out, width=400))
    assert "run/samples.csv.gz has no contents of files, so that only names, sizes and labels were" in out.getvalue()
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == [header, *rows]


def test_samples_are_listed(stopped):
    text = gzip.decompress((stopped / "run" / "samples.csv.gz").read_bytes()).decode()
    lines = text.splitlines()
    assert lines[0].startswith("split,name,bytes,label,content,")
    size = (stopped / "data" / "ball" / "1.png").stat().st_size
    ours = [line for line in lines if f",ball/1.png,{size}," in line]
    assert len(ours) == 1
    assert ours[0].partition(",")[0] in ("train", "val")
    assert len(lines) == 11


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_two_trainings_of_a_run_are_kept_apart(tmp_path):
    folder = RunFolder(tmp_path)
    folder.acquire()
    assert folder.is_locked()
    with pytest.raises(InputError, match=rf"Process {os.getpid()} is training the run in .*: wait until it ends"):
        RunFolder(tmp_path).acquire()
    child = os.fork()
    if not child:
        os._exit(10 + RunFolder(tmp_path).is_locked())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
    folder.release()
    assert not folder.is_locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_the_lock_ends_with_its_process_although_a_worker_lives_on(tmp_path):
    folder = RunFolder(tmp_path)
    folder.acquire()
    ready, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"x")
        while True:
            signal.pause()
    try:
        os.read(ready, 1)
        folder.release()
        assert not folder.is_locked()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_folders_of_runs_are_never_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = override(default_config("classify", "data"), {"model": "resnet50"})
    one, other = RunFolder.create(config), RunFolder.create(config)
    one.release()
    other.release()
    assert one.path.name == "resnet50-data-1"
    assert other.path.name == "resnet50-data-2"
    named = override(config, {"out": "named"})
    first = RunFolder.create(named)
    with pytest.raises(InputError, match="is training the run in named"):
        RunFolder.create(named)
    # A run that ended before its first checkpoint is started again, and what was left of a write is removed.
    first.release()
    for name in (".last.ckpt.0a1b2c3d.tmp", ".metrics.csv.ffffffff.tmp", ".hidden.tmp", "notes.tmp"):
        (Path("named") / name).touch()
    again = RunFolder.create(named)
    assert {path.name for path in Path("named").iterdir()} == {"config.yaml", ".lock", ".hidden.tmp", "notes.tmp"}
    again.release()
    again.state.touch()
    with pytest.raises(InputError, match="holds a run already: choose another --out, or go on with --resume named"):
        RunFolder.create(named)


def test_swapped_classes_are_named_by_their_order():
    record = type("Record", (), {"facts": {"class_names": ["a", "b"]}, "train": {"count": 3}, "val": {"count": 0}})()
    folder = RunFolder(Path("none"))
    changes = compare_data(folder, record, {"class_names": ["b", "a"]}, {"train": [SampleKey("x", "1", "")], "val": []})
    assert changes.classes == ["classes are in another order: a, b then, b, a now"]


def test_options_that_only_say_how_to_run_may_change(copied):
    resumed = res2net.train(resume="run", console=Console(quiet=True), save_minutes=1, patience=9, bad_images="skip")
    assert len(resumed.rows) == 3
    assert read_config("run/config.yaml").patience == 9
