"""What wrk prints, in numbers."""

from __future__ import annotations

import re


def rate_per_s(out: str) -> float:
    """Requests per second. Raises ValueError for a run with errors or with other answers than 2xx and 3xx."""
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if found is None or "Non-2xx" in out or "Socket errors" in out:
        raise ValueError(out)
    return float(found[1])


def latency_ms(out: str, percentile: int) -> float:
    """A percentile of a run with `--latency`, in milliseconds."""
    found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s)\b", out)
    if found is None:
        raise ValueError(out)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
