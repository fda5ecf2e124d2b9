"""Surgery on networks: conversion of any network to Res2 convolutions, and an exact rewrite for inference."""

from res2net.surgery.convert import convert
from res2net.surgery.optimize import Kernels, Target, optimize
from res2net.surgery.report import Conversion, Cost, Kept, Reason, Replaced

__all__ = ["Conversion", "Cost", "Kept", "Kernels", "Reason", "Replaced", "Target", "convert", "optimize"]
