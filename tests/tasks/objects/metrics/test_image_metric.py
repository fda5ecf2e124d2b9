"""What is kept of images survives several processes."""

import pickle
import warnings

import pytest
import torch
from coco_oracle import imperfect, synthetic, targets_of
from torch import multiprocessing

from res2net.tasks.objects.metrics.coco import CocoAP


def whole_set():
    targets = targets_of(synthetic(6, count=9))
    return imperfect(targets, 3), targets


def metric_of(places):
    metric = CocoAP(("bbox", "segm"), list("abc"))
    results, targets = whole_set()
    if places:
        metric.update([results[place] for place in places], [targets[place] for place in places])
    return metric


WHOLE = list(range(9))
SHARES = [[[0, 2, 4, 6, 8, 1], [1, 3, 5, 7]], [WHOLE, []], [[], WHOLE]]
"""Of two processes: uneven and with an image that both had, and with a process that had none."""


@pytest.mark.parametrize("shares", SHARES)
def test_what_processes_gather_is_the_whole_set(shares):
    first, second = (metric_of(share) for share in shares)
    sent = []
    second._sync_dist(lambda value, group: sent.append(value) or [value])
    answers = iter(sent)

    def gather(value, group):
        other = next(answers)
        assert (value.dtype, value.ndim, value.shape[1:]) == (other.dtype, other.ndim, other.shape[1:])
        return [value, other]

    first._sync_dist(gather)
    with warnings.catch_warnings(action="ignore"):  # a metric without images is computed
        together = first.compute()
    assert together == pytest.approx(metric_of(WHOLE).compute(), nan_ok=True, abs=0)


def one_process(rank, shares, path, answers):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=len(shares))
    metric = metric_of(shares[rank])
    metric.update([], [])  # torchmetrics warns where nothing was added
    answers[rank] = metric.compute()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("shares", SHARES[:2])
def test_two_processes_see_the_whole_set(shares, tmp_path):
    with multiprocessing.Manager() as manager:
        answers = manager.dict()
        multiprocessing.spawn(one_process, (shares, tmp_path / "meeting", answers), nprocs=2)
        answers = dict(answers)
    expected = pytest.approx(metric_of(WHOLE).compute(), nan_ok=True, abs=0)
    assert answers[0] == expected
    assert answers[1] == expected


def test_it_can_be_copied_to_another_process():
    metric = metric_of([0, 1, 2])
    assert pickle.loads(pickle.dumps(metric)).compute() == pytest.approx(metric.compute(), nan_ok=True)


def test_masks_are_kept_as_run_lengths():
    """A thousand pixels in some ten bytes."""
    targets = targets_of(synthetic(6, count=9))
    metric = metric_of(WHOLE)
    pixels = sum(target["masks"].numel() for target in targets)
    objects = [one for _, image in metric.kept() for one in image["objects"]]
    assert 0 < sum(len(one["segmentation"]["counts"]) for one in objects) < pixels / 100
