"""Run the outage drill and draw what it prints as docs/region-outage.svg, the picture in the README.

.venv/bin/python docs/draw_region_outage.py
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 106
PICTURE = Path(__file__).with_name("region-outage.svg")
COLOURS = (
    (r"\+\d.*(fault|failed request).*", "bold red"),
    (r"\+\d.*(detected|another region).*", "yellow"),
    (r"\+\d.*(first success|healed|check healthy|the region again|converged).*", "green"),
    (r"^  ok ", "green"),
    (r"^place .*", "bold"),
    (r"^Recovery (time|point)", "bold"),
    (r"^Verdict: pass", "bold green"),
    (r"^\$ .*", "bold"),
)


def main() -> int:
    """Draw it; the exit status is the drill's."""
    lab = Path(sys.executable).with_name("lab")
    command = [lab, "drill", "region_outage", "--speed", "30"]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": str(WIDTH), "HOME": "/"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        return done.returncode
    text = Text("$ lab drill region_outage --speed 30\n\n" + done.stdout.strip())
    for pattern, style in COLOURS:
        text.highlight_regex(rf"(?m){pattern}", style)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(text)
    drawn = console.export_svg(title="us-east-1 dies; every place is served by us-west-2")
    # The fonts of the reader's own machine do: a picture in a README fetches nothing.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\n?", "", drawn, flags=re.DOTALL), encoding="utf-8")
    print(done.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
