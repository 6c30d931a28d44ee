"""A function's folder as a deployment package: a zip that is the same, byte for byte, whenever the files are.

A `requirements.txt` in the folder is installed into the package with pip, for Linux and the running Python; the result
is kept in a cache by the file's content. Refused: links that lead out of the folder, files that are neither files nor
folders, more than 250 MB unpacked. https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lab.errors import EnvironmentFailure, UserError

UNPACKED_BYTES_MAX = 250 * 1024 * 1024
LEFT_OUT = {"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules"}
PIP_LIMIT_S = 600


def make_package(folder: Path, cache: Path) -> bytes:
    """The zip of a function's folder. Raises UserError, EnvironmentFailure."""
    folder = folder.resolve()
    files = dict(_files(folder, folder))
    if not any(name.endswith(".py") for name in files):
        raise UserError(f"{folder}: no Python file in this handler's folder")
    installed = requirements_folder(folder, cache)
    if installed is not None:
        files = {**dict(_files(installed, installed)), **files}  # the folder's own files win
    size = sum(path.stat().st_size for path in files.values())
    if size > UNPACKED_BYTES_MAX:
        raise UserError(f"{folder}: {size / 1e6:.0f} MB unpacked, and Lambda takes at most 250 MB")
    return _zip(files)


def requirements_folder(folder: Path, cache: Path) -> Path | None:
    """Where what a handler's requirements.txt asks for is installed; None if it asks for nothing. Raises UserError."""
    requirements = folder / "requirements.txt"
    if not requirements.is_file() or not requirements.read_text().strip():
        return None
    return _install(requirements, cache)


def needs_installing(folder: Path, cache: Path) -> bool:
    """Whether making the package means to run pip, which takes a while."""
    requirements = folder / "requirements.txt"
    return (
        requirements.is_file() and bool(requirements.read_text().strip()) and not _target(requirements, cache).is_dir()
    )


def _files(root: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder as (name in the zip, path)."""
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT:
            continue
        target = path.resolve()
        if not target.is_relative_to(root):
            raise UserError(f"{path}: leads out of the handler's folder, to {target}; copy it into the folder instead")
        if path.is_dir():
            if path.is_symlink():
                raise UserError(f"{path}: a link to a folder cannot be packaged; copy the folder instead")
            yield from _files(root, path)
        elif path.is_file():
            yield path.relative_to(root).as_posix(), path
        else:
            raise UserError(f"{path}: neither a file nor a folder, it cannot be packaged")


def _zip(files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (0o100755 if os.access(files[name], os.X_OK) else 0o100644) << 16
            try:
                package.writestr(entry, files[name].read_bytes())
            except OSError as error:
                raise UserError(f"{files[name]}: cannot be read ({error.strerror})") from error
    return buffer.getvalue()


def _target(requirements: Path, cache: Path) -> Path:
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:32]
    return cache / "requirements" / digest


def _install(requirements: Path, cache: Path) -> Path:
    """The folder with what a requirements.txt asks for, installed once for each content of the file."""
    target = _target(requirements, cache)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".installing-", dir=target.parent))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    (scratch / "tmp").mkdir()
    (scratch / "packages").mkdir()
    try:
        done = subprocess.run(
            [*command, "--no-compile", "--target", str(scratch / "packages"), "--requirement", str(requirements)],
            capture_output=True,
            text=True,
            timeout=PIP_LIMIT_S,
            check=False,
            env={**os.environ, "TMPDIR": str(scratch / "tmp")},
        )
        if done.returncode != 0:
            last = "\n".join(done.stderr.strip().splitlines()[-6:])
            raise UserError(f"{requirements}: pip cannot install it:\n{last}")
        (scratch / "packages").rename(target)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"{requirements}: pip took more than {PIP_LIMIT_S} s") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
