"""Our backbones in transformers: saved and loaded without a network, and under a segmenter of its own."""

import json

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from res2net.adapters.transformers import Res2NetBackbone, Res2NetConfig, Res2NetForImageClassification, register
from res2net.errors import InputError
from res2net.images.transforms import eval_transform
from res2net.weights import Preprocessing, find_record
from res2net.zoo import create_model

NAME = "res2net50_26w_4s"
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8], "stem_channels": 8, "base_width": 32}


@pytest.fixture(autouse=True, scope="module")
def registered():
    register()
    register()


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def network(lively):
    network = create_model(NAME, num_classes=4, **SMALL).eval()
    lively(network)
    return network


@pytest.fixture
def saved(network, tmp_path):
    """The folder of that network with a record of published weights."""
    model = Res2NetForImageClassification.from_network(network, record=find_record(NAME), class_names=list("abcd"))
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@torch.no_grad()
def test_a_round_trip(network, saved):
    x = torch.randn(2, 3, 32, 32)
    model = AutoModelForImageClassification.from_pretrained(saved)
    assert isinstance(model, Res2NetForImageClassification)
    assert same_weights(model.network, network)
    # Its weights lie in memory as in the file, so torch can round sums in another way.
    torch.testing.assert_close(model(x).logits, network(x))
    assert torch.equal(model(x, return_dict=False)[0], model(x).logits)
    assert model.config.id2label == dict(enumerate("abcd"))
    assert model.config.network_options == SMALL
    assert {path.name for path in saved.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    # The file is one of ours.
    assert same_weights(create_model(NAME, saved / "model.safetensors", **SMALL), network)
    model.save_pretrained(saved.parent / "again")
    for name in ("README.md", "config.json", "preprocessor_config.json", "model.safetensors"):
        assert (saved.parent / "again" / name).read_bytes() == (saved / name).read_bytes(), name


@torch.no_grad()
def test_a_backbone_of_a_classifier(network, saved):
    x = torch.randn(2, 3, 65, 47)
    pyramid = network.features(x)
    backbone = Res2NetBackbone.from_pretrained(saved, out_features=["stage2", "stage4"])
    output = backbone(x)
    for found, level in zip(output.feature_maps, (2, 4), strict=True):
        torch.testing.assert_close(found, pyramid[level])
    assert backbone.channels == [network.stages[level].channels for level in (2, 4)]
    assert output.hidden_states is None
    states = backbone.forward_with_filtered_kwargs(x, output_hidden_states=True, output_attentions=True).hidden_states
    assert [state.shape for state in states] == [feature.shape for feature in pyramid]
    assert torch.equal(states[2], output.feature_maps[0])
    assert backbone(x, return_dict=False)[0][1].shape == pyramid[4].shape
    backbone.save_pretrained(saved.parent / "backbone")
    again = Res2NetBackbone.from_pretrained(saved.parent / "backbone")
    assert again.out_features == ["stage2", "stage4"]
    assert same_weights(again, backbone)


def test_backbones_by_configuration_and_by_name(saved, monkeypatch):
    """`AutoBackbone` asks the hub whether it has a name before it looks for a folder, so the hub is told to have it."""
    backbone = AutoBackbone.from_config(Res2NetConfig(network=NAME, network_options=SMALL, out_indices=[1, -1]))
    assert isinstance(backbone, Res2NetBackbone)
    assert backbone.out_features == ["stage1", "stage4"]
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_exists", lambda api, name: True)
    backbone = AutoBackbone.from_pretrained(saved)
    assert isinstance(backbone, Res2NetBackbone)
    assert backbone.out_features == ["stage4"]


@torch.no_grad()
def test_the_graph_of_weights_is_kept(lively, tmp_path):
    """Other graphs have the same weights and compute something else."""
    network = create_model("res2net50d", graph="paddle", num_classes=4, **SMALL).eval()
    lively(network)
    Res2NetForImageClassification.from_network(network).save_pretrained(tmp_path)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(AutoModelForImageClassification.from_pretrained(tmp_path)(x).logits, network(x))


def test_new_models_have_our_first_weights():
    config = Res2NetConfig(network=NAME, network_options=SMALL)
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_config(config)
    torch.manual_seed(0)
    ours = create_model(NAME, **SMALL)
    assert model.config.num_labels == ours.num_classes == 1000
    assert all(torch.equal(t, model.network.state_dict()[name]) for name, t in ours.state_dict().items())
    assert config.hidden_sizes == [stage.channels for stage in ours.stages]


def test_another_classifier(network, saved):
    """What the file lacks has fresh weights, and the rest is kept, statistics included."""
    model = AutoModelForImageClassification.from_pretrained(saved, num_labels=7, ignore_mismatched_sizes=True)
    assert model.network.fc.weight.shape[0] == 7
    assert 0 < model.network.fc.weight.std() < 1
    kept = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fc")}
    assert all(torch.equal(tensor, model.network.state_dict()[name]) for name, tensor in kept.items())


def test_it_learns(saved):
    model = AutoModelForImageClassification.from_pretrained(saved).train()
    output = model(torch.randn(4, 3, 32, 32), labels=torch.tensor([0, 1, 2, 3]))
    expected = torch.nn.functional.cross_entropy(output.logits, torch.arange(4))
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_segmenter_of_transformers():
    backbone = Res2NetConfig(network=NAME, network_options=SMALL, out_indices=[1, 2, 3, 4])
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=8,
        pool_scales=[1, 2],
        auxiliary_channels=8,
        auxiliary_in_channels=32,
        num_labels=3,
    )
    model = UperNetForSemanticSegmentation(config)
    output = model(torch.randn(2, 3, 64, 64), labels=torch.randint(0, 3, (2, 64, 64)))
    assert output.logits.shape == (2, 3, 64, 64)
    output.loss.backward()
    assert model.backbone.network.conv1.weight.grad is not None


