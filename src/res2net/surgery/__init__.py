"""Networks changed by their layers: Res2 convolutions put into any of them."""

from res2net.surgery.convert import convert
from res2net.surgery.report import Conversion, Cost, Kept, Reason, Replaced

__all__ = ["Conversion", "Cost", "Kept", "Reason", "Replaced", "convert"]
