"""`res2net bench`, on a tiny network."""

import json
import time

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

TINY = "res2net20_26w_4s_tiny"
FAST = ["--size", 32, "--repetitions", 1, "--threads", 1, "--accelerator", "cpu"]
ROUNDS = 10.0
"""Seconds from the first call of a network to the interruption; a round takes about one."""


@pytest.mark.slow
def test_a_benchmark(run, tmp_path):
    found, image = tmp_path / "bench.json", tmp_path / "bench.png"
    answer = run(
        *("bench", TINY, *FAST, "--runtimes", "eager,openvino", "--batch-sizes", "1,2", "--train", "--train-batch", 2),
        *("--layers", "--json", found, "--plot", image),
    )
    assert answer.status == 0, answer.err
    assert "Latency, 1 image of 32 px" in answer.out
    assert "Latency, 2 images of 32 px" in answer.out
    assert "Training step, 2 images of 32 px" in answer.out
    assert "Types of layers" in answer.out
    assert "Left out: training with openvino." in answer.err
    said = json.loads(found.read_text())
    assert said["command"].startswith(f"res2net bench {TINY} --size 32")
    assert said["machine"]["threads"] == 1
    assert set(said["peak_gflops"]) == {"fp32"}
    assert [(r["runtime"], r["batch"], r["training"]) for r in said["results"]] == [
        ("eager", 1, False),
        ("openvino", 1, False),
        ("eager", 2, False),
        ("openvino", 2, False),
        ("eager", 2, True),
    ]
    assert all(len(result["samples_by_round"]) == 1 for result in said["results"])
    assert said["layers"][0]["layers"]
    assert image.read_bytes().startswith(b"\x89PNG")


def test_a_checkpoint_is_measured(run, trained):
    answer = run("bench", trained.best, *FAST, "--runtimes", "optimized")
    assert answer.status == 0, answer.err
    assert "optimized" in answer.out


@pytest.mark.slow
def test_ctrl_c_gives_the_results_until_then(run):
    start = []

    def interrupt(module, inputs):
        if torch.is_inference_mode_enabled():
            start.append(time.monotonic())
            if start[-1] > start[0] + ROUNDS:
                raise KeyboardInterrupt

    hook = register_module_forward_pre_hook(interrupt)
    try:
        answer = run("bench", TINY, *FAST, "--runtimes", "eager", "--repetitions", 10_000)
    finally:
        hook.remove()
    assert answer.status == 1
    assert "Latency" in answer.out
    assert "Stopped early: the results are those of the finished rounds." in answer.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "`res2net bench` needs at least one model"),
        (["res2net50_26w4s"], "did you mean 'res2net50_26w_4s'?"),
        (["missing.safetensors"], "missing.safetensors"),
        ([TINY, "--runtimes", "openvin"], "Unknown runtime 'openvin': did you mean 'openvino'?"),
        ([TINY, "--precisions", "fp8"], "Unknown precision 'fp8'"),
        ([TINY, "--batch-sizes", "1;2"], "--batch-sizes '1;2' are not whole numbers"),
        ([TINY, "--batch-sizes", "0"], "batch size 0 is out of range"),
        ([TINY, "--repetitions", 0], "repetitions 0 is out of range"),
        ([TINY, "--threads", 0], "threads 0 is out of range"),
        ([TINY, "--layers"], "--layers needs OpenVINO"),
        ([TINY, "--plot", "x.pdf"], "x.pdf has the ending '.pdf': choose .png or .svg."),
        ([TINY, "--json", "nowhere/x.json"], "There is no folder nowhere"),
        ([TINY, "--accuracy", "x.json"], "--accuracy is used by the plot only"),
        ([TINY, "--accuracy", "nowhere.json", "--plot", "x.png"], "nowhere.json is not a JSON file of accuracies"),
        ([TINY, "--accelerator", "tpu"], "Unknown --accelerator 'tpu'"),
        ([TINY, "--repetitons", 3], "did you mean '--repetitions'?"),
    ],
)
def test_mistakes_are_one_sentence(refused, words, sentence):
    assert sentence in refused("bench", *words)
