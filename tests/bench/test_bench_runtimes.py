"""Each runtime runs the same network, on a tiny one."""

import pytest
import torch

from res2net.bench import Case, Setting, open_subject
from res2net.bench.layers import kind_table, layer_table, profile_layers
from res2net.bench.memory import peak_memory
from res2net.bench.runtimes import export_case, make_run
from res2net.errors import InputError
from res2net.export import Artefact
from res2net.weights import Preprocessing, save
from res2net.zoo import create_model

TINY = "res2net20_26w_4s_tiny"
GREY = Preprocessing(48, 1.0, mean=(0.5,), std=(0.25,))
SETTING = Setting(threads=1)


@pytest.fixture(scope="module")
def subject():
    found = open_subject(TINY)
    found.calibrate(32)
    return found


@pytest.mark.parametrize(
    ("runtime", "precision", "limit"),
    [
        ("eager", "fp32", 1e-5),
        ("optimized", "fp32", 1e-5),
        ("optimized", "bf16", 0.1),
        pytest.param("onnx", "fp32", 1e-5, marks=pytest.mark.slow),
        pytest.param("openvino", "fp32", 1e-5, marks=pytest.mark.slow),
        pytest.param("openvino", "bf16", 0.1, marks=pytest.mark.slow),
        ("pt2", "fp32", 1e-5),
    ],
)
def test_what_is_timed_is_the_network(subject, tmp_path, runtime, precision, limit):
    case = Case(TINY, runtime, precision, 2, 32)
    run = make_run(case, subject, SETTING, export_case(case, subject, tmp_path))
    with torch.no_grad():
        right = make_run(Case(TINY, "eager", "fp32", 2, 32), subject, SETTING)()
    assert ((run().float() - right).abs().max() / right.abs().max()).item() < limit


@pytest.mark.slow
def test_the_compiled_network_is_the_same(subject):
    right = make_run(Case(TINY, "eager", "fp32", 2, 32), subject, SETTING)()
    run = make_run(Case(TINY, "compiled", "fp32", 2, 32), subject, SETTING)
    assert torch.allclose(run(), right, atol=1e-4)
    make_run(Case(TINY, "compiled", "fp32", 2, 32, training=True), subject, SETTING)()


def test_a_step_of_training_leaves_the_network_as_it_was(subject):
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    for precision in ("fp32", "bf16"):
        make_run(Case(TINY, "eager", precision, 2, 32, training=True), subject, SETTING)()
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.model.state_dict().items())


def test_a_model_of_timm_has_fresh_weights_that_are_not_zero():
    subject = open_subject("timm:resnet18")
    assert (subject.channels, subject.side, subject.ours) == (3, 224, False)
    subject.calibrate(32)
    assert all(module.weight.any() for module in subject.model.modules() if isinstance(module, torch.nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("res2net50_26w4s", "Unknown model 'res2net50_26w4s': did you mean 'res2net50_26w_4s'?"),
        ("timm:resnet81", "timm has no model 'resnet81': did you mean"),
        ("ecapa_tdnn", "is not for images"),
    ],
)
def test_names_that_do_not_fit(name, sentence):
    from res2net import list_models

    if name == "ecapa_tdnn":
        name = next(model for model in list_models("*ecapa*"))
    with pytest.raises(InputError, match=sentence.replace("?", r"\?").replace("(", r"\(")):
        open_subject(name)


def test_a_size_that_does_not_fit(subject):
    case = Case(TINY, "eager", "fp32", 1, 32)
    with pytest.raises(InputError, match="does not run with eager in fp32"):
        make_run(case, type(subject)("x", torch.nn.Linear(5, 5), 3, 32, ours=False, fresh=False), SETTING)


@pytest.mark.slow
def test_layers_have_times_and_operations(subject, tmp_path):
    case = Case(TINY, "openvino", "fp32", 1, 32)
    file = export_case(case, subject, tmp_path)
    layers = profile_layers(case, subject, SETTING, file)
    total = sum(layer.operations for layer in layers)
    assert total == pytest.approx(2 * subject.count(32).macs, rel=0.02)
    assert {"Convolution"} <= {layer.kind for layer in layers}
    table = kind_table(layers, "kinds", 1e11)
    assert table.rows[-1][0] == "all"
    assert len(layer_table(layers, "layers").rows) <= 30


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own():
    assert 1 < peak_memory(Case(TINY, "eager", "fp32", 8, 64), SETTING, None) < 2000


def test_what_this_library_wrote_is_measured(tmp_path):
    model = create_model(TINY, num_classes=7, in_channels=1)
    metadata = {"model": TINY, "options": {"num_classes": 7, "in_channels": 1}}
    save(tmp_path / "best.safetensors", model.state_dict(), metadata | {"preprocessing": GREY.to_dict()})
    for name in (tmp_path, tmp_path / "best.safetensors"):
        subject = open_subject(str(name))
        assert (subject.channels, subject.side, subject.fresh) == (1, 48, False)
        assert torch.equal(subject.model.fc.weight, model.fc.weight)
    path = tmp_path / "model.onnx"
    Artefact("onnx", "classify", TINY, metadata["options"], (1, 1, 40, 40), False, ["logits"], [], GREY).write(path)
    path.touch()
    subject = open_subject(str(path))
    assert (subject.channels, subject.side, subject.fresh, subject.model.num_classes) == (1, 40, True, 7)
