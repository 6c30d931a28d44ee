"""The folder that stands for Lambda's /var/runtime: links to boto3, awslambdaric and what they need, nothing else.

Handlers so see what they would see on AWS, and not the packages that the lab itself is made of.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from lab.errors import EnvironmentFailure

ROOTS = ("boto3", "awslambdaric")


def runtime_folder(parent: Path) -> Path:
    """The folder below `parent`, made if it is not there yet for the packages now installed.

    Raises EnvironmentFailure if one of the packages is not installed.
    """
    site_packages = Path(sysconfig.get_paths()["purelib"])
    installed = f"{sys.version}|{site_packages}|{site_packages.stat().st_mtime_ns}"
    folder = parent / f"python-{hashlib.sha256(installed.encode()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".python-", dir=parent))
    try:
        for entry in _entries():
            (unfinished / entry.name).symlink_to(entry)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _entries() -> list[Path]:
    """The files and folders directly in site-packages that belong to the packages and to what they require."""
    import importlib.metadata as metadata  # 30 ms, and needed once per installation

    entries: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise EnvironmentFailure(
                f"the Python package {name}, which Lambda handlers need, is not installed beside the lab "
                f"({sys.prefix}): run `make install`"
            ) from None
        for file in distribution.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__", os.sep) and top not in entries:
                entries[top] = Path(str(distribution.locate_file(top)))
        for requirement in distribution.requires or []:
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            if match is not None and "extra ==" not in requirement:
                waiting.append(match[0])
    return list(entries.values())
