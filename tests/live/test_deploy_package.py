"""Deployment packages: the same files make the same zip, and what must not be in one is refused."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from lab.deploy import package
from lab.deploy.package import make_package
from lab.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "orders"
    (made / "lib").mkdir(parents=True)
    (made / "app.py").write_text("def handler(event, context): return 1\n")
    (made / "lib" / "more.py").write_text("X = 1\n")
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    return made


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return package.namelist()


def test_the_same_files_make_the_same_zip_whenever_they_were_written(folder: Path, tmp_path: Path) -> None:
    first = make_package(folder, tmp_path)
    os.utime(folder / "app.py", (1, 1))
    assert make_package(folder, tmp_path) == first
    assert names(first) == ["app.py", "lib/more.py"]


def test_an_edit_changes_the_zip(folder: Path, tmp_path: Path) -> None:
    first = make_package(folder, tmp_path)
    (folder / "app.py").write_text("def handler(event, context): return 2\n")
    assert make_package(folder, tmp_path) != first


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "settings.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"settings\.txt: leads out of the handler's folder"):
        make_package(folder, tmp_path)


def test_a_link_within_the_folder_is_packaged_as_the_file_it_means(folder: Path, tmp_path: Path) -> None:
    (folder / "alias.py").symlink_to("app.py")
    with zipfile.ZipFile(io.BytesIO(make_package(folder, tmp_path))) as made:
        assert made.read("alias.py") == made.read("app.py")


def test_what_is_neither_file_nor_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        make_package(folder, tmp_path)


def test_more_than_250_mb_unpacked_is_refused(folder: Path, tmp_path: Path) -> None:
    with (folder / "big.bin").open("wb") as big:
        big.truncate(package.UNPACKED_BYTES_MAX + 1)
    with pytest.raises(UserError, match="262 MB unpacked, and Lambda takes at most 250 MB"):
        make_package(folder, tmp_path)


def test_a_file_that_cannot_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (folder / "app.py").chmod(0)
    with pytest.raises(UserError, match=r"app\.py: cannot be read \(Permission denied\)"):
        make_package(folder, tmp_path)


def test_a_folder_without_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no Python file"):
        make_package(tmp_path / "empty", tmp_path)


def test_requirements_are_installed_into_the_package_once(folder: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path)
    (folder / "requirements.txt").write_text(f"--no-index\n{wheel}\n")
    first = make_package(folder, tmp_path / "cache")
    assert "tiny/__init__.py" in names(first)
    wheel.unlink()  # the second time nothing is installed
    assert make_package(folder, tmp_path / "cache") == first


def test_requirements_that_cannot_be_installed_show_what_pip_says(folder: Path, tmp_path: Path) -> None:
    (folder / "requirements.txt").write_text("--no-index\nno-such-package-anywhere==1\n")
    with pytest.raises(UserError, match=r"requirements\.txt: pip cannot install it:\n(.|\n)*no-such-package-anywhere"):
        make_package(folder, tmp_path / "cache")


def _wheel(folder: Path) -> Path:
    """A wheel of one module, made by hand so that no build tool is needed."""
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny/__init__.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return path
