# make install   the program, into .venv
# make run       the same, then serve on loopback with a demo campaign
# make demo      a private Asterisk, a softphone and a real call: before and after an agent is added
# make test      everything the tests need, then all of them
# make check     lint, types, import contract
# make bench     the benchmarks, with ratios
# make abuse     what attackers can do to others' waits and to the memory; ARGS="--seconds 30 NAME..." for some of it
# make fuzz      coverage-guided fuzzing; ARGS="--seconds 3600 wire http ami"

VENV := .venv
BENCH := .venv-bench
FUZZ := .venv-fuzz
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: install dev run demo test check bench abuse fuzz

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

$(FUZZ)/.fuzz: requirements/fuzz.txt pyproject.toml scripts/python-env
	scripts/python-env $(FUZZ) $(PYTHON) requirements/fuzz.txt
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

abuse: dev
	$(BIN)/python -m tests.abuse $(ARGS)
	$(BIN)/pytest -m long tests/abuse

# an environment of its own, since the fuzzer exists for few releases of Python
fuzz: $(FUZZ)/.fuzz
	$(FUZZ)/bin/python -m tests.fuzz $(ARGS)
