"""`lab deploy` for a lab in containers: the host's handlers carried into the container that deploys, and its answer.

The container `deployment` takes the folder `incoming` when its file `request`, the last of the archive, is there.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.compose.host import ComposeProject, read_file
from lab.compose.layout import RUN_DIR
from lab.errors import EnvironmentFailure, LabError, UserError

ANSWER_LIMIT_S = 240.0
POLL_S = 0.3
OWNER = 1000
"""The user `lab` of the image."""


def redeploy(project: ComposeProject, handlers: Path, settings: Path | None) -> Iterator[dict[str, Any]]:
    """Have the container deploy a folder of handlers, with a lab.toml; its events, the last is `deployed`.

    Raises UserError for handlers that do not work, EnvironmentFailure if the container does not answer.
    """
    container = project.container("deployment")
    if container.status != "running":
        raise EnvironmentFailure(
            f"the container of deployment is {container.status}: `docker compose up --wait` starts it"
        )
    request = uuid.uuid4().hex
    container.put_archive(RUN_DIR, _archive(handlers, settings, request))
    shown = 0
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while time.monotonic() < deadline:
        data = read_file(container, f"{RUN_DIR}/answers") or b""
        events = [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        if events and events[0]["request"] == request:
            for event in events[1:][shown:]:
                shown += 1
                if event["event"] == "failed":
                    raise UserError(event["message"]) if event["status"] == 2 else LabError(event["message"])
                yield event
                if event["event"] == "deployed":
                    return
        time.sleep(POLL_S)
    raise EnvironmentFailure(
        f"the container of deployment did not answer within {ANSWER_LIMIT_S:g} s; `lab logs deployment` may say why"
    )


def _archive(handlers: Path, settings: Path | None, request: str) -> bytes:
    """The handlers without what Python leaves behind, the settings, and last the request's name."""

    def own(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = OWNER
        member.uname = member.gname = ""
        return member

    def source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if "__pycache__" in Path(member.name).parts else own(member)

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("incoming")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(own(folder))
        archive.add(handlers, "incoming/handlers", filter=source)
        if settings is not None:
            archive.add(settings, "incoming/lab.toml", filter=own)
        member = tarfile.TarInfo("incoming/request")
        member.size = len(request)
        archive.addfile(own(member), io.BytesIO(request.encode()))
    return buffer.getvalue()
