"""The Triton kernel compiled for GPUs that are not here, as `folded_chain_triton` would start it."""

import contextlib
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from res2net.kernels import ChainOptions, Layout

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

AMPERE, HOPPER = 80, 90
SHARED_MEMORY = 99 * 1024
"""Bytes that a program may take on every GPU since Ampere."""
MATRIX_UNIT = {AMPERE: "mma.sync", HOPPER: "wgmma.mma_async"}


class Driver:
    """Says that a GPU is there."""

    def __init__(self, capability):
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """`compiled(capability, dtype, layout, ...)` gives the compiled kernels that the call would start."""
    from triton.runtime import driver
    from triton.runtime.jit import MockTensor

    from res2net.kernels import triton_chain

    kernel = triton_chain._chain_kernel
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_of", lambda x: contextlib.nullcontext())

    def compile_all(capability, dtype, layout, *, size=14, groups=1, tf32=False, **options):
        kernels = []
        start = type(kernel).run

        def run(self, *arguments, warmup, **others):
            given = [MockTensor(a.dtype) if isinstance(a, torch.Tensor) else a for a in arguments]
            kernels.append(start(self, *given, warmup=True, **others))

        kernel.device_caches.clear()
        try:
            with monkeypatch.context() as patch, FakeTensorMode():
                patch.setattr(driver, "_active", Driver(capability))
                patch.setattr(type(kernel), "run", run)
                width, branches = layout.width, len(layout.convolved)
                x = torch.empty(256, layout.scale * width, size, size, dtype=dtype, device="cuda")
                weights = torch.empty(branches, width, width // groups, 3, 3, dtype=dtype, device="cuda")
                biases = torch.empty(branches, width, dtype=dtype, device="cuda")
                given = ChainOptions(groups=groups, **options)
                triton_chain.folded_chain_triton(x, weights, biases, layout, given, tf32=tf32)
        finally:
            kernel.device_caches.clear()
        return kernels

    return compile_all


def spilled(kernel, folder):
    """Bytes of registers that do not fit and go through memory."""
    import triton

    binary = folder / "kernel.cubin"
    binary.write_bytes(kernel.asm["cubin"])
    program = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    told = subprocess.run([program, "-res-usage", binary], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", told)[1])


STAGES = [(26, 4, 56), (52, 4, 28), (104, 4, 14), (208, 4, 7), (14, 8, 56)]
QUICK = [(AMPERE, 104), (HOPPER, 26)]


@pytest.mark.parametrize(
    ("capability", "width", "scale", "size"),
    [
        pytest.param(capability, *stage, marks=() if (capability, stage[0]) in QUICK else pytest.mark.slow)
        for stage in STAGES
        for capability in (AMPERE, HOPPER)
    ],
)
def test_every_stage_of_a_network_fits_and_uses_matrix_units(compiled, tmp_path, capability, width, scale, size):
    kernels = compiled(capability, torch.bfloat16, Layout(width, scale), size=size)
    assert len(kernels) == scale - 1
    for kernel in (kernels[0], kernels[-1]):
        assert MATRIX_UNIT[capability] in kernel.asm["ptx"]
        assert "cp.async" in kernel.asm["ptx"], "loads do not run ahead"
        assert kernel.metadata.shared <= SHARED_MEMORY
        assert spilled(kernel, tmp_path) == 0
    # The others are the same program with other numbers.
    assert len({kernel.hash for kernel in kernels}) == 2


@pytest.mark.parametrize("capability", [AMPERE, pytest.param(HOPPER, marks=pytest.mark.slow)])
def test_the_blocks_of_a_stage_are_one_program(compiled, tmp_path, capability):
    layout = Layout(52, 4, hierarchical=False)
    (kernel,) = compiled(capability, torch.float16, layout, stride=2, size=28, pool_counts_padding=False)
    assert kernel.metadata.shared <= SHARED_MEMORY
    assert spilled(kernel, tmp_path) == 0


@pytest.mark.parametrize(
    ("capability", "width"),
    [
        (HOPPER, 26),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((AMPERE, 26), (AMPERE, 104), (HOPPER, 104))),
    ],
)
def test_fp32_is_rounded_to_tf32_only_on_request(compiled, tmp_path, capability, width):
    exact, fast = (compiled(capability, torch.float32, Layout(width, 2), tf32=tf32)[0] for tf32 in (False, True))
    assert "mma" not in exact.asm["ptx"]
    assert "tf32" in fast.asm["ptx"]
    for kernel in (exact, fast):
        assert kernel.metadata.shared <= SHARED_MEMORY
        assert spilled(kernel, tmp_path) == 0


def test_groups_and_odd_widths_compile(compiled):
    assert compiled(HOPPER, torch.bfloat16, Layout(24, 2, split_order="arxiv-v1"), groups=4)
    assert compiled(HOPPER, torch.float16, Layout(7, 2), dilation=2)
