"""What is measured."""

import pytest

from res2net.bench import Case, plan
from res2net.errors import InputError

HOW = {"batches": [1], "size": 32}


def test_cases_that_are_compared_stand_together():
    cases, left = plan(["a", "b"], ["eager", "onnx"], ["fp32", "int8"], batches=[1, 8], size=32, train=(4, 64))
    assert cases[:2] == [Case("a", "eager", "fp32", 1, 32), Case("b", "eager", "fp32", 1, 32)]
    groups = [case.group for case in cases]
    assert groups == sorted(groups, key=groups.index)
    assert len(cases) == 2 * 2 * 3 + 2
    assert cases[-1] == Case("b", "eager", "fp32", 4, 64, training=True)
    assert left == ["int8 with eager", "training with onnx"]


@pytest.mark.parametrize(
    ("runtimes", "precisions", "more", "sentence"),
    [
        (["eagre"], ["fp32"], {}, "Unknown runtime 'eagre': did you mean 'eager'?"),
        (["eager"], ["fp23"], {}, "Unknown precision 'fp23': did you mean 'fp32'?"),
        ([], ["fp32"], {}, "There is nothing to measure"),
        (["eager"], ["fp32"], {"batches": []}, "There is nothing to measure"),
        (["eager"], ["fp32"], {"batches": [0]}, "batch size 0 is out of range"),
        (["pt2"], ["bf16"], {}, "Runtime pt2 has no bf16: choose fp32."),
        (["onnx"], ["fp32"], {"device": "cuda"}, "Runtime onnx runs on the CPU only"),
        (["onnx"], ["fp32"], {"train": (4, 32)}, "None of the runtimes can train"),
    ],
)
def test_what_does_not_fit_is_refused(runtimes, precisions, more, sentence):
    with pytest.raises(InputError) as caught:
        plan(["a"], runtimes, precisions, **(HOW | more))
    assert sentence in str(caught.value)
