# make probe      set up and run the main job on the bundled demo
# make test       format, lint, types and tests
# make test-all   the same, slow tests and the wheel
# make fuzz       10,000 damaged inputs; SEED=1 draws others
# make notebooks  run all notebooks and keep what they print
# make figures    the paper figures, from the saved reports
# make reports    those reports; trains the demo first, which takes an hour
# make picture    the picture of the README; needs the fetched real pair
# make benchmarks what all parts cost, in docs/speed.md; needs the fetched real pair and a quiet machine
# make wheel      sdist and wheel in dist/, equal bytes from equal files; make test-all checks that
# make study      every figure and table of "Does alignment matter?", from the saved results
# make docs       docs/commands.md, from the options of the commands, and the tables of the study
# make site       the documentation in site/, to be opened as site/index.html, without network

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: probe test test-all fuzz notebooks figures study reports picture benchmarks docs site format wheel clean

probe: .venv/.probe
	$(BIN)/probe-align --pairs alignments/gold.tsv

test: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" --durations 15

test-all: test wheel
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow --durations 15

SEED ?= 0

fuzz: .venv/.dev
	PYTHONPATH=.:tests $(BIN)/python -m fuzz --seed $(SEED)

notebooks: .venv/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter nbconvert --execute --to notebook --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

STUDY := --only arms --only forest --only learning --only dose

figures: .venv/.probe
	$(BIN)/probe-figures --out figures
	$(BIN)/probe-figures --out figures $(STUDY)

study: .venv/.probe
	$(BIN)/probe-figures --out figures $(STUDY)
	$(BIN)/python docs/study.py

# What figures/README.md says of each. Steps of a run of each method, and its methods over seeds.
GOLD := alignments/gold.tsv
SAVED := figures/saved
STEPS := demo-cma-step-25 demo-cma-step-50 demo-cma-step-100 demo-cma-step-200 demo-cma
MATCHED := demo-cma-ga demo-cma-ga-released
RUNS := $(foreach run,cma cma-ga cma-ga-released,$(foreach step,50 100 200 400,runs/steps/$(run)/checkpoint-$(step)))
TRAIN := $(BIN)/probe-train demo training.save_every=50 training.keep_last=8

reports: .venv/.dev
	mkdir -p $(SAVED)
	$(BIN)/probe-align --pairs $(GOLD) $(STEPS:%=--checkpoint %) --by method \
	    --methods random,uniform,bigram --json $(SAVED)/align.json.gz
	$(BIN)/probe-align --pairs $(GOLD) --checkpoint demo-cma --checkpoint demo-cma-ga --by method \
	    --methods chunk --save-maps $(SAVED)/maps
	$(BIN)/probe-keyquery --pairs $(GOLD) $(STEPS:%=--checkpoint %) $(MATCHED:%=--checkpoint %) \
	    --json $(SAVED)/keyquery.json.gz
	$(TRAIN) objective.method=cma --out runs/steps/cma
	$(TRAIN) objective.method=cma-ga --out runs/steps/cma-ga
	$(TRAIN) objective.method=cma-ga objective.critic=released --out runs/steps/cma-ga-released
	$(BIN)/probe-align --pairs $(GOLD) $(RUNS:%=--checkpoint %) --by method --methods uniform \
	    --json $(SAVED)/progress.json.gz
	$(BIN)/probe-eval $(foreach run,$(RUNS),$(run)=$(run)) --temperature 0 --max-prompt 128 --max-length 256 \
	    --json $(SAVED)/evaluation.json.gz
	$(BIN)/probe-reproduce demo
	gzip -n -9 -c runs/reproduce-demo/results.json > $(SAVED)/reproduction.json.gz

picture: .venv/.dev
	$(BIN)/probe-heatmap "The cat sat on the mat because the cat was tired." \
	    --checkpoint smollm2-gemma3-projectors --pairs $(GOLD) --out figures/cat.pdf
	$(BIN)/probe-heatmap "The cat sat on the mat because the cat was tired." \
	    --checkpoint smollm2-gemma3-projectors --pairs $(GOLD) --out figures/cat.png

benchmarks: .venv/.dev
	$(BIN)/python benchmarks/speed.py

docs: .venv/.probe
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/study.py

site: .venv/.site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/.dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	@test -z "$$(find dist -size +20000000c)" || { echo "a file in dist/ has more than 20 MB" >&2; exit 1; }

clean:
	rm -rf .venv build dist site *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.probe: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev,train]'
	touch $@ .venv/.probe

.venv/.site: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[site]'
	touch $@
