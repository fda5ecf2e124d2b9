"""Class activation maps against the formulas of the papers and against captum itself."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import res2net
from res2net import create_model
from res2net.errors import InputError
from res2net.explain import class_activation_maps

attr = pytest.importorskip("captum.attr")


@pytest.fixture(scope="module")
def network():
    """A small Res2Net whose maps are not trivial: random statistics, and branches that do not start at zero."""
    torch.manual_seed(0)
    model = create_model(
        "res2net26_26w_4s", layers=(1, 2, 1, 1), channels=(16, 16, 32, 32), num_classes=7, zero_init_last=False
    )
    with torch.no_grad():
        model(torch.randn(8, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))


def grad_cam(features, head, images, classes):
    """Selvaraju et al., ICCV 2017: Eq. 1, the mean gradients as weights; Eq. 2, the weighted sum, cut off below 0."""
    maps = []
    for image, index in zip(images, classes, strict=True):
        activations = features(image[None]).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(head(activations)[0, index], activations)
        weights = gradient.mean((2, 3))[0]
        total = sum(weight * channel for weight, channel in zip(weights, activations.detach()[0], strict=True))
        enlarged = F.interpolate(total.relu()[None, None], image.shape[1:], mode="bilinear")[0, 0]
        maps.append(enlarged / enlarged.max() if enlarged.max() > 0 else enlarged)
    return torch.stack(maps)


def classifier(network, features):
    return network.fc(network.global_pool(features).flatten(1))


@pytest.mark.parametrize("classes", [[0, 1, 2], [6, 6, 3]])
def test_maps_are_those_of_the_formula(network, images, classes):
    expected = grad_cam(lambda x: network.features(x)[-1], lambda x: classifier(network, x), images, classes)
    maps = class_activation_maps(network, images, classes)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)
    assert maps.shape == (3, 64, 48)
    assert maps.min() >= 0
    assert ((maps.flatten(1).amax(1) - 1).abs() < 1e-6).sum() >= 1


def test_of_a_layer_inside_the_network(network, images):
    def head(x):
        for layer in (network.layer3, network.layer4):
            x = layer(x)
        return classifier(network, x)

    expected = grad_cam(lambda x: network.features(x)[2], head, images, [4, 4, 4])
    maps = class_activation_maps(network, images, 4, layer="layer2.1")
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5)


def test_maps_are_those_of_captum(network, images):
    target = torch.tensor([1, 5, 2])
    grad_cam = attr.LayerGradCam(network, network.layer3)
    expected = attr.LayerAttribution.interpolate(
        grad_cam.attribute(images, target, relu_attributions=True), (64, 48), "bilinear"
    )[:, 0]
    maps = class_activation_maps(network, images, target, layer="layer3")
    greatest = expected.flatten(1).amax(1)[:, None, None]
    torch.testing.assert_close(maps * greatest, expected.detach(), rtol=1e-4, atol=1e-9)


def test_the_predicted_classes_are_the_default(network, images):
    predicted = network(images).argmax(1)
    assert torch.equal(class_activation_maps(network, images), class_activation_maps(network, images, predicted))


def derivatives(head, activations, index, order):
    """The derivatives of a function of activations by the one at an index, up to an order, by automatic ones."""
    moved = torch.zeros((), dtype=torch.float64, requires_grad=True)
    unit = torch.zeros_like(activations)
    unit[index] = 1
    value, found = head(activations + moved * unit), []
    for _ in range(order):
        (value,) = torch.autograd.grad(value, moved, create_graph=True)
        found.append(value.detach())
    return found


def grad_cam_plus_plus(head, activations):
    """Chattopadhay et al., WACV 2018, for activations `(K, h, w)`: Eq. 19, alpha; Eq. 5, weights; then the sum."""
    weights = torch.zeros(len(activations), dtype=torch.float64)
    for channel, values in enumerate(activations):
        for row, column in itertools.product(*map(range, values.shape)):
            first, second, third = derivatives(head, activations, (channel, row, column), 3)
            divisor = 2 * second + values.sum() * third
            alpha = second / divisor if divisor != 0 else 0
            weights[channel] += alpha * first.relu()
    return (weights[:, None, None] * activations).sum(0).relu()


def test_grad_cam_plus_plus_is_that_of_the_formula():
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU()).double()
    top = nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).double()
    images = torch.randn(2, 1, 7, 7, dtype=torch.float64)
    maps = class_activation_maps(nn.Sequential(body, top), images, [1, 0], layer="0", method="gradcam++")
    for image, found, index in zip(images, maps, [1, 0], strict=True):

        def score(activations, index=index):
            return top(activations[None])[0, index].exp()

        expected = grad_cam_plus_plus(score, body(image[None])[0].detach())
        enlarged = F.interpolate(expected[None, None], (7, 7), mode="bilinear")[0, 0]
        assert enlarged.max() > 0
        torch.testing.assert_close(found, enlarged / enlarged.max())


def test_eigen_cam_projects_on_the_first_component(network, images):
    """With the largest eigenvector of the channels' second moments, in place of a singular value decomposition."""
    maps = class_activation_maps(network, images, method="eigen")
    assert torch.equal(maps, class_activation_maps(network, images, 5, method="eigen"))
    for image, found in zip(images, maps, strict=True):
        activations = network.features(image[None])[-1][0].detach().double()
        channels = activations.flatten(1)
        vector = torch.linalg.eigh(channels @ channels.T).eigenvectors[:, -1]
        projected = torch.einsum("k,khw->hw", vector, activations)
        projected = (projected * projected.sum().sign()).relu()
        enlarged = F.interpolate(projected[None, None], image.shape[1:], mode="bilinear")[0, 0]
        torch.testing.assert_close(found.double(), enlarged / enlarged.max(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "eigen"])
