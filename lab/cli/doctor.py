"""`lab doctor`: what this machine offers, and what is in the way."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from lab.cli.preparing import check_addresses, check_open_files, check_temporary_folder
from lab.cli.project import Project
from lab.config.settings import load_settings, make_plan, make_topology
from lab.doctor import examine
from lab.errors import LabError
from lab.live.open_files import open_files_allowed
from lab.supervisor.instance import read_instance, running_instance


@click.command(short_help="check this machine")
@click.option("--containers", is_flag=True, help="exit with 1 if the lab cannot run in containers here")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def doctor(project: Project, containers: bool, as_json: bool) -> int:
    """Check what the lab needs of this machine and of this folder; says what to do about each problem."""
    findings = [_python(), _loopback(), _open_files(), _temporary(), _settings(project), _running(project), *_tools()]
    ok = all(finding["ok"] for finding in findings)
    # Containers are one of two ways to run the lab: what they lack is told, and is a problem of theirs alone.
    contained = examine(project.folder, os.environ)
    if containers:
        ok = all(finding.ok is not False for finding in contained)
    if as_json:
        print(json.dumps({"ok": ok, "findings": findings, "containers": [asdict(f) for f in contained]}, indent=2))
    else:
        for finding in findings:
            print(f"{'ok     ' if finding['ok'] else 'PROBLEM'}  {finding['what']}: {finding['found']}")
        print("For the lab in containers (docker compose up):")
        words = {True: "ok     ", False: "PROBLEM", None: "note   "}
        for found in contained:
            print(f"{words[found.ok]}  {found.what}: {found.found}")
    return 0 if ok else 1


def _finding(what: str, ok: bool, found: str) -> dict[str, object]:
    return {"what": what, "ok": ok, "found": found}


def _python() -> dict[str, object]:
    return _finding("Python", sys.version_info >= (3, 11), f"{sys.version.split()[0]} at {sys.executable}")


def _loopback() -> dict[str, object]:
    import socket

    try:
        with socket.socket() as sock:
            sock.bind(("127.10.0.1", 0))
    except OSError as error:
        return _finding("loopback range", False, f"127.10.0.1 cannot be used ({error}); run the lab in Docker")
    return _finding("loopback range", True, "127.0.0.0/8")


def _open_files() -> dict[str, object]:
    try:
        check_open_files()
    except LabError as error:
        return _finding("open files", False, str(error))
    allowed = open_files_allowed()
    return _finding("open files", True, "as many as wanted" if allowed is None else f"up to {allowed} a process")


def _temporary() -> dict[str, object]:
    folder = tempfile.gettempdir()
    try:
        check_temporary_folder(Path(folder))
    except LabError as error:
        return _finding("temporary folder", False, str(error))
    return _finding("temporary folder", os.access(folder, os.W_OK), folder)


def _settings(project: Project) -> dict[str, object]:
    try:
        settings = load_settings(project.folder)
        make_plan(settings)
        if running_instance(project.state_dir) is None:
            check_addresses(make_topology(settings, run_dir=""))
    except LabError as error:
        return _finding("settings", False, str(error))
    return _finding("settings", True, f"{', '.join(settings.regions)} in block {settings.block}.0.0/16")


def _running(project: Project) -> dict[str, object]:
    instance = running_instance(project.state_dir)
    if instance is not None:
        return _finding("lab", True, f"runs, pid {instance.pid}")
    dead = read_instance(project.state_dir)
    return _finding("lab", True, f"died (pid {dead.pid}); `lab up` clears that away" if dead else "does not run")


def _tools() -> list[dict[str, object]]:
    """Tools that are not needed, but good to have."""
    return [
        _finding(tool, True, shutil.which(tool) or "not installed (not needed)")
        for tool in ("dig", "aws", "curl", "docker")
    ]
