"""The network for roads and walks with a network that knows the way."""

import numpy as np
import pytest
import torch
from dense_graphs import densified
from scipy.ndimage import distance_transform_edt
from torch import nn

from res2net import create_model
from res2net.errors import InputError
from res2net.tasks.roads.graph import RoadGraph, junction_map, road_map
from res2net.tasks.roads.metric import apls
from res2net.tasks.roads.network import RoadNetwork, explored_in_tiles, road_losses
from res2net.tasks.roads.options import RoadsOptions
from res2net.tasks.roads.samples import StepSampler
from res2net.tasks.roads.synthetic import draw_town
from res2net.tasks.roads.tracing import map_peaks, trace_roads

OPTIONS = RoadsOptions(step=20.0, spur=8.0)


def network(window=64, **options):
    torch.manual_seed(0)
    backbone = create_model("res2net20_26w_4s_tiny", num_classes=0)
    return RoadNetwork(backbone, channels=8, branch_channels=8, next_channels=8, window=window, **options).eval()


@pytest.mark.parametrize("size", [(64, 96), (33, 57), (1, 1)])
def test_maps_have_the_size_of_the_image(size):
    model = network()
    logits, features = model.all_outputs(torch.randn(2, 3, *size))
    assert [tuple(one.shape) for one in logits] == [(2, 2, *size)] * 4
    assert features.shape[-2:] == (-(-size[0] // 4), -(-size[1] // 4))


def test_windows_are_slices_of_the_padded_features():
    model = network(window=32)
    features = torch.randn(2, 5, 12, 16)
    origins = torch.tensor([[[-16, -16], [0, 4]], [[48, 32], [20, -8]]])
    windows = model.windows(features, origins)
    padded = model.padded(features)
    for number, (image, origin) in enumerate(zip((0, 0, 1, 1), origins.flatten(0, 1), strict=True)):
        x, y = model.corners(origin).tolist()
        torch.testing.assert_close(windows[number], padded[image, :, y : y + 8, x : x + 8])
    assert not windows[0, :, :4, :4].any()  # outside of the image


def test_a_step_sees_the_point_and_the_path():
    model = network(window=32)
    windows, walked = torch.randn(1, 24, 8, 8), torch.zeros(1, 32, 32)
    here = model.step(windows, torch.tensor([[16.0, 16.0]]), walked)
    assert here.shape == (1, 32, 32)
    assert not torch.allclose(here, model.step(windows, torch.tensor([[8.0, 16.0]]), walked))
    assert not torch.allclose(here, model.step(windows, torch.tensor([[16.0, 16.0]]), walked + 1))


def test_everything_learns():
    model = network().train()
    graph = draw_town(np.random.default_rng(0), 64).graph
    steps = StepSampler(3, 64, 20.0, 4)(graph, (64, 64), np.random.default_rng(0))
    images = torch.randn(2, 3, 64, 64)
    maps, features = model.all_outputs(images)
    one = {name: torch.stack([value, value]) for name, value in steps.items()}
    windows = model.windows(features, one["origins"])
    logits = model.step(windows, one["currents"].flatten(0, 1), one["walked"].flatten(0, 1))
    losses = road_losses(
        maps,
        torch.from_numpy(road_map(graph, (64, 64), 8)).float().expand(2, -1, -1),
        torch.from_numpy(junction_map(graph, (64, 64), 4)).float().expand(2, -1, -1),
        logits,
        one["wanted"].flatten(0, 1),
        side_weight=0.5,
    )
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_a_window_that_does_not_fit():
    with pytest.raises(InputError, match="give a multiple of 32"):
        network(window=40)


def test_tiles_show_what_the_whole_does():
    """Away from where the network sees farther than the margin."""
    model = network()
    images = torch.randn(1, 3, 320, 448)
    with torch.inference_mode():
        whole, pieces = model.explored(images)[:2], explored_in_tiles(model, images, 192)
    for one, other in zip(whole, pieces, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().mean() < 0.02 * one.abs().mean()


class Guide(nn.Module):
    """Stands for a network: in the window it proposes the true next points that were not walked yet."""

    def __init__(self, graph, window=64, step=20.0):
        super().__init__()
        self.graph, self.window, self.stride = graph, window, 4
        self.sampler = StepSampler(1, window, step, 4)
        self.reach = step
        self.dense = densified(graph, 1.0)

    def padded(self, features):
        return features

    def corners(self, origins):
        self.origins = origins.numpy()
        return torch.zeros_like(origins)

    def step(self, windows, currents, walked):
        marks = []
        for origin, current, path in zip(self.origins, currents.numpy(), walked.numpy(), strict=True):
            here = current + origin
            start = int(np.linalg.norm(self.dense.points - here, axis=1).argmin())
            marks.append(self.sampler._point_map([end - origin for end in self._ends(start, path, origin)]))
        return torch.logit(torch.from_numpy(np.stack(marks)).clamp(1e-4, 1 - 1e-4))

    def _ends(self, start, path, origin):
        for following in self.dense.neighbours[start]:
            chain, length = [start, following], 0.0
            while length < self.reach and self.dense.degrees[chain[-1]] == 2:
                a, b = self.dense.neighbours[chain[-1]]
                chain.append(b if a == chain[-2] else a)
                length = self.dense.length(chain)
            middle = (self.dense.points[chain[len(chain) // 2]] - origin).astype(int).clip(1, self.window - 2)
            near = path[middle[1] - 1 : middle[1] + 2, middle[0] - 1 : middle[0] + 2]
            if not near.any():
                yield self.dense.points[chain[-1]]


def smooth(roads, junctions):
    """Maps `(1, 2, H, W)` that are largest in the middle, as those of a network are."""
    middles = [distance_transform_edt(one) for one in (roads, junctions)]
    return torch.from_numpy(np.stack([0.5 * one / max(one.max(), 1) + 0.5 * (one > 0) for one in middles])).float()[
        None
    ]


@pytest.mark.parametrize("seed", range(3))
def test_who_knows_the_way_walks_it_all(seed):
    graph = draw_town(np.random.default_rng(seed), 128).graph
    maps = smooth(road_map(graph, (128, 128), 9), junction_map(graph, (128, 128), 4))
    (found,) = trace_roads(Guide(graph), torch.zeros(1, 1, 64, 64), maps, [(128, 128)], OPTIONS)
    assert apls(graph, found).value > 0.85
    assert found.lengths.sum() == pytest.approx(graph.lengths.sum(), rel=0.12)


def test_a_road_without_junctions_is_found_from_its_map():
    graph = RoadGraph.of([(10, 40), (110, 60)], [(0, 1)])
    maps = smooth(road_map(graph, (96, 128), 9), np.zeros((96, 128), bool))
    (found,) = trace_roads(Guide(graph), torch.zeros(1, 1, 64, 64), maps, [(96, 128)], OPTIONS)
    assert len(found.chains) == 1
    assert found.lengths.sum() == pytest.approx(graph.lengths.sum(), abs=12)


def test_where_there_is_nothing_nothing_is_walked():
    (found,) = trace_roads(network(), torch.zeros(1, 24, 8, 8), torch.zeros(1, 2, 32, 32), [(32, 32)], OPTIONS)
    assert len(found.edges) == 0


def test_a_network_that_proposes_everything_comes_to_an_end():
    model = network()
    nn.init.constant_(model.next_points.out.bias, 5.0)
    (found,) = trace_roads(model, torch.randn(1, 24, 24, 24), torch.ones(1, 2, 96, 96), [(96, 96)], OPTIONS)
    assert np.isfinite(found.points).all()


def test_peaks():
    values = np.zeros((20, 30), np.float32)
    values[5, 7], values[5, 8], values[15, 20] = 0.9, 0.9, 0.5
    assert map_peaks(values, 0.3, 3).tolist() == [[8.0, 5.5], [20.5, 15.5]]
    assert map_peaks(values, 0.6, 3).tolist() == [[8.0, 5.5]]
    assert map_peaks(values, 0.95, 3).shape == (0, 2)
