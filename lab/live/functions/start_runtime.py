"""What an execution environment's process runs first: `python -S -s -P start_runtime.py HANDLER PARENT_PID`.

It ties the process's life to the lab's, puts the function's code before the runtime's packages, and hands over to
AWS's runtime interface client. It imports nothing of the lab: the handler's interpreter has never heard of it.
"""

import ctypes
import os
import resource
import signal
import site
import sys

PR_SET_PDEATHSIG = 1
OPEN_FILES = 1_024
"""Lambda's quota of file descriptors: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""


def main() -> None:
    handler, parent = sys.argv[1], int(sys.argv[2])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the lab died before the line above could take effect
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if allowed == resource.RLIM_INFINITY else min(OPEN_FILES, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    # `-S` leaves out the lab's own packages, and with them the builtins that a handler may use.
    site.setquit()
    site.sethelper()
    runtime_dir = os.environ["LAMBDA_RUNTIME_DIR"]
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    if runtime_dir not in sys.path:  # the function has a PYTHONPATH of its own
        sys.path.append(runtime_dir)
    sys.argv = ["/var/runtime/bootstrap", handler]
    from awslambdaric.__main__ import main as run_client  # type: ignore[import-untyped]

    run_client(sys.argv)


main()
