"""Writing checkpoints: exactly, and whole or not at all."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest
import torch

from res2net.errors import InputError
from res2net.weights import Checkpoint, atomic_write, load, read_checkpoint, save


def test_what_is_saved_comes_back_bit_by_bit(tmp_path, tiny):
    tensors = tiny().state_dict()
    metadata = {"model": "res2net26_26w_4s", "metrics": {"top-1": 12.5}, "classes": ["Ä", "b"], "none": None}
    save(tmp_path / "new" / "a.safetensors", tensors, metadata)
    back = read_checkpoint(tmp_path / "new" / "a.safetensors")
    assert back.metadata == metadata
    assert back.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert torch.equal(back.tensors[name], tensor)


def test_a_saved_network_computes_the_same(tmp_path, tiny):
    x = torch.randn(2, 3, 32, 32)
    model, other = tiny(seed=1), tiny(seed=2)
    save(tmp_path / "a.safetensors", model.state_dict())
    assert not torch.equal(model(x), other(x))
    load(other, read_checkpoint(tmp_path / "a.safetensors"))
    assert torch.equal(model(x), other(x))


def test_shared_and_scattered_tensors_are_written_as_copies(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"whole": whole, "view": whole[1], "transposed": whole.T, "same": whole, "one": torch.ones(1).expand(5)}
    save(tmp_path / "a.safetensors", tensors)
    back = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_names_that_look_like_wrappers_come_back_as_they_were(tmp_path):
    save(tmp_path / "a.safetensors", {"module.model.w": torch.ones(1)})
    assert list(read_checkpoint(tmp_path / "a.safetensors").tensors) == ["module.model.w"]


def full_disk(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch, step):
    path = tmp_path / "a.safetensors"
    save(path, {"w": torch.ones(3)}, {"epoch": 1})
    before = path.read_bytes()
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], full_disk)
    with pytest.raises(InputError, match=rf"No space left on the disk for {re.escape(str(path))}"):
        save(path, {"w": torch.zeros(3)}, {"epoch": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_half_way_leaves_the_previous_file(tmp_path):
    def half(file):
        file.write(b"half")
        full_disk()

    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    with pytest.raises(InputError, match="No space left"):
        atomic_write(path, half)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_that_is_really_full(tmp_path):
    """The system's own error, not a made one: everything written to this device fails."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a device that is always full")

    def to_the_device(_file):
        with Path("/dev/full").open("wb") as device:
            device.write(b"x")

    with pytest.raises(InputError, match="No space left"):
        atomic_write(tmp_path / "a.txt", to_the_device)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mistake", [KeyboardInterrupt, ZeroDivisionError])
def test_other_failures_pass_and_leave_nothing(tmp_path, mistake):
    def fail(file):
        file.write(b"half")
        raise mistake

    (tmp_path / "a.txt").write_bytes(b"before")
    with pytest.raises(mistake):
        atomic_write(tmp_path / "a.txt", fail)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"before"]


def test_permission_and_place_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write"):
        atomic_write(tmp_path / "file" / "a.txt", lambda file: file.write(b"x"))
    with pytest.raises(InputError, match="Cannot write"):
        atomic_write(tmp_path, lambda file: file.write(b"x"))

    def refuse(*_args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match="No permission to write"):
        atomic_write(tmp_path / "a.txt", lambda file: file.write(b"x"))


def test_the_file_has_the_usual_permissions(tmp_path):
    """Not those of a temporary file, which only its owner may read."""
    (tmp_path / "usual").touch()
    atomic_write(tmp_path / "a.txt", lambda file: file.write(b"x"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_metadata_that_fit_no_json_leave_no_file(tmp_path):
    with pytest.raises(TypeError):
        save(tmp_path / "a.safetensors", {"w": torch.ones(1)}, {"when": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_made_in_memory_needs_no_file(tiny):
    model, other = tiny(seed=1), tiny(seed=2)
    load(other, Checkpoint(model.state_dict()))
    assert torch.equal(other.conv1.weight, model.conv1.weight)


@pytest.mark.parametrize("content", [b"x" * 100, lambda file: [file.write(b"x") for _ in range(100)]])
def test_all_bytes_are_with_the_system_before_they_are_synchronised(tmp_path, monkeypatch, content):
    """A file that is synchronised with bytes left in Python's buffer can be cut off by a power failure."""
    sizes, fsync = [], os.fsync

    def observed(descriptor):
        sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", observed)
    atomic_write(tmp_path / "file", content)
    assert sizes == [100]
    assert (tmp_path / "file").read_bytes() == b"x" * 100
