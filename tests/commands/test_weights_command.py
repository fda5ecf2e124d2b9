"""`res2net weights`: conversions that account for every tensor, and the list of published weights."""

import json
import pickle
import re
from typing import get_args

import pytest
import torch
from safetensors import safe_open

from res2net.backbones.registry import build
from res2net.commands.weights import Program
from res2net.weights import (
    FORMATS,
    SAME_NAMES,
    Preprocessing,
    download,
    from_native,
    read_checkpoint,
    records,
    save,
    to_native,
)
from res2net.zoo import create_model, load_model


@pytest.fixture
def small(tmp_path):
    """A function that builds a small v1b / d network and writes it under the names of a program."""

    def make(program="official", *, graph="official", file_name="in.pth", model="res2net50d"):
        torch.manual_seed(0)
        options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}
        network = build(model, **options, graph=graph, num_classes=5).eval()
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape) * 0.2 + 0.02 if tensor.is_floating_point() else torch.tensor(7))
        tensors = from_native(network.state_dict(), program)
        path = tmp_path / file_name
        if path.suffix == ".safetensors":
            metadata = {
                "model": model,
                "options": {**options, "num_classes": 5, "graph": graph},
                "class_names": list("abcde"),
            }
            save(path, tensors, metadata)
        elif path.suffix == ".pdparams":
            path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in tensors.items()}, protocol=2))
        else:
            torch.save(tensors, path)
        return network, path

    return make


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["res2net"])


def same(tensors, others):
    return tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.mark.parametrize("program", ["timm", "official", "mmpretrain", "mmdet", "detectron2", "paddle", "res2net"])
def test_a_file_of_this_library_to_every_program(run, small, tmp_path, program):
    network, path = small(file_name="in.safetensors")
    target = tmp_path / "out" / "a.safetensors"
    answer = run("weights", "convert", path, target, "--to", program)
    assert (answer.status, answer.err) == (0, "")
    assert same(read_checkpoint(target).tensors, from_native(network.state_dict(), program))

    said = metadata(target)
    assert said["model"] == "res2net50d"
    assert said["graph"] == "official"
    assert said["format"] == ("official" if program in ("timm", "res2net") else program)
    assert said["preprocessing"] == Preprocessing().to_dict()
    assert said["source"] == "in.safetensors"
    assert said["class_names"] == list("abcde")
    again, _ = load_model(target)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again.eval()(x), network(x))
    assert f"{len(network.state_dict())} tensors of a res2net50d with 5 classes in the format official" in answer.out
    assert "graph: official" in answer.out
    assert ("left out" in answer.out) == (program == "paddle")
    assert ("give different logits" in answer.out) == (program in ("mmdet", "detectron2", "paddle"))


@pytest.mark.parametrize("graph", ["paddle", "mmdet", "detectron2"])
def test_weights_that_need_another_graph_keep_it_under_any_names(run, small, tmp_path, graph):
    network, path = small(graph=graph, file_name="in.safetensors")
    x = torch.randn(1, 3, 64, 64)
    for program in ("timm", "paddle", "res2net"):
        target = tmp_path / f"{program}.safetensors"
        out = run("weights", "convert", path, target, "--to", program).out
        assert metadata(target)["graph"] == graph
        assert f"graph: {graph}" in out
        assert ("give different logits" in out) == (program not in ("res2net", graph))
        loaded = create_model("res2net50d", target).eval()
        assert torch.equal(loaded(x), network(x))


def test_a_chain_of_conversions_comes_back_bit_for_bit(run, small, tmp_path):
    network, path = small(file_name="0.safetensors")
    for index, program in enumerate(("detectron2", "mmdet", "mmpretrain", "timm", "paddle", "res2net")):
        target = tmp_path / f"{index + 1}.safetensors"
        assert run("weights", "convert", path, target, "--to", program).status == 0
        path = target
    expected = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    assert same(read_checkpoint(path).tensors, expected)


@pytest.fixture
def whole(tmp_path):
    """Random weights of a whole network, under the names of a program."""

    def make(model, program, file_name):
        with torch.device("meta"):
            shapes = build(model).state_dict()
        tensors = {
            name: torch.rand(t.shape) if t.is_floating_point() else torch.tensor(7) for name, t in shapes.items()
        }
        foreign = from_native(tensors, program)
        if file_name.endswith(".pdparams"):
            (tmp_path / file_name).write_bytes(
                pickle.dumps({name: t.numpy() for name, t in foreign.items()}, protocol=4)
            )
        else:
            torch.save(foreign, tmp_path / file_name)
        return tensors, tmp_path / file_name

    return make