@pytest.mark.parametrize("preprocessing", [Preprocessing(size=64), Preprocessing(size=32, crop=1.0)])
def test_images_are_prepared_alike(network, tmp_path, preprocessing):
    """Within the rounding of two implementations of the same filter."""
    model = Res2NetForImageClassification.from_network(network, preprocessing=preprocessing)
    model.save_pretrained(tmp_path)
    ramp = np.linspace(0, 255, 100 * 140 * 3).reshape(100, 140, 3)
    image = Image.fromarray((ramp + 20 * np.sin(np.arange(140))[:, None]).clip(0, 255).astype(np.uint8))
    theirs = AutoImageProcessor.from_pretrained(tmp_path)(image, return_tensors="pt")["pixel_values"][0]
    ours = eval_transform(preprocessing)(image)
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().max() < 2.1 / 255 / min(preprocessing.std)


def test_the_model_card(saved, network):
    card = huggingface_hub.ModelCard.load(saved / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("cc-by-nc-sa-4.0", "image-classification")
    assert card.data.library_name == "transformers"
    for text in ("# res2net50_26w_4s", "not for commercial use", "the authors of Res2Net", "4 classes"):
        assert text in card.text
    assert "| top-1 accuracy, timm | 77.994 |" in card.text
    assert "| crop | 0.875 |" in card.text
    model = Res2NetForImageClassification.from_network(network)
    model.save_pretrained(saved.parent / "mine")
    card = huggingface_hub.ModelCard.load(saved.parent / "mine" / "README.md")
    assert card.data.license is None
    assert "Not stated" in card.text
    assert "Metrics" not in card.text
    model = Res2NetForImageClassification.from_network(network, licence="ask me", metrics={"top-1 accuracy": 61.5})
    model.save_pretrained(saved.parent / "mine")
    card = huggingface_hub.ModelCard.load(saved.parent / "mine" / "README.md")
    assert card.data.license == "other"
    assert "| top-1 accuracy | 61.5 |" in card.text


def test_the_hub_gets_the_same_files(saved, monkeypatch):
    """Its client is asked for a repository, then given the folder; nothing leaves this machine."""
    sent = {}

    def create_repo(api, repo_id, *, private, exist_ok):
        assert exist_ok
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(api, *, repo_id, folder_path, commit_message, revision, create_pr):
        sent.update({path.name: path.read_bytes() for path in saved.__class__(folder_path).iterdir()})
        return repo_id

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    model = AutoModelForImageClassification.from_pretrained(saved)
    assert model.push_to_hub("someone/network") == "someone/network"
    assert sent == {path.name: path.read_bytes() for path in saved.iterdir()}


def test_the_configuration(saved):
    config = AutoConfig.from_pretrained(saved)
    assert isinstance(config, Res2NetConfig)
    assert (config.network, config.num_labels, config.num_channels) == (NAME, 4, 3)
    assert json.loads((saved / "config.json").read_text())["model_type"] == "res2net"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "res2net50_26w4s"}, r"did you mean 'res2net50_26w_4s'\?"),
        ({"network_options": {"scales": 8}}, r"has no option 'scales': did you mean 'scale'\?"),
        ({"network_options": {"norm": torch.nn.BatchNorm2d}}, "cannot be saved"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(InputError, match=message):
        Res2NetConfig(**options)


def test_networks_that_do_not_fit(network):
    with pytest.raises(InputError, match="has no classifier"):
        Res2NetForImageClassification.from_network(create_model(NAME, num_classes=0, **SMALL))
    with pytest.raises(InputError, match="2 names do not fit 4 classes"):
        Res2NetForImageClassification.from_network(network, class_names=["a", "b"])
