# What people type. Every target works on a fresh clone with Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install run test check fmt lint types layers independent bench lock clean try try-image try-nginx try-systemd

help:
	@echo "make run          serve your .env; without one, a demo on a stand-in for Poe"
	@echo "make test         all tests"
	@echo "make check        lint, types, layers and tests, as CI runs them"
	@echo "make independent  clients and coding agents that others wrote"
	@echo "make bench        the benchmark"
	@echo "make try          container, nginx and systemd, each tried for real (as root)"

install: $(VENV)/installed
$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "poe-proxy needs Python 3.11 or newer; set PYTHON=... to one.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: install
	@if [ -f .env ] || [ -n "$$TOKENS$$POE_API_KEYS" ]; then \
		exec $(BIN)/gunicorn wsgi:app; \
	else \
		exec $(BIN)/python demo.py; \
	fi

test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest

check: lint types layers test

fmt: $(VENV)/installed-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(VENV)/installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@if command -v shellcheck >/dev/null; then shellcheck -x deploy/try-*; fi

types: $(VENV)/installed-dev
	@$(BIN)/mypy

layers: $(VENV)/installed-dev
	@$(BIN)/lint-imports

# Clients that others wrote, each in an environment of its own: two against the stand-in, and
# coding agents through the server.
independent: $(VENV)/installed-dev $(VENV)-independent-web/installed \
		$(VENV)-independent-api/installed $(VENV)-independent-agents/installed
	@$(VENV)-independent-web/bin/python tests/independent/web/run.py --sim-python $(BIN)/python
	@POE_SIM_PYTHON=$(BIN)/python $(VENV)-independent-api/bin/python tests/independent/api/run.py
	@$(BIN)/python -m pytest tests/agents

$(VENV)-independent-%/installed: tests/independent/requirements-%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "Installing into $(@D) ..."
	@# Most of what they bring is never imported.
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check --no-compile -r $<
	@touch $@

bench: $(VENV)/installed-dev
	@$(BIN)/python -m bench

try: try-nginx try-image try-systemd

try-image:
	@deploy/try-image

try-nginx: install
	@deploy/try-nginx

try-systemd:
	@deploy/try-systemd

lock:
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --no-emit-find-links \
		pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --no-emit-find-links \
		--group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) .venv-independent*
