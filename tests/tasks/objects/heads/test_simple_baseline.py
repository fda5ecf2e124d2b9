"""SimpleBaseline: the published network and its loss."""

import pytest
import torch
import torchvision
from torch import nn

from res2net.backbones.base import Stage
from res2net.errors import InputError
from res2net.tasks.objects.keypoints.simple_baseline import SimpleBaseline, heatmap_loss
from res2net.zoo import create_model


def tiny(**options):
    return create_model("res2net20_26w_4s_tiny", num_classes=0, **options)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_has_the_parameters_of_the_published_network():
    with torch.device("meta"):
        ours = SimpleBaseline(create_model("resnet50", num_classes=0), 17)
        theirs = torchvision.models.resnet50()
        theirs.fc = nn.Identity()
    head = 2048 * 256 * 16 + 2 * 256 * 256 * 16 + 3 * 2 * 256 + 256 * 17 + 17
    assert parameters(ours) == parameters(theirs) + head == 33_999_697
    with torch.device("meta"):
        res2net = create_model("res2net50_26w_4s", num_classes=0)
        alone = parameters(res2net)
        assert parameters(SimpleBaseline(res2net, 17)) == alone + head == 34_141_785


def test_it_is_the_backbone_then_the_layers_of_the_paper():
    model = SimpleBaseline(tiny(), 5, channels=(12, 8)).eval()
    images = torch.randn(2, 3, 64, 48)
    stride = model.backbone.stages[-1].stride
    x = model.backbone(images)
    assert tuple(x.shape[-2:]) == (64 // stride, 48 // stride)
    for index in (0, 3):
        deconvolution, norm, _ = model.deconv_layers[index : index + 3]
        assert (deconvolution.kernel_size, deconvolution.stride, deconvolution.bias) == ((4, 4), (2, 2), None)
        x = nn.functional.conv_transpose2d(x, deconvolution.weight, stride=2, padding=1)
        x = norm(x).relu()
    x = nn.functional.conv2d(x, model.final_layer.weight, model.final_layer.bias)
    assert torch.equal(model(images), x)
    assert tuple(x.shape) == (2, 5, 64 // model.stride, 48 // model.stride)


@pytest.mark.parametrize("output_stride", [4, 8, 16])
def test_heat_maps_have_a_quarter_of_the_size_at_any_output_stride(output_stride):
    model = SimpleBaseline(tiny(output_stride=output_stride), 3, channels=8)
    assert model.stride == 4
    assert tuple(model(torch.randn(2, 3, 64, 32)).shape) == (2, 3, 16, 8)
    assert len(model.deconv_layers) == 3 * {4: 0, 8: 1, 16: 2}[output_stride]


def test_initial_weights_are_small():
    model = SimpleBaseline(tiny(), 17, channels=64)
    weights = [layer.weight for layer in model.deconv_layers if isinstance(layer, nn.ConvTranspose2d)]
    for weight in (*weights, model.final_layer.weight):
        assert float(weight.detach().std()) == pytest.approx(0.001, rel=0.1)
    assert not model.final_layer.bias.any()


def test_the_loss_is_that_of_the_published_code():
    predicted, wanted = torch.randn(3, 4, 6, 5), torch.rand(3, 4, 6, 5)
    weights = torch.tensor([[1.0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]])
    loss = 0.0
    for point in range(4):
        squares = 0.0
        for image in range(3):
            for value, right in zip(predicted[image, point].flatten(), wanted[image, point].flatten(), strict=True):
                squares += float(weights[image, point] * (value - right)) ** 2
        loss += 0.5 * squares / (3 * 6 * 5)
    assert float(heatmap_loss(predicted, wanted, weights)) == pytest.approx(loss / 4, rel=1e-5)


def test_points_without_weight_teach_nothing():
    predicted = torch.randn(1, 2, 4, 4, requires_grad=True)
    heatmap_loss(predicted, torch.zeros(1, 2, 4, 4), torch.tensor([[1.0, 0.0]])).backward()
    assert predicted.grad[0, 0].any()
    assert not predicted.grad[0, 1].any()


def test_it_learns_where_a_bright_pixel_is():
    model = SimpleBaseline(tiny(), 1, channels=16)
    images, wanted = torch.zeros(4, 3, 32, 32), torch.zeros(4, 1, 8, 8)
    for index, (row, column) in enumerate([(1, 2), (5, 6), (6, 1), (3, 3)]):
        images[index, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 4
        wanted[index, 0, row, column] = 1
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = heatmap_loss(model(images), wanted, torch.ones(4, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    assert torch.equal(model(images).flatten(1).argmax(1), wanted.flatten(1).argmax(1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="num_classes=0"):
        SimpleBaseline(create_model("resnet20_tiny", num_classes=10), 17)
    with pytest.raises(InputError, match="0 keypoints"):
        SimpleBaseline(tiny(), 0)
    odd = tiny()
    odd.stages = (*odd.stages[:-1], Stage(64, 6))
    with pytest.raises(InputError, match="output_stride is 4 times a power of 2"):
        SimpleBaseline(odd, 17)
    with pytest.raises(InputError, match="channels"):
        SimpleBaseline(tiny(), 17, channels=(8,) * 9)
    with pytest.raises(InputError, match="channels"):
        SimpleBaseline(tiny(), 17, channels=(8, 0))
