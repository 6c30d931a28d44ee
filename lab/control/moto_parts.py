"""Loads the few modules of moto that parse requests and write answers, without the rest of it.

`import moto.core.parse` runs `moto/core/__init__.py` first, which imports boto3, its transfer manager, responses and
more: 12 MB and 0.15 s that control does not need. So the two packages are entered as modules that have not run yet;
`complete()` runs them when a whole moto service is wanted after all (IAM, STS).
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from types import ModuleType

_PACKAGES = ("moto", "moto.core")
loading = threading.RLock()
"""Held by whoever imports from moto: threads that do it at once could see modules that have not run to their end."""
_deferred: list[ModuleType] = []


def prepare() -> None:
    """Let `moto.core.model`, `.parse` and `.serialize` be imported alone. Does nothing if moto is imported already."""
    with loading:
        if "moto" in sys.modules:
            return
        for name in _PACKAGES:
            spec = importlib.util.find_spec(name)
            assert spec is not None, "moto is a dependency of the lab"
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
            _deferred.append(module)


def complete() -> None:
    """Run what `prepare` held back, so that any module of moto can be imported."""
    with loading:
        while _deferred:
            module = _deferred.pop(0)
            assert module.__spec__ is not None and module.__spec__.loader is not None
            module.__spec__.loader.exec_module(module)
