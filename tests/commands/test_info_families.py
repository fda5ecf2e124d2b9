"""`res2net info` of networks that are unlike a ResNet for images."""

import pytest


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("vgg16", ("138,357,544", "image of 224 x 224", "layer5", "largest")),
        ("inception_v3", ("23,834,568", "109", "1,311", "largest")),
        pytest.param("hrnet_w18", ("21,299,004", "image of 224 x 224", "2,847", "largest"), marks=pytest.mark.slow),
        ("cifar_wrn28_10", ("36,536,884", "image of 32 x 32", "largest")),
        ("ecapa_tdnn_512", ("signal of 224", "131", "largest")),
        ("res2net3d50_26w_4s", ("36,962,296", "volume of 64 x 64 x 64", "largest")),
    ],
)
def test_what_a_network_costs(run, monkeypatch, name, parts):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("info", name)
    assert (answer.status, answer.err) == (0, "")
    for part in parts:
        assert part in answer.out
    assert ("largest" in answer.out) is ("largest" in parts)


def test_a_size_that_does_not_fit(refused):
    assert "does not fit this network: give multiples of 32" in refused("info", "hrnet_w18", "--size", "100")
    assert "is too small for this network: give sides of 75 or more" in refused("info", "inception_v3", "--size", "64")
    assert refused("info", "ecapa_tdnn_512", "--output-stride", "8") == (
        "Output stride 8 is not possible here: this network has no stride that dilation could replace, so choose 1."
    )
