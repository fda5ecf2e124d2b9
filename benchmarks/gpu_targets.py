"""What the results of `gpu.py` are compared with: the goals, and the limits of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FLOP = {"resnet50": 8.18e9, "res2net50_26w_4s": 8.51e9}
"""Of an image of 224 px: two for each multiplication of convolutions and linear layers."""
LEAST_BYTES = 26e6
"""Of an image of 224 px in bf16, when each block reads its input once and writes its output once."""

Result = Mapping[str, Any]


def best(results: Sequence[Result], groups: str, **like: str) -> float | None:
    """Most images per second among the cases of groups that are alike; None where none was timed."""
    found = [
        result["images_per_s"]
        for result in results
        if str(result["group"]).endswith(groups) and "images_per_s" in result
        if all(result[key] == value for key, value in like.items())
    ]
    return max(found, default=None)


def target_rows(results: Sequence[Result]) -> list[tuple[str, float, float | None, str]]:
    """For each goal: what, the ratio wanted, the ratio reached, and whether that is enough."""
    ours = best(results, "inference", library="ours", model="res2net50_26w_4s")
    deeper = best(results, "inference", library="ours", model="res2net50_14w_8s")
    pairs = [
        ("inference, ours / timm's compiled resnet50", 1.0, ours, theirs(results, "resnet50")),
        ("inference, ours / timm's compiled res2net50_26w_4s", 1.35, ours, theirs(results, "res2net50_26w_4s")),
        ("inference, our res2net50_14w_8s / our res2net50_26w_4s", 0.9, deeper, ours),
    ]
    for how in ("eager", "compiled"):
        trained = best(results, "training", library="ours", how=how)
        plain = best(results, "training", library="timm", model="resnet50", how=how)
        pairs.append((f"training {how}, ours / timm's resnet50", 0.95, trained, plain))
    rows = []
    for what, goal, one, other in pairs:
        ratio = one / other if one and other else None
        rows.append((what, goal, ratio, "not measured" if ratio is None else "yes" if ratio >= goal else "NO"))
    return rows


def theirs(results: Sequence[Result], model: str) -> float | None:
    """Images per second of timm's compiled network."""
    return best(results, "inference", library="timm", model=model, how="compiled")


def limit_rows(results: Sequence[Result], limits: Mapping[str, float]) -> list[tuple]:
    """For each network at the large batch: the rates it reaches, and which part of the machine's these are."""
    rows = []
    for result in results:
        counted = str(result["group"]).endswith("inference") and result["model"] in FLOP
        if limits and counted and "images_per_s" in result:
            flop, moved = (result["images_per_s"] * each for each in (FLOP[result["model"]], LEAST_BYTES))
            shares = flop / limits["flop_per_s"], moved / limits["bytes_per_s"]
            rows.append((result["case"], flop / 1e12, shares[0], moved / 1e9, shares[1]))
    return rows
