"""An adapter without its library says how to get it."""

import runpy
import sys
from pathlib import Path

import pytest

from res2net import adapters
from res2net.adapters.detectron2 import build_multi_scale_backbone
from res2net.errors import InputError
from res2net.optional import MissingLibraryError, needs

FOLDER = Path(adapters.__file__).parent


@pytest.mark.parametrize(
    ("adapter", "library", "command"),
    [
        ("timm", "timm", r"pip install 'res2net\[adapters\]'"),
        ("smp", "segmentation_models_pytorch", r"pip install 'res2net\[adapters\]'"),
        ("transformers", "transformers", r"pip install 'res2net\[adapters\]'"),
        ("torchvision", "torchvision", "pip install torchvision"),
    ],
)
def test_an_import_without_the_library(adapter, library, command, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    message = rf"^This adapter needs the package {library}, which is not installed: run {command}\.$"
    with pytest.raises(MissingLibraryError, match=message) as raised:
        runpy.run_path(str(FOLDER / f"{adapter}.py"))
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value, InputError)


def test_a_call_without_the_library():
    with pytest.raises(
        MissingLibraryError, match=r"needs the package detectron2, .*: run pip install 'git\+https://github\.com/"
    ):
        build_multi_scale_backbone(None, None)


def test_another_missing_module_is_no_matter_of_the_adapter():
    with (
        pytest.raises(ModuleNotFoundError, match="No module named 'nowhere'"),
        needs("This adapter", "timm", extra="adapters"),
    ):
        import nowhere  # noqa: F401