def test_what_is_left_out_of_a_dla_is_told(run, whole, tmp_path):
    tensors, path = whole("dla60_res2net", "official", "mine.pth")
    official, timm = tmp_path / "official.safetensors", tmp_path / "timm.safetensors"
    answer = run("weights", "convert", path, official, "--to", "official", "--model", "dla60_res2net")
    assert f"{len(tensors) + 18} tensors in the format official" in answer.out
    assert "left out" not in answer.out
    answer = run("weights", "convert", official, timm, "--to", "timm")
    assert re.search(r"left out because they are unused there: level\d.*project\.\S+ and 16 more", answer.out)
    assert same(read_checkpoint(timm).tensors, tensors)


def test_a_file_of_paddle_that_the_records_know_by_its_name(run, whole, tmp_path):
    tensors, path = whole("res2net50d", "paddle", "Res2Net50_vd_26w_4s_ssld_pretrained.pdparams")
    answer = run("weights", "convert", path, tmp_path / "a.safetensors", "--to", "res2net")
    assert (answer.status, answer.err) == (0, "")
    assert "of a res2net50d with 1000 classes in the format paddle; graph: paddle" in answer.out
    assert "Licence: Apache-2.0" in answer.out
    said = metadata(tmp_path / "a.safetensors")
    assert (said["model"], said["graph"]) == ("res2net50d", "paddle")
    assert said["source"].startswith("PaddleClas: https://")
    found = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert same(found, {name: tensor for name, tensor in tensors.items() if "num_batches" not in name})


def test_a_file_that_says_nothing_needs_the_name_of_its_model(run, refused, whole, tmp_path):
    tensors, path = whole("res2net14_26w_4s", "mmpretrain", "mine.pth")
    words = ["weights", "convert", path, tmp_path / "a.safetensors", "--to", "timm"]
    sentence = refused(*words)
    assert sentence == f"{path} does not name its model: add --model NAME (`res2net models` lists them)."
    answer = run(*words, "--model", "res2net14_26w_4s")
    assert answer.status == 0
    assert "The checkpoint has no preprocessing" in answer.out
    assert same(read_checkpoint(tmp_path / "a.safetensors").tensors, tensors)


def test_a_width_that_the_file_does_not_tell(run, refused, tmp_path):
    network = create_model("res2net14_26w_4s", base_width=20, num_classes=2)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    target = tmp_path / "a.safetensors"
    words = ["weights", "convert", tmp_path / "mine.pth", target, "--to", "paddle", "--model", "res2net14_26w_4s"]
    assert "layer1.0.convs.0.weight is 20x20x3x3 and not 26x26x3x3" in refused(*words)
    assert run(*words, "--options", "base_width", 20).status == 0
    assert metadata(target)["options"]["base_width"] == 20
    again, _ = load_model(target)
    assert torch.equal(again.layer4[0].convs[2].weight, network.layer4[0].convs[2].weight)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("base_widht", 20, "Model 'res2net50d' has no option 'base_widht': did you mean 'base_width'?"),
        ("adapt_classifier", "True", "Model 'res2net50d' has no option 'adapt_classifier': "),
        ("num_classes", 7, "a classifier of 5 classes and the model a classifier of 7 classes"),
        ("graph", "paddle", "needs the graph 'official' and not 'paddle'"),
        ("layers", 3, "Option layers 3 of model 'res2net50d' does not fit: give a list."),
    ],
)
def test_options_that_do_not_fit_the_file(refused, small, tmp_path, option, value, message):
    _, path = small(file_name="in.safetensors")
    words = ["weights", "convert", path, tmp_path / "a.safetensors", "--to", "timm", "--options", option, value]
    assert message in refused(*words)
    assert not (tmp_path / "a.safetensors").exists()


def test_a_name_without_its_hash_is_no_published_file(refused, small, tmp_path):
    _, path = small(file_name="res2net50_v1b_26w_4s-3cf99910.pth")
    assert "does not name its model" in refused("weights", "convert", path, tmp_path / "a.safetensors", "--to", "timm")


def test_published_files_are_recognised_by_name_and_hash(tmp_path, monkeypatch):
    path = tmp_path / "res2net50_v1b_26w_4s-3cf99910.pth"
    assert download.recognise(path) is None
    path.write_bytes(b"other")
    assert download.recognise(path) is None
    paddle = tmp_path / "Res2Net50_14w_8s_pretrained.pdparams"
    paddle.write_bytes(b"no hash is published")
    assert download.recognise(paddle).model == "res2net50_14w_8s"


def test_the_classifier_of_paddle_is_transposed(run, small, tmp_path):
    network, path = small(file_name="in.safetensors")
    run("weights", "convert", path, tmp_path / "a.safetensors", "--to", "paddle")
    assert torch.equal(read_checkpoint(tmp_path / "a.safetensors").tensors["out.weight"], network.fc.weight.t())


