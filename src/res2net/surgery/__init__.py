"""Networks changed by their layers: Res2 convolutions put into any of them, and the exact rewrite for inference."""

from res2net.surgery.convert import convert
from res2net.surgery.kernels import KERNELS
from res2net.surgery.optimize import TARGETS, optimize
from res2net.surgery.report import Conversion, Cost, Kept, Reason, Replaced

__all__ = ["KERNELS", "TARGETS", "Conversion", "Cost", "Kept", "Reason", "Replaced", "convert", "optimize"]
