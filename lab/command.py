"""`lab`, the console script: Ctrl-C while the command line is still being imported ends it without a traceback."""

from __future__ import annotations

import signal


def main() -> int:
    """Import the command line and run it; the exit status."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell's background job ignores it
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lab.cli import main as run

    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
