"""The published rnnr 0.4.0, beside the one under test: the judge of what must not change."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from helpers.paths import ROOT

VERSION = "0.4.0"
_CACHE = ROOT / ".pytest_cache" / f"rnnr-{VERSION}"


def published(cache: Path = _CACHE) -> ModuleType:
    """Return the published package as a module that shares nothing with the one under test.

    It is installed into a folder of its own, once; its modules leave ``sys.modules`` again.
    """
    if not (cache / "rnnr").exists():
        install = ["pip", "install", "--quiet", "--no-deps", "--target", str(cache)]
        command = [sys.executable, "-m", *install, f"rnnr=={VERSION}"]
        if subprocess.run(command).returncode:
            raise RuntimeError(
                f"the tests compare with the published rnnr {VERSION}, which pip cannot install "
                f"into {cache}: expected pip and a package index, see above; or put it there"
            )
    under_test = _take_out()
    sys.path.insert(0, str(cache))
    try:
        module = importlib.import_module("rnnr")
        for part in ("attachments", "callbacks"):
            importlib.import_module(f"rnnr.{part}")
        assert module.__version__ == VERSION
        return module
    finally:
        sys.path.remove(str(cache))
        _take_out()
        sys.modules.update(under_test)


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == "rnnr" or name.startswith("rnnr.")]
    return {name: sys.modules.pop(name) for name in names}
