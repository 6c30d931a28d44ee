"""Whether a handler imports: tried in a process of its own, with a function's environment, before anyone calls it.

What comes back is the handler's own traceback: no frame of the lab's or of the import machinery is in it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.core.deployment import FunctionPlan
from lab.deploy.package import requirements_folder
from lab.errors import UserError

IMPORT_LIMIT_S = 30.0
"""On AWS a start may take 10 s (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html); a busy
machine takes longer for what would take half a second there."""

_PROGRAM = """
import importlib, sys, traceback
folders, handler = sys.argv[1:-1], sys.argv[-1]
sys.path[:0] = folders
module, _, name = handler.rpartition(".")
try:
    found = importlib.import_module(module.replace("/", "."))
except BaseException as error:
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(tuple(folders)):
        trace = trace.tb_next
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        sys.exit(f"there is no module {module}: the handler is {handler!r}, and {folders[0]} has no {module}.py")
    traceback.print_exception(type(error), error.with_traceback(trace), trace)
    sys.exit(1)
if not callable(getattr(found, name, None)):
    sys.exit(f"{found.__file__} has no function {name!r}: the handler is {handler!r}")
"""


def check_import(plan: FunctionPlan, region: str, endpoint_url: str, cache: Path) -> None:
    """Import the handler once. Raises UserError with the handler's traceback."""
    folders = [plan.folder]
    installed = requirements_folder(Path(plan.folder), cache)
    if installed is not None:
        folders.append(str(installed))
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_LAMBDA_FUNCTION_NAME": plan.name,
        "LAMBDA_TASK_ROOT": plan.folder,
        **plan.environment,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _PROGRAM, *folders, plan.handler],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=IMPORT_LIMIT_S,
            env=environment,
            cwd=plan.folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"function {plan.name}: the handler takes more than {IMPORT_LIMIT_S:g} s to import") from None
    if done.returncode != 0:
        raise UserError(f"function {plan.name}: the handler does not import\n{done.stderr.rstrip()}")
