"""Reading files of any origin: what is taken out of them, and what is refused without running it."""

import argparse
import json
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from res2net.errors import InputError
from res2net.weights import read_checkpoint

TENSORS = {"conv1.weight": torch.arange(6.0).view(2, 3), "bn1.running_mean": torch.ones(2)}


def same(given, expected):
    return given.keys() == expected.keys() and all(torch.equal(given[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_safetensors_are_known_by_content(tmp_path, name):
    safetensors.torch.save_file(TENSORS, tmp_path / name)
    checkpoint = read_checkpoint(tmp_path / name)
    assert same(checkpoint.tensors, TENSORS)
    assert checkpoint.metadata == {}
    assert checkpoint.path == tmp_path / name


@pytest.mark.parametrize("zipped", [True, False], ids=["new", "before torch 1.6"])
def test_torch_files_old_and_new(tmp_path, zipped):
    torch.save(TENSORS, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "a.pth").tensors, TENSORS)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {"state_dict": t, "epoch": 3, "arch": "res2net50"},
        lambda t: {"model": t, "epoch": 3, "arch": "res2net50", "optimizer": {"state": {}}},
        lambda t: {"model": {"state_dict": t}, "epoch": 3, "arch": "res2net50"},
        lambda t: {"state_dict": {f"module.{k}": v for k, v in t.items()}, "epoch": 3, "arch": "res2net50"},
        lambda t: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in t.items()}, "epoch": 3, "arch": "res2net50"},
        lambda t: {"state_dict": {f"model._orig_mod.{k}": v for k, v in t.items()}, "epoch": 3, "arch": "res2net50"},
    ],
)
def test_what_training_programs_put_around_is_taken_off(tmp_path, wrap):
    torch.save(wrap(TENSORS), tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert same(checkpoint.tensors, TENSORS)
    assert checkpoint.metadata == {"epoch": 3, "arch": "res2net50"}


def test_averaged_weights_are_preferred(tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(1)}, "state_dict_ema": {"w": torch.ones(1)}}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").tensors["w"] == 1


def test_a_prefix_that_not_all_names_share_stays(tmp_path):
    tensors = {"model.conv1.weight": torch.ones(1), "head.weight": torch.ones(1)}
    torch.save(tensors, tmp_path / "a.pth")
    assert same(read_checkpoint(tmp_path / "a.pth").tensors, tensors)


def test_parameters_come_back_without_gradients(tmp_path):
    torch.save({"w": nn.Parameter(torch.ones(2))}, tmp_path / "a.pth")
    assert not read_checkpoint(tmp_path / "a.pth").tensors["w"].requires_grad


class Payload:
    """Creates a file when it is unpickled the ordinary way."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize(
    "write",
    [
        lambda content, path: torch.save(content, path),
        lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
        lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2)),
        lambda content, path: path.write_bytes(pickle.dumps(content)),
    ],
    ids=["torch", "torch before 1.6", "pickle", "newest pickle"],
)
def test_code_in_a_file_does_not_run(tmp_path, write):
    victim, path = tmp_path / "victim", tmp_path / "evil.pth"
    write({"state_dict": TENSORS, "extra": Payload(victim)}, path)
    with pytest.raises(InputError):
        read_checkpoint(path)
    assert not victim.exists()


def test_the_payload_of_that_test_is_not_harmless(tmp_path):
    torch.save(Payload(tmp_path / "victim"), tmp_path / "evil.pth")
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"state_dict": TENSORS, "args": argparse.Namespace(lr=0.1)}, r"argparse\.Namespace"),
        (nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
    ],
    ids=["options", "a whole module"],
)
def test_objects_beside_tensors_are_named(tmp_path, content, named):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=rf"Python objects \({named}\) that could run code.*state_dict"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**TENSORS, "epoch": 3}, r"int 'epoch' among its tensors"),
        ({**TENSORS, 3: torch.ones(1)}, r"Tensor 3 among its tensors"),
        ([torch.ones(1)], "no named tensors"),
        (torch.ones(1), "no named tensors"),
        ({}, "no named tensors"),
        ({"state_dict": {}}, "no named tensors"),
    ],
)
def test_files_that_are_no_dictionary_of_tensors(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["safetensors", "torch", "torch before 1.6"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_half_a_file_is_refused(tmp_path, kind, share):
    path, tensors = tmp_path / "a.bin", {"w": torch.randn(1000)}
    if kind == "safetensors":
        path = tmp_path / "a.safetensors"
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "torch")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"hello" * 100, b"<!DOCTYPE html>", b"\x80", b"PK\x03\x04", bytes(100), b'12345678{"a'], ids=repr
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_other_files_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.pth").touch()
    with pytest.raises(InputError, match=r"a\.pth is empty"):
        read_checkpoint(tmp_path / "a.pth")


def test_safetensors_without_tensors_are_refused(tmp_path):
    safetensors.torch.save_file({}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no tensors"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "best.pth").touch()
    with pytest.raises(InputError, match=r"no file .*bset\.pth: did you mean 'best\.pth'\?"):
        read_checkpoint(tmp_path / "bset.pth")
    with pytest.raises(InputError, match="no file in its folder has a similar name"):
        read_checkpoint(tmp_path / "xyz")
    with pytest.raises(InputError, match=r"the folder .*nowhere does not exist"):
        read_checkpoint(tmp_path / "nowhere" / "a.pth")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["no json", "[1]", "3", '"model"', "{", "NaN"])
def test_foreign_text_under_our_key_does_not_spoil_the_tensors(tmp_path, text):
    safetensors.torch.save_file(TENSORS, tmp_path / "a.safetensors", {"res2net": text})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert same(checkpoint.tensors, TENSORS)
    assert checkpoint.metadata == {}


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(InputError, match="damaged, incomplete"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_metadata_that_nobody_can_read_are_none(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "a.safetensors", {"res2net": "[" * 100_000})
    assert read_checkpoint(tmp_path / "a.safetensors").metadata == {}


@pytest.mark.parametrize("name", ["net.onnx", "net.onnx.json", "net.xml", "net.aoti.pt2"])
def test_an_exported_network_has_no_weights(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\x0a what an exported network holds")
    with pytest.raises(InputError, match=r"is of an exported network, and weights are needed: give the checkpoint"):
        read_checkpoint(tmp_path / name)