def test_a_file_is_only_replaced_on_request(run, refused, small, tmp_path):
    _, path = small(file_name="in.safetensors")
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"precious")
    words = ["weights", "convert", path, target, "--to", "paddle"]
    assert refused(*words) == f"{target} exists: choose another name, or add --overwrite."
    assert target.read_bytes() == b"precious"
    assert run(*words, "--overwrite").status == 0
    assert to_native(read_checkpoint(target).tensors).format == "paddle"
    assert run("weights", "convert", target, target, "--to", "timm", "--overwrite").status == 0  # in place
    assert to_native(read_checkpoint(target).tensors).format == "official"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "{tmp}/ni.safetensors"}, r"There is no file {tmp}/ni.safetensors: did you mean 'in.safetensors'?"),
        ({"source": "in1k"}, "in1k is not a file: to convert published weights with that tag, add --model NAME."),
        ({"to": "padle"}, "Unknown --to 'padle': did you mean 'paddle'?"),
        ({"target": "{tmp}/a.pth"}, "{tmp}/a.pth does not end in .safetensors"),
        ({"target": "{tmp}"}, "{tmp} is a folder: give the name of a file"),
        ({"model": "res2net101d"}, "{tmp}/in.safetensors holds a 'res2net50d', not a 'res2net101d'"),
        ({"model": "res2net50_d"}, "Unknown model 'res2net50_d': did you mean 'res2net50d'"),
        ({"to": "maskrcnn"}, "The fork of maskrcnn-benchmark has only Res2Nets with a stem of one convolution"),
        ({"to": "torchvision"}, "torchvision has no Res2Net"),
        ({"to": ""}, "`res2net weights convert` needs --to FORMAT: see `res2net weights --help`."),
    ],
)
def test_what_cannot_be_converted(refused, small, tmp_path, change, message):
    small(file_name="in.safetensors")
    given = {"source": "{tmp}/in.safetensors", "target": "{tmp}/a.safetensors", "to": "paddle", "model": ""} | change
    given = {name: value.replace("{tmp}", str(tmp_path)) for name, value in given.items()}
    options = [word for name in ("to", "model") if given[name] for word in (f"--{name}", given[name])]
    sentence = refused("weights", "convert", given["source"], given["target"], *options)
    assert sentence.startswith(message.replace("{tmp}", str(tmp_path)))
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blocks.0.weight": torch.ones(1)}, "are of no known format: rename them to those of timm"),
        ({"conv1.weight": torch.ones(64, 3, 7, 7)}, "is of another model: of its tensors"),
        ({"bb_0_0.neck.weight": torch.ones(1)}, "no tensor 'bb_0_0.neck.weight'"),
    ],
)
def test_files_of_something_else(refused, tmp_path, tensors, message):
    torch.save(tensors, tmp_path / "a.pth")
    words = ["weights", "convert", tmp_path / "a.pth", tmp_path / "b.safetensors", "--to", "timm"]
    assert message in refused(*words, "--model", "res2net50_26w_4s")
    assert not (tmp_path / "b.safetensors").exists()


def test_code_in_a_file_is_not_run(refused, tmp_path):
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": print}, protocol=2))
    words = ["weights", "convert", tmp_path / "a.pdparams", tmp_path / "b.safetensors", "--to", "timm"]
    assert "contains Python objects (__builtin__.print) that could run code" in refused(*words, "--model", "resnet50")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cifar100", "a"], "`res2net weights cifar100` takes nothing else: see `res2net weights --help`."),
        (["xyz"], "Unknown action 'xyz': choose list, convert or a card (cifar100"),
        (["convrt", "a", "b"], "Unknown action 'convrt': did you mean 'convert'?"),
        (["convert"], "`res2net weights convert` needs a file to read"),
        (["convert", "a.pth", "--to", "timm"], "`res2net weights convert` needs a file to write"),
        (
            ["convert", "a.pth", "b.safetensors", "--too", "timm"],
            "`res2net weights` has no option '--too': did",
        ),
        (["list", "a", "b"], "`res2net weights list` takes only a pattern of model names"),
        (["list", "res2net50_d"], "No model with published weights matches 'res2net50_d': did you mean 'res2net50d'?"),
    ],
)
def test_mistakes_in_the_command(refused, words, message):
    assert refused("weights", *words).startswith(message)


def test_the_list_of_published_weights(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = run("weights", "list").out
    assert all(record.model in out for record in records())
    some = run("weights", "list", "res2net200*").out
    assert "paddle_ssld" in some
    assert "85.13" in some
    assert "res2net50d" not in some


def test_all_programs_can_be_chosen():
    assert set(get_args(Program)) == {*FORMATS, *SAME_NAMES}
