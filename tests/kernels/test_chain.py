"""The chain against Eq. 1 written out, and its gradient against torch's own."""

import pytest
import torch

from res2net.kernels import Layout, chain, chain_backward

FACTORS = (2.0, 3.0, 5.0)


def steps(count):
    return [lambda x, factor=factor: factor * x for factor in FACTORS[:count]]


def test_official_order_passes_the_last_split():
    x1, x2, x3, x4 = x = torch.randn(4)
    expected = [2 * x1, 3 * (x2 + 2 * x1), 5 * (x3 + 3 * (x2 + 2 * x1)), x4]
    torch.testing.assert_close(chain(x[None], steps(3), Layout(1, 4))[0], torch.stack(expected))


def test_paper_order_passes_the_first_split():
    x1, x2, x3, x4 = x = torch.randn(4)
    expected = [x1, 2 * x2, 3 * (x3 + 2 * x2), 5 * (x4 + 3 * (x3 + 2 * x2))]
    layout = Layout(1, 4, split_order="paper")
    torch.testing.assert_close(chain(x[None], steps(3), layout)[0], torch.stack(expected))


def test_first_arxiv_version_starts_with_the_split_that_passes():
    x1, x2, x3 = x = torch.randn(3)
    expected = [7 * x1, 2 * (x2 + x1), 3 * (x3 + 2 * (x2 + x1))]
    layout = Layout(1, 3, split_order="arxiv-v1")
    torch.testing.assert_close(chain(x[None], steps(2), layout, lambda x: 7 * x)[0], torch.stack(expected))


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize("order", ["official", "paper", "arxiv-v1"])
@pytest.mark.parametrize("passes", [True, False])
def test_the_gradient_is_that_of_torch(hierarchical, order, passes):
    layout = Layout(2, 4 if passes else 3, hierarchical, order, passes)
    x = torch.randn(3, layout.scale * 2, requires_grad=True)
    y = chain(x, steps(3), layout, lambda x: 7 * x)
    gradient = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, gradient)
    torch.testing.assert_close(chain_backward(gradient, steps(3), layout, lambda x: 7 * x), expected)
