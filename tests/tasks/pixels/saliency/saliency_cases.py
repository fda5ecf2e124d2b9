"""Saliency maps and masks on which our measures are compared with PySODMetrics; NumPy alone draws them."""

import hashlib

import numpy as np


def blob(size, centre, radius):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def noisy(random, mask, noise):
    """A map that is somewhat like a mask."""
    values = 255 * np.clip(0.15 + 0.6 * mask + random.normal(0, noise, mask.shape), 0, 1)
    return values.round().astype(np.uint8)


def cases():
    """Name, saliency map (uint8) and mask (bool) of each."""
    random = np.random.default_rng(5)
    size = (33, 57)
    disc = blob(size, (15, 30), 9)
    nothing, everything = np.zeros(size, bool), np.ones(size, bool)
    one = nothing.copy()
    one[20, 11] = True
    rough = random.integers(0, 256, size).astype(np.uint8)
    flat = np.full(size, 100, np.uint8)
    yield "noise on a disc", rough, disc
    yield "noise on noise", rough, random.random(size) < 0.4
    yield "good", noisy(random, disc, 0.1), disc
    yield "poor", noisy(random, blob(size, (18, 40), 12), 0.3), disc
    yield "perfect", disc.astype(np.uint8) * 255, disc
    yield "inverse", (~disc).astype(np.uint8) * 255, disc
    yield "narrow range", (100 + rough // 16).astype(np.uint8), disc
    for name, mask in (("empty", nothing), ("full", everything), ("single pixel", one)):
        yield f"{name} mask, noise", rough, mask
        yield f"{name} mask, found", mask.astype(np.uint8) * 255, mask
        yield f"{name} mask, inverse", (~mask).astype(np.uint8) * 255, mask
    for name, level in (("black", 0), ("grey", 100), ("light", 200), ("white", 255)):
        yield f"{name} on a disc", np.full(size, level, np.uint8), disc
        yield f"{name} on nothing", np.full(size, level, np.uint8), nothing
        yield f"{name} on everything", np.full(size, level, np.uint8), everything
    yield "two discs", noisy(random, disc | blob(size, (5, 5), 4), 0.2), disc | blob(size, (28, 50), 3)
    yield "all but a pixel", rough, ~one
    yield "half at the threshold", np.where(np.arange(57) % 2, flat, 0).astype(np.uint8), disc
    for number in range(12):
        height, width = (int(side) for side in random.integers(2, 70, 2))
        mask = blob((height, width), random.uniform(0.3, 0.7, 2) * (height, width), random.uniform(1, 0.4 * height + 1))
        yield f"random {number}", noisy(random, mask, random.uniform(0, 0.5)), mask


def digest():
    """Tells whether the cases are those that the file of values was made with."""
    joined = hashlib.sha256()
    for name, saliency, mask in cases():
        joined.update(name.encode() + repr(mask.shape).encode() + saliency.tobytes() + mask.tobytes())
    return joined.hexdigest()
