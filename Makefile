# `make up` is all that a fresh machine needs: it makes .venv from requirements.lock and starts the lab.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
ARGS ?=

.PHONY: up install test check format bench soak lock images clean

up: $(INSTALLED)
	@exec $(BIN)/lab up $(ARGS)

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "The lab needs Python 3.11 or newer; python3 is $$(python3 --version 2>&1 || echo missing)." >&2; \
		echo "On Debian 12+, Ubuntu 24.04+ or WSL2 with these: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks the venv module. On Debian, Ubuntu or WSL2: sudo apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "Installing what requirements.lock names"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@$(BIN)/python -m compileall -q lab handlers
	@touch $@

test: $(INSTALLED)
	$(BIN)/pytest -m "not soak and not docker" tests scenarios $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All of them, whatever one says; fails at the end if a figure was missed. Some want peers: dnsperf, knot, pdns, haproxy.
BENCHMARKS := lab_up outage_drill http_path functions_direct front_dynamodb replication_figures dns_rates \
	route53_change alb_path accelerator_relay
SLOW_BENCHMARKS := dns_detection accelerator_failover

bench: $(INSTALLED)
	@failed=; for name in $(BENCHMARKS); do echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; done; \
		test -z "$$failed" || { echo "missed or failed:$$failed" >&2; exit 1; }

# What takes minutes: kill tests, fuzzing, then the benchmarks.
soak: $(INSTALLED)
	$(BIN)/pytest -m "soak and not docker" tests scenarios $(ARGS)
	$(MAKE) bench BENCHMARKS="$(BENCHMARKS) $(SLOW_BENCHMARKS)"

# Needs uv; writes versions and hashes of everything, for every platform, from pyproject.toml.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra containers --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements.lock

# For `docker compose up`; docs/compose.md says how to carry them into a room without internet.
images:
	docker compose build
	LAB_ENGINE=ministack docker compose build us-east-1

clean:
	@test ! -x $(BIN)/lab || $(BIN)/lab down --quiet
	rm -rf .venv .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
