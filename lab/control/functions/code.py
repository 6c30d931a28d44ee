"""Deployment packages: a zip's bytes into a folder of code, refusing whatever would reach out of that folder.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (50 MB zipped, 250 MB unzipped). The bytes that
come out are counted, not those that the zip says come out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab.control.aws_error import AwsError

ZIPPED_BYTES_MAX = 50 * 1024 * 1024
UNZIPPED_BYTES_MAX = 262_144_000
ENTRIES_MAX = 100_000
_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Code:
    """Unpacked code: its folder (named by its hash), the hash as Lambda tells it (base64), the zip's size in bytes."""

    folder: str
    sha256: str
    size: int


def sha256_of(data: bytes) -> str:
    """The hash of a package as Lambda tells it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def package_path(folder: Path, digest: str) -> Path:
    """Where the zip itself is kept, beside the folder that it was unpacked to."""
    return folder / f"{digest}.zip"


def unpack(data: bytes, folder: Path) -> Code:
    """Unpack a zip to a subfolder of `folder` named by its hash and keep the zip beside it. Raises AwsError.

    The subfolder appears whole or not at all; a package that is there already is used as it is.
    """
    if len(data) > ZIPPED_BYTES_MAX:
        raise AwsError(
            "RequestEntityTooLargeException",
            f"the deployment package has {len(data)} bytes, more than {ZIPPED_BYTES_MAX}",
            status=413,
        )
    digest = hashlib.sha256(data).hexdigest()
    target = folder / digest
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder))
        try:
            _extract(data, scratch)
            scratch.chmod(0o755)
            package_path(folder, digest).write_bytes(data)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Code(str(target), sha256_of(data), len(data))


def _refuse(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message)


def _extract(data: bytes, root: Path) -> None:
    links: list[tuple[Path, str]] = []
    left = UNZIPPED_BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES_MAX:
                raise _refuse(f"the deployment package has {len(entries)} entries, more than {ENTRIES_MAX}")
            for entry in entries:
                path = root / _safe_name(entry.filename)
                mode = entry.external_attr >> 16
                if entry.is_dir() or stat.S_ISDIR(mode):
                    path.mkdir(parents=True, exist_ok=True)
                elif stat.S_ISLNK(mode):
                    links.append((path, archive.read(entry).decode("utf-8", "surrogateescape")))
                elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    left = _extract_file(archive, entry, path, left)
                else:
                    raise _refuse(f"the deployment package's entry {entry.filename!r} is neither file, folder nor link")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise _refuse(
            f"Could not unzip uploaded file. Please check your file, then try to upload again. ({error})"
        ) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _refuse(f"the deployment package has one name as a file and as a folder: {error.filename}") from error
    # Links come last, so that no entry was written through one, and are then followed for real.
    for path, target in links:
        _make_link(root, path, target)
    for path, target in links:
        if not _within(root, path):
            raise _refuse(f"the deployment package's link {_shown(root, path)!r} leads out of it, to {target!r}")


def _extract_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, left: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("wb") as target:
        while chunk := source.read(_COPY_BYTES):
            left -= len(chunk)
            if left < 0:
                raise _refuse(f"Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes")
            target.write(chunk)
    executable = (entry.external_attr >> 16) & 0o111
    path.chmod(0o755 if executable else 0o644)
    return left


def _safe_name(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in parts[0]:
        raise _refuse(f"the deployment package has the entry {name!r}, which does not lie inside it")
    return str(PurePosixPath(*parts))


def _make_link(root: Path, path: Path, target: str) -> None:
    if not target or target.startswith("/") or "\0" in target:
        raise _refuse(f"the deployment package's link {_shown(root, path)!r} leads out of it, to {target!r}")
    if not _within(root, path.parent):
        raise _refuse(f"the deployment package's link {_shown(root, path)!r} lies behind another link that leads out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    except OSError as error:
        raise _refuse(
            f"the deployment package's link {_shown(root, path)!r} cannot be made: {error.strerror}"
        ) from error


def _within(root: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def _shown(root: Path, path: Path) -> str:
    return os.path.relpath(path, root)
