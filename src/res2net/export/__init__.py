"""Export: networks as files for other runtimes, each compared with the original network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from res2net.export.artefact import Artefact, read_artefact
    from res2net.export.exporter import EXPORTERS, Exporter
    from res2net.export.make import Exported, export_task
    from res2net.export.runtimes import PRECISIONS, RUNTIMES, Runtime, load_runtime
    from res2net.export.settings import FORMATS, ExportSettings
    from res2net.export.verify import Agreement, compare_outputs
    from res2net.export.write import export_network

__all__ = [
    "EXPORTERS",
    "FORMATS",
    "PRECISIONS",
    "RUNTIMES",
    "Agreement",
    "Artefact",
    "ExportSettings",
    "Exported",
    "Exporter",
    "Runtime",
    "compare_outputs",
    "export_network",
    "export_task",
    "load_runtime",
    "read_artefact",
]

# Imported at the first use: the settings need no torch.
_MODULES = {
    **dict.fromkeys(("Artefact", "read_artefact"), "artefact"),
    **dict.fromkeys(("EXPORTERS", "Exporter"), "exporter"),
    **dict.fromkeys(("Exported", "export_task"), "make"),
    **dict.fromkeys(("PRECISIONS", "RUNTIMES", "Runtime", "load_runtime"), "runtimes"),
    **dict.fromkeys(("FORMATS", "ExportSettings"), "settings"),
    **dict.fromkeys(("Agreement", "compare_outputs"), "verify"),
    "export_network": "write",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
