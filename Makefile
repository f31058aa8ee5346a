# make install   the program, into .venv
# make run       the same, then serve on loopback with a demo campaign
# make demo      a private Asterisk, a softphone and a real call: before and after an agent is added
# make test      everything the tests need, then all of them
# make check     lint, types, import contract
# make bench     the benchmarks, with ratios

VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: install dev run demo test check bench

install: $(VENV)/.run
dev: $(VENV)/.dev

$(VENV)/.run: requirements/run.txt pyproject.toml scripts/python-env
	scripts/python-env $(VENV) $(PYTHON) requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml scripts/python-env
	scripts/python-env $(VENV) $(PYTHON) requirements/dev.txt
	@touch $@ $(VENV)/.run

$(BENCH)/.bench: requirements/bench.txt pyproject.toml scripts/python-env
	scripts/python-env $(BENCH) $(PYTHON) requirements/bench.txt
	@touch $@

run: install
	$(BIN)/plantel serve --demo

demo: install
	scripts/debian-packages demo
	$(BIN)/plantel demo

test: dev
	scripts/debian-packages test
	scripts/asterisk-22
	$(BIN)/pytest $(ARGS)

check: dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml

# an environment of its own, since the peers need what Plantel does not
bench: $(BENCH)/.bench
	scripts/debian-packages bench
	$(BENCH)/bin/python -m bench $(ARGS)
