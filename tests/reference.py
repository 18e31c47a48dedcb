"""The script that makes docs/reference.md, as a module: it knows the parser of each command."""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).parent.parent / "docs" / "make_reference.py"


@functools.cache
def make_reference() -> ModuleType:
    """Load the script, which lies in no package."""
    spec = importlib.util.spec_from_file_location("make_reference", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
