"""Export: networks as files for other runtimes, each compared with the original network."""

from res2net.export.artefact import FORMATS, Artefact, read_artefact
from res2net.export.detections import DetectionAgreement, compare_detections
from res2net.export.runtimes import PRECISIONS, RUNTIMES, Runtime, load_runtime
from res2net.export.verify import Agreement, compare_outputs
from res2net.export.write import export_network

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "RUNTIMES",
    "Agreement",
    "Artefact",
    "DetectionAgreement",
    "Runtime",
    "compare_detections",
    "compare_outputs",
    "export_network",
    "load_runtime",
    "read_artefact",
]
