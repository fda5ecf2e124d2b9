"""Pickles of arrays (PaddleClas's `.pdparams`): what comes out of them, and that nothing of them is run."""

import contextlib
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from res2net.errors import InputError
from res2net.weights import from_native, read_checkpoint, to_native

ARRAYS = {
    "conv1._conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "out.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "conv1._batch_norm._mean": np.array([0.5, -1.0], dtype=np.float32),
}


class Named:
    """A tensor as newer versions of Paddle pickle it: a tuple of its name and its array."""

    def __init__(self, name, array):
        self.name, self.array = name, array

    def __reduce__(self):
        return tuple, ((self.name, self.array),)


class Calling:
    """What calls a function when it is unpickled the ordinary way."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def same(tensors, arrays):
    return tensors.keys() == arrays.keys() and all(
        tensors[name].numpy().dtype == arrays[name].dtype and np.array_equal(tensors[name].numpy(), arrays[name])
        for name in arrays
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "content",
    [
        ARRAYS,
        OrderedDict(ARRAYS),
        ARRAYS | {"StructuredToParameterName@@": dict.fromkeys(ARRAYS, "conv2d_0.w_0")},
        {name: Named("conv2d_0.w_0", array) for name, array in ARRAYS.items()},
        {"model": ARRAYS, "__author__": "someone", "matching_heuristics": True},
    ],
    ids=["dictionary", "ordered", "Paddle 2.0", "Paddle 2.1 and later", "Detectron2"],
)
@pytest.mark.parametrize("file_name", ["a.pdparams", "a.pkl"])
def test_arrays_come_back_exactly(tmp_path, content, protocol, file_name):
    checkpoint = read_checkpoint(write(tmp_path / file_name, content, protocol))
    assert same(checkpoint.tensors, ARRAYS)
    assert all(tensor.is_contiguous() for tensor in checkpoint.tensors.values())


@pytest.mark.parametrize("code", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_all_kinds_and_byte_orders(tmp_path, order, code):
    array = np.array([[0, 1], [2, 3]]).astype(order + code)
    tensors = read_checkpoint(write(tmp_path / "a.pdparams", {"w": array})).tensors
    assert tensors["w"].tolist() == array.tolist()
    assert tensors["w"].numpy().dtype == np.dtype(code)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 0)])
def test_arrays_of_no_dimension_and_of_no_number(tmp_path, shape):
    tensors = read_checkpoint(write(tmp_path / "a.pdparams", {"w": np.zeros(shape, np.float32)})).tensors
    assert tensors["w"].shape == shape


def test_tensors_own_their_memory(tmp_path):
    tensors = read_checkpoint(write(tmp_path / "a.pdparams", ARRAYS)).tensors
    tensors["out.weight"].zero_()


def test_a_file_of_python_2(tmp_path):
    """Byte strings were text there: the content of an array too."""
    kind = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    data = b"U\x08" + struct.pack("<2f", 1.5, -2.0)
    content = b"\x80\x02}S'w'\n" + start + b"(I1\n(I2\nt" + kind + b"I00\n" + data + b"tbs."
    path = tmp_path / "a.pdparams"
    path.write_bytes(content)
    assert read_checkpoint(path).tensors["w"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_network_of_paddle(tiny, tmp_path, protocol):
    ours = tiny("res2net50d").state_dict()
    arrays = {name: tensor.numpy() for name, tensor in from_native(ours, "paddle").items()}
    path = write(tmp_path / "a.pdparams", arrays | {"StructuredToParameterName@@": {}}, protocol)
    native = to_native(read_checkpoint(path).tensors)
    assert native.format == "paddle"
    for name, tensor in native.tensors.items():
        assert torch.equal(tensor, ours[name])


ATTACKS = {
    "a folder": lambda victim: Calling(os.mkdir, str(victim)),
    "a file": lambda victim: Calling(Path.touch, victim),
    "a command": lambda victim: Calling(os.system, f"touch {victim}"),
    "code": lambda victim: Calling(eval, f"__import__('os').mkdir({str(victim)!r})"),
    "a library of NumPy": lambda victim: Calling(np.save, f"{victim}.npy", 1),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_is_executed(tmp_path, attack, protocol):
    victims = tmp_path / "victims"
    victims.mkdir()
    path = write(tmp_path / "evil.pdparams", ARRAYS | {"extra": attack(victims / "victim")}, protocol)
    with pytest.raises(
        InputError, match=r"evil\.pdparams contains Python objects \([\w.]+\) that could run code"
    ) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert list(victims.iterdir()) == []


def test_the_attacks_of_that_test_are_not_harmless(tmp_path):
    for name, attack in ATTACKS.items():
        pickle.loads(pickle.dumps(attack(tmp_path / name.replace(" ", "_"))))
    assert len(list(tmp_path.iterdir())) == len(ATTACKS)


@pytest.mark.parametrize("opcode", [b"i", b"o", b"c", b"\x93"])
def test_every_way_to_name_a_function_is_watched(tmp_path, opcode):
    victim = str(tmp_path / "victim").encode()
    text = b"S'" + victim + b"'\n"
    program = {
        b"i": b"(" + text + b"ios\nmkdir\n.",
        b"o": b"(cos\nmkdir\n" + text + b"o.",
        b"c": b"cos\nmkdir\n(" + text + b"tR.",
        b"\x93": b"\x8c\x02os\x8c\x05mkdir\x93(" + text + b"tR.",
    }[opcode]
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x04" + program)
    assert any(op.code.encode("latin-1") == opcode for op, *_ in pickletools.genops(b"\x80\x04" + program))
    with pytest.raises(InputError, match=r"\(os\.mkdir\) that could run code"):
        read_checkpoint(tmp_path / "a.pdparams")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    "named",
    [
        b"numpy\ndtype",
        b"collections\nOrderedDict",
        b"builtins\ndict",
        b"numpy.core.multiarray\n_reconstruct",
    ],
    ids=["dtype", "OrderedDict", "dict", "_reconstruct"],
)
@pytest.mark.parametrize("state", [b"}S'x'\nI1\ns", b"(N}S'__doc__'\nI1\nst"], ids=["attributes", "slots"])
def test_what_may_be_named_cannot_be_changed(tmp_path, named, state):
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x02c" + named + b"\n" + state + b"b.")
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(tmp_path / "a.pdparams")
    assert not hasattr(OrderedDict, "x")
    assert same(read_checkpoint(write(tmp_path / "b.pdparams", ARRAYS)).tensors, ARRAYS)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path, share, protocol):
    data = pickle.dumps({"a": np.random.default_rng(0).normal(size=1000), "b": np.ones(1000)}, protocol=protocol)
    path = tmp_path / "a.pdparams"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint: download or save it again"):
        read_checkpoint(path)


def test_every_cut_of_a_small_file_is_refused(tmp_path):
    data = pickle.dumps({"w": np.ones(2, np.float32)}, protocol=2)
    path = tmp_path / "a.pdparams"
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(path)


def test_flipped_bits_give_tensors_or_one_sentence(tmp_path):
    data = pickle.dumps({"w": np.ones(2, np.float32)}, protocol=2)
    path = tmp_path / "a.pdparams"
    for index in range(2, len(data)):
        path.write_bytes(data[:index] + bytes([data[index] ^ 0x10]) + data[index + 1 :])
        with contextlib.suppress(InputError):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "array",
    [
        np.array([None, 1], dtype=object),
        np.array(["text"]),
        np.array([1 + 2j]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
    ],
    ids=["objects", "text", "complex", "structure", "dates"],
)
def test_arrays_of_something_else_than_numbers(tmp_path, array):
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(write(tmp_path / "a.pdparams", {"w": array}))


@pytest.mark.parametrize(
    ("shape", "size"), [((3,), 8), ((2**40,), 8), ((-1,), 8), ((2, 2), 8), (None, 8), ((2.0,), 8), ((True, 2), 8)]
)
def test_a_shape_that_is_not_that_of_the_content(tmp_path, shape, size):
    def array():
        return np.ones(2, np.float32)

    class Lying:
        def __reduce__(self):
            function, arguments, (version, _, kind, by_column, data) = array().__reduce__()
            return function, arguments, (version, shape, kind, by_column, data[:size])

    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(write(tmp_path / "a.pdparams", {"w": Lying()}))


def test_a_dictionary_that_contains_itself(tmp_path):
    content = {"w": np.ones(1)}
    content["model"] = content
    with pytest.raises(InputError, match="damaged, incomplete or not a checkpoint"):
        read_checkpoint(write(tmp_path / "a.pdparams", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": np.ones(1), "epoch": 3}, "contains int 'epoch' among its tensors"),
        ({3: np.ones(1)}, "contains Tensor 3 among its tensors"),
        ([np.ones(1)], "contains no named tensors"),
        ({}, "contains no named tensors"),
        (5, "contains no named tensors"),
    ],
)
def test_pickles_that_are_no_dictionary_of_arrays(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_checkpoint(write(tmp_path / "a.pdparams", content))
