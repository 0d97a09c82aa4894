# Everything from a bare checkout with only Python (with venv) and make on the machine.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
WORKERS ?= 2

.PHONY: demo test test-slow lint docs api wheel-check bench bench-paper bench-page bench-lane clean

demo: $(VENV)/installed
	@$(RUN) causalopt.cli demo

test: $(VENV)/installed
	@$(RUN) pytest -n $(WORKERS)

test-slow: $(VENV)/installed
	@$(RUN) pytest -m slow

lint: $(VENV)/installed
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

# Into site/. Every warning is an error: dead links and anchors, docstrings that contradict signatures, foreign requests.
docs: $(VENV)/installed
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo "site/index.html"

# After a change of the public interface.
api: $(VENV)/installed
	@$(RUN) tools.public_api

# Builds wheel and source distribution, and tries the wheel in an environment of its own outside the checkout.
wheel-check: $(VENV)/installed
	@rm -rf dist
	@$(RUN) build --outdir dist .
	@$(RUN) tools.check_wheel dist

# Under 90 s. The store keeps what was run: remove it to measure again.
bench: $(VENV)/installed
	@$(RUN) causalopt.cli bench run smoke --store benchmarks.sqlite
	@$(RUN) causalopt.cli bench report --store benchmarks.sqlite --suite smoke

bench-paper: $(VENV)/installed
	@$(RUN) causalopt.cli bench run paper --store benchmarks.sqlite
	@$(RUN) causalopt.cli bench report --store benchmarks.sqlite --suite paper

# The published report, from the published runs.
bench-page: $(VENV)/installed
	@$(RUN) causalopt.cli bench report --store benchmarks/results/runs.sqlite --html docs/benchmark_report.html

bench-lane: $(VENV)/installed
	@$(RUN) benchmarks.lane

# One stamp for all targets, so that make -j never runs pip twice at once.
$(VENV)/installed: pyproject.toml
	@if ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
		rm -rf $(VENV); \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
			{ echo "causalopt needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }; \
		$(PYTHON) -m venv $(VENV) || \
			{ rm -rf $(VENV); echo "No venv in this Python: apt install python3-venv (or the like), then make again."; exit 1; }; \
	fi
	@$(RUN) pip uninstall -q -y --disable-pip-version-check causalopt 2>/dev/null  # what this project was called
	@echo "Installing causalopt and its solvers into $(VENV) (a minute or two, once) ..."
	@$(RUN) pip install -q --disable-pip-version-check -e '.[all,test]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis dist build site
