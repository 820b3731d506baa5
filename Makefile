# Everything sets itself up: only Python 3.10 or newer and make are needed.
PYTHON ?= python3
# The version the project is tested with; TORCH="torch==2.4.1" or a CPU index of your own also do.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready

# Suites that start hundreds of processes, or solve whole retinas; `make test` leaves them to `make test-slow`.
SLOW := $(patsubst %,tests/test_%.py,accessibility command example_notebook identity mistakes options places processes rendering \
	report_page simulation slurm sweep_ends validation)

BESIDE := tests/test_beside.py

.PHONY: demo test test-slow test-hostile test-beside test-slurm lint format docs linkcheck gallery coverage bench bench-zoo \
	bench-against bundled-model wheel clean
demo: $(READY)  ## optimise a colour-opponent cell of the bundled model, offline
	$(BIN)/openretina optimize neuron=84

test: $(READY)  ## lint, types, tests
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest $(addprefix --ignore=,$(SLOW) $(BESIDE))

test-slow: $(READY) docs  ## the whole command: mistakes, kills, signals, full disks, Slurm, a browser, whole retinas
	$(BIN)/python -m pytest $(SLOW)

test-hostile: $(READY)  ## every one of a thousand hostile checkpoints and run folders, of which `make test` tries a sample
	OPENRETINA_TESTS_EVERY_MUTANT=1 $(BIN)/python -m pytest tests/test_hostile_checkpoints.py tests/test_hostile_folders.py

test-beside: $(READY)  ## this package beside openretina 1.1.1 in one environment, installed in both orders; needs PyPI
	$(BIN)/python -m pytest -rs $(BESIDE)

test-slurm: $(READY)  ## sweeps on a real Slurm (apt-get install slurm-wlm munge), started and stopped by the tests
	$(BIN)/python -m pytest -rs tests/test_slurm.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_READY)  ## the documentation in build/docs/html, offline; a warning, or a link to nothing inside, is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/docs/doctrees docs build/docs/html

linkcheck: $(DOCS_READY)  ## links of the documentation to other places, which needs a network
	$(BIN)/python -m sphinx -q -b linkcheck -d build/docs/doctrees docs build/docs/linkcheck

coverage: $(READY)  ## lines and branches that the tests of `make test` reach, in commands that they start, too; below 92 % fails
	rm -rf build/coverage
	$(BIN)/python -m coverage run -m pytest $(addprefix --ignore=,$(SLOW) $(BESIDE))
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

gallery: $(READY)  ## the pictures of docs/gallery.md, by its own commands
	$(BIN)/python docs/make_gallery.py

bench: $(READY)  ## against the public package, side by side: speed, memory, and how long help and errors take
	$(BIN)/python tests/benchmarks

bench-zoo: $(READY)  ## published core + readout shapes against the public package, one MEI each on random weights
	$(BIN)/python tests/benchmarks --lines 6

bench-against: $(READY)  ## against an earlier commit of this repository, side by side: make bench-against COMMIT=24de382
	$(BIN)/python tests/benchmarks/against.py $(COMMIT)

bundled-model: $(READY)  ## train the bundled model from nothing: under an hour on 2 cores; goes on where it was stopped
	$(BIN)/python -m openretina_cli.simulation.build

wheel: $(READY)  ## build the wheel, install it in an empty environment, run it from another folder
	sh tests/check_wheel.sh "$(PYTHON)" "$(TORCH)"

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $(DOCS_READY)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis
