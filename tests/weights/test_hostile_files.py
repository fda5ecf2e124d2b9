"""Files that lie about their sizes, or that a disk has changed: one sentence, little memory, little time."""

import contextlib
import io
import json
import os
import pickle
import resource
import struct
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from res2net.errors import InputError
from res2net.weights import read_checkpoint, save

DAMAGED = "damaged, incomplete or not a checkpoint"
LARGE = 8_000_000_000
MEGABYTES = 300
"""What reading a small file may take at most."""


@pytest.fixture
def bounded():
    """A function that reads a file, which must end in one sentence, soon and without much memory."""

    def read(path: Path, message: str = DAMAGED, megabytes: int = MEGABYTES) -> None:
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(InputError, match=message) as raised:
            read_checkpoint(path)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < len(str(path)) + 300
        assert time.monotonic() - start < 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < megabytes * 1024

    return read


def archive(path: Path, program: bytes, *entries: tuple[str, bytes], compress: bool = False) -> Path:
    """A file of torch with this pickle and these entries."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as file:
        file.writestr("a/data.pkl", program)
        for name, content in entries:
            file.writestr(f"a/{name}", content)
    return path


def called(name: bytes, arguments: bytes) -> bytes:
    """A pickle that calls a function with an argument."""
    return b"\x80\x02c" + name.replace(b".", b"\n", 1) + b"\n" + arguments + b"\x85R."


def long(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


MEMORY = {
    "a byte array": called(b"builtins.bytearray", long(LARGE)),
    "a byte array of Python 2": called(b"__builtin__.bytearray", long(LARGE)),
    "bytes": called(b"builtins.bytes", long(LARGE)),
    "a storage": called(b"torch.FloatStorage", long(LARGE)),
    "an untyped storage": b"\x80\x02ctorch.storage\nUntypedStorage\n" + long(LARGE) + b"\x85R.",
    "a tensor": called(b"torch.Tensor", long(LARGE)),
    "a size": called(b"torch.Size", b"(" + long(LARGE) + b"t"),
    "a byte array of protocol 5": b"\x80\x05\x96" + struct.pack("<Q", LARGE) + b"." * 20,
    "bytes of protocol 4": b"\x80\x04\x8e" + struct.pack("<Q", LARGE) + b"." * 20,
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", LARGE) + b"}.",
    "an index of the memo": b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".",
}


@pytest.mark.parametrize("program", MEMORY.values(), ids=MEMORY)
def test_sizes_that_a_pickle_states_are_not_allocated(tmp_path, program, bounded):
    message = f"{DAMAGED}|contains no named tensors|contains Python objects"
    bounded(archive(tmp_path / "a.pth", program), message)
    (tmp_path / "a.pdparams").write_bytes(program)
    bounded(tmp_path / "a.pdparams", message)


def repeated(start: bytes, piece: bytes, times: int) -> bytes:
    return b"\x80\x02" + start + b"](" + piece * times + b"e."


TEN_MEGABYTES = b"X" + struct.pack("<I", 10_000_000) + b"x" * 10_000_000
MEMO = {
    "text that is encoded again and again": repeated(
        TEN_MEGABYTES + b"q\x000", b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R", 3000
    ),
    "a list that is copied again and again": repeated(
        b"](" + b"N" * 100_000 + b"eq\x000", b"cbuiltins\nlist\nh\x00\x85R", 30_000
    ),
    "lists of lists": b"\x80\x02]q\x00"
    + b"".join(b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 200 + b"eq" + bytes([i + 1]) for i in range(3))
    + b".",
}


@pytest.mark.parametrize("program", MEMO.values(), ids=MEMO)
def test_what_is_repeated_is_counted(tmp_path, program, bounded):
    (tmp_path / "a.pdparams").write_bytes(program)
    bounded(tmp_path / "a.pdparams", f"{DAMAGED}|contains no named tensors")


@pytest.mark.slow  # 5 million instructions take 5 seconds
def test_instructions_are_counted(tmp_path, bounded):
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x02](" + b"}" * 20_000_000 + b"e.")
    bounded(tmp_path / "a.pdparams", DAMAGED, megabytes=900)


KEYS = {
    "tuples in tuples": b")" + b"\x85" * 100_000,
    "a tuple of itself": b")" + b"\x85q\x000h\x00h\x00\x86" * 60,
    "a number of a million digits": b"\x8b" + struct.pack("<I", 500_000) + b"\x7f" * 500_000,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("shape", [b"}%bNs.", b"}(%bNu.", b"(%bNd.", b"\x8f(%b\x90."])
def test_keys_are_words_or_numbers(tmp_path, key, shape, bounded):
    program = b"\x80\x04" + shape % key
    bounded(archive(tmp_path / "a.pth", program))


def test_compressed_archives_are_not_unpacked(tmp_path, bounded):
    program = pickle.dumps({}, protocol=2)
    path = archive(tmp_path / "a.pth", program, ("data/0", bytes(40_000_000)), compress=True)
    assert path.stat().st_size < 100_000
    bounded(path)


def test_entries_of_one_name_are_refused(tmp_path, bounded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = archive(tmp_path / "a.pth", b"\x80\x02}.", ("data/0", b"1234"), ("data/0", b"5678"))
    bounded(path)


def test_entries_that_share_their_bytes_are_refused(tmp_path, bounded):
    """Many entries of the directory point to the same bytes, so that they are larger than the file together."""
    path = archive(tmp_path / "a.pth", b"\x80\x02}.", *((f"data/{i:04}", bytes(100_000)) for i in range(3)))
    content = bytearray(path.read_bytes())
    first = content.find(b"PK\x01\x02")
    with zipfile.ZipFile(path) as file:
        sizes = {info.filename: info.header_offset for info in file.infolist()}
    for index in (1, 2):
        entry = content.find(f"a/data/{index:04}".encode(), first) - 46
        content[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
        content[entry + 42 : entry + 46] = struct.pack("<I", sizes["a/data/0000"])
    path.write_bytes(content)
    bounded(path)


def stored_tensor(size: tuple[int, ...], stride: tuple[int, ...], *, numel: int = 4, offset: int = 0) -> bytes:
    """A pickle of {"w": a tensor of this size and stride in storage 0}."""
    shape = [b"(" + b"".join(long(value) for value in values) + b"t" for values in (size, stride)]
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + long(numel)
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + long(offset) + b"".join(shape) + b"\x89}tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + tensor + b"s."


def test_the_tensor_of_these_tests_is_read_where_it_fits(tmp_path):
    numbers = np.arange(4, dtype="<f4").tobytes()
    path = archive(tmp_path / "a.pth", stored_tensor((2, 2), (1, 2)), ("data/0", numbers))
    assert read_checkpoint(path).tensors["w"].tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    "tensor",
    [
        {"size": (5,), "stride": (1,)},
        {"size": (5,), "stride": (1,), "numel": 5},
        {"size": (4,), "stride": (1,), "offset": 1},
        {"size": (2, 2), "stride": (2**40, 1)},
        {"size": (4,), "stride": (1,), "offset": -1},
        {"size": (-4,), "stride": (1,)},
        {"size": (2, 2), "stride": (1,)},
        {"size": (2**47, 2**47), "stride": (0, 0)},
        {"size": (1000, 1000, 1000), "stride": (0, 0, 0)},
    ],
    ids=str,
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, tensor, bounded):
    bounded(archive(tmp_path / "a.pth", stored_tensor(**tensor), ("data/0", bytes(16))))


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**31, 2**62, 2**64 - 1])
def test_a_length_of_the_header_that_is_not_there(tmp_path, length, bounded):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + b'{"w":{}}')
    bounded(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]},
        {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": 7, "shape": 1, "data_offsets": None},
    ],
    ids=str,
)
def test_a_header_that_does_not_describe_its_body(tmp_path, entry, bounded):
    header = json.dumps({"w": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    bounded(tmp_path / "a.safetensors")


def test_only_files_are_read(tmp_path, bounded):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    bounded(tmp_path / "pipe.pth", r"it is a named pipe, not a file\): give a checkpoint file")
    bounded(tmp_path / "zero.pth", r"it is a device, not a file\): give a checkpoint file")


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "a.safetensors"
    tensors = {"w": torch.arange(30.0).view(5, 6), "count": torch.tensor(3), "half": torch.ones(3).bfloat16()}
    save(path, tensors, {"model": "res2net50_26w_4s", "options": {"num_classes": 5}})
    return path


def test_a_flipped_bit_anywhere_is_noticed(saved):
    content = saved.read_bytes()
    for index in range(0, len(content), 3):
        changed = bytearray(content)
        changed[index] ^= 1 << index % 8
        saved.write_bytes(changed)
        with pytest.raises(InputError, match="damaged"):
            read_checkpoint(saved)


def test_what_was_changed_by_another_program_is_noticed(saved):
    """The sizes and the offsets stay right: only the digest can tell."""
    with safetensors.safe_open(saved, "pt") as file:
        header = file.metadata()
    tensors = safetensors.torch.load_file(saved)
    for changed, text in (
        (tensors | {"w": tensors["w"] + 1}, header["res2net"]),
        (tensors | {"w": tensors["w"].view(6, 5)}, header["res2net"]),
        ({"v" if name == "w" else name: tensor for name, tensor in tensors.items()}, header["res2net"]),
        (tensors, header["res2net"].replace("50_26w_4s", "50_26w_8s")),
    ):
        saved.write_bytes(safetensors.torch.save(changed, header | {"res2net": text}))
        with pytest.raises(InputError, match="SHA-256 is another one: copy or download it again"):
            read_checkpoint(saved)


def test_files_of_before_have_no_digest(saved):
    with safetensors.safe_open(saved, "pt") as file:
        header = file.metadata()
    saved.write_bytes(safetensors.torch.save(safetensors.torch.load_file(saved), {"res2net": header["res2net"]}))
    assert read_checkpoint(saved).metadata == {"model": "res2net50_26w_4s", "options": {"num_classes": 5}}


@pytest.mark.parametrize("zipped", [True, False], ids=["new", "before torch 1.6"])
def test_flipped_bits_of_torch_files_give_tensors_or_one_sentence(tmp_path, zipped):
    file = io.BytesIO()
    torch.save({"state_dict": {"w": torch.ones(3)}}, file, _use_new_zipfile_serialization=zipped)
    content, path = file.getvalue(), tmp_path / "a.pth"
    read = 0
    for index in range(0, len(content), 5):
        path.write_bytes(content[:index] + bytes([content[index] ^ 1 << index % 8]) + content[index + 1 :])
        with contextlib.suppress(InputError):
            tensors = read_checkpoint(path).tensors
            assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
            read += 1
    assert 0 < read < len(content) // 5


def test_a_flipped_bit_of_a_tensor_in_a_torch_file_is_noticed(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.find(struct.pack("<f", 1.0) * 100) + 50] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=DAMAGED):
        read_checkpoint(path)


WRONG = [
    {"model": 5},
    {"model": ["res2net50_26w_4s"]},
    {"model": None},
    {"options": "num_classes"},
    {"options": [1, 2]},
    {"class_names": "cat"},
    {"class_names": [1, 2]},
    {"class_names": {"a": 1}},
    {"preprocessing": 224},
    {"task": {"name": "detect"}},
    {"task_options": [1]},
    {"precision": "fp8"},
    {"precision": 16},
    {"decode": "half"},
    {"channels_last": "yes"},
    {"batch_size": "64"},
    {"batch_size": 6.5},
    {"batch_size": 0},
    {"batch_size": 10**9},
    {"val_fraction": 7.0},
    {"val_fraction": float("nan")},
    {"seed": -1},
    {"seed": None},
    {"val_fraction": "a fifth"},
    {"graph": 3},
    {"licence": {}},
    {"options": {"a": json.loads("[" * 9 + "]" * 9)}},
    {"anything": json.loads("[" * 50 + "]" * 50)},
]


@pytest.mark.parametrize("metadata", WRONG, ids=lambda metadata: json.dumps(metadata)[:40])
def test_metadata_of_a_wrong_type_are_refused_by_name(tmp_path, metadata):
    save(tmp_path / "a.safetensors", {"w": torch.ones(1)}, metadata)
    with pytest.raises(InputError, match=f"metadata of .* is damaged: {next(iter(metadata))} is"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_the_same_names_in_files_of_other_programs_are_left_out(tmp_path):
    content = {"state_dict": {"w": torch.ones(1)}, "seed": "a word", "precision": 16, "epoch": 3, "task": "x" * 5}
    torch.save(content, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").metadata == {"epoch": 3, "task": "xxxxx"}


def test_a_random_edit_of_metadata_is_one_sentence_or_without_effect(tmp_path):
    """A trained task whose metadata loses or changes one entry; the digest is written anew, as a program would."""
    import res2net
    from res2net.weights import Preprocessing

    name, path = "res2net20_26w_4s_tiny", tmp_path / "a.safetensors"
    model = res2net.create_model(name, num_classes=3)
    metadata = {
        "task": "classify",
        "model": name,
        "options": {"num_classes": 3, "in_channels": 3},
        "class_names": ["a", "b", "c"],
        "preprocessing": Preprocessing(32, 1.0).to_dict(),
        "task_options": {},
        "precision": "fp32",
    }
    save(path, model.state_dict(), metadata)
    assert res2net.load(path).class_names == ("a", "b", "c")
    for key in metadata:
        for value in (None, 2_000_000_000, "word", [None], ...):
            changed = {k: v for k, v in metadata.items() if k != key} | ({} if value is ... else {key: value})
            save(path, model.state_dict(), changed)
            with contextlib.suppress(InputError):
                res2net.load(path)
