"""`python -m lab.cli`: the same as `lab`."""

from lab.cli import main

raise SystemExit(main())
