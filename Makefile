# make probe      set up and run the main job on the bundled demo
# make test       format, lint, types and tests
# make test-all   the same, slow tests and the wheel
# make notebooks  run all notebooks and keep what they print
# make figures    the pictures of the documents; needs the fetched real pair
# make docs       docs/commands.md, from the options of the commands

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: probe test test-all notebooks figures docs format wheel clean

probe: .venv/.probe
	$(BIN)/probe-align --pairs alignments/gold.tsv

test: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: test wheel
	$(BIN)/python -m pytest -m slow

notebooks: .venv/.dev
	$(BIN)/jupyter nbconvert --execute --to notebook --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

figures: .venv/.dev
	$(BIN)/probe-heatmap "The cat sat on the mat because the cat was tired." \
	    --checkpoint smollm2-gemma3-projectors --pairs alignments/gold.tsv --out figures/cat.pdf
	$(BIN)/probe-heatmap "The cat sat on the mat because the cat was tired." \
	    --checkpoint smollm2-gemma3-projectors --pairs alignments/gold.tsv --out figures/cat.png

docs: .venv/.probe
	$(BIN)/python docs/commands.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/.dev
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf .venv build dist *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.probe: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev,train]'
	touch $@ .venv/.probe