def test_work_in_place_changes_no_map(network, images, method):
    outside = copy.deepcopy(network)
    for module in outside.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    unused = {"layer1.0.convs", "layer1.0.bns", "layer1.0.acts"}
    layers = [name for name, _ in network.named_modules() if name.startswith(("layer1", "act1", "bn1", "maxpool"))]
    names = sorted(set(layers) - unused)
    for name in names if method == "gradcam" else [names[0], "layer1.0", "bn1"]:
        maps = class_activation_maps(network, images[:1], 2, layer=name, method=method)
        torch.testing.assert_close(maps, class_activation_maps(outside, images[:1], 2, layer=name, method=method))


def test_the_network_stays_as_it_is(network, images):
    model = copy.deepcopy(network).train()
    model.freeze(2)
    model.layer3.eval()
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    given = images.clone()
    class_activation_maps(model, given)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name != "fc.weight")
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert torch.equal(given, images)
    assert not given.requires_grad


def test_the_mode_is_restored_after_a_mistake(network, images):
    model = copy.deepcopy(network).train()
    with pytest.raises(InputError):
        class_activation_maps(model, images, 99)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_may_be_off_or_weights_frozen(network, images):
    expected = class_activation_maps(network, images, 1)
    frozen = copy.deepcopy(network).requires_grad_(False)
    assert torch.equal(class_activation_maps(frozen, images, 1), expected)
    with torch.no_grad():
        assert torch.equal(class_activation_maps(network, images, 1), expected)
    with torch.inference_mode():
        inside = class_activation_maps(network, images.clone(), 1)
    assert torch.equal(inside, expected)
    assert not expected.requires_grad


def test_any_dimension():
    model = create_model("res2net26_26w_4s", layers=(1, 1), channels=(8, 16), num_classes=3, dims=1, in_channels=2)
    assert class_activation_maps(model, torch.randn(2, 2, 100)).shape == (2, 100)


def test_no_images_and_blank_maps(network):
    assert class_activation_maps(network, torch.zeros(0, 3, 32, 32)).shape == (0, 32, 32)
    blank = copy.deepcopy(network)
    nn.init.zeros_(blank.fc.weight)
    assert (class_activation_maps(blank, torch.randn(1, 3, 32, 32)) == 0).all()


def test_networks_of_others_use_the_last_layer_with_a_map(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert torch.equal(class_activation_maps(model, images), class_activation_maps(model, images, layer="1"))
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(InputError, match="No layer of a Sequential has an output with spatial axes: give the name"):
        class_activation_maps(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), images)


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("densenet121", "features")])
def test_networks_of_torchvision_and_converted_ones(name, layer):
    network = getattr(torchvision.models, name)()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(class_activation_maps(network, x, 3), class_activation_maps(network, x, 3, layer=layer))
    if name == "resnet18":
        converted, _ = res2net.convert(network, example_input=x[:1])
        assert class_activation_maps(converted, x, 3, method="gradcam++").shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("classes", "layer", "message"),
    [
        (None, "layer5", "Unknown layer 'layer5': did you mean 'layer"),
        (None, "fc", "The output of layer 'fc' has no spatial axes"),
        (None, "layer1.0.convs", "The layer 'layer1.0.convs' is not called itself"),
        (7, None, "Classes 7 do not fit: give one of 0 to 6 for each of 3 images"),
        (-1, None, "Classes -1 do not fit"),
        ([1, 2], None, r"Classes \[1, 2\] do not fit"),
    ],
)
@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_mistakes_are_told(network, images, classes, layer, message, method):
    with pytest.raises(InputError, match=message):
        class_activation_maps(network, images, classes, layer, method)


def test_an_unknown_method_is_told(network, images):
    with pytest.raises(InputError, match=r"Unknown method 'gradcam\+': did you mean 'gradcam\+?\+?'"):
        class_activation_maps(network, images, method="gradcam+")


def test_a_classifier_is_needed(images):
    model = create_model("res2net26_26w_4s", layers=(1,), channels=(8,), num_classes=0)
    with pytest.raises(InputError, match="not logits"):
        class_activation_maps(model, images)


def test_a_misspelt_layer_is_answered_with_the_names_of_layers():
    model = create_model("res2net20_26w_4s_tiny", num_classes=3)
    with pytest.raises(InputError, match=r"Unknown layer 'layre3': did you mean 'layer3'\? \(allowed: conv1, "):
        class_activation_maps(model, torch.rand(1, 3, 32, 32), layer="layre3")
