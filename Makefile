PYTHON ?= python3
ARGS ?=
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.installed
SETTINGS = $(VENV)/share/jupyter/lab/settings

# The kernel that finds the package is the one in .venv, whatever else the user has installed.
export JUPYTER_PREFER_ENV_PATH = 1
# OpenMP's threads spin while they wait: with a second process beside them they take up to ten times as long.
export GOMP_SPINCOUNT = 1000
# On Linux memory goes back to the kernel after every training step, and is asked for again at the next: keeping it
# saves about a tenth of the time, or nothing where batches are small.
export MALLOC_TRIM_THRESHOLD_ = 2147483648
export MALLOC_MMAP_THRESHOLD_ = 33554432
export MALLOC_TOP_PAD_ = 67108864

.PHONY: help lab test mutants bench docs notebooks number cite contents readme export clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "dpm-nb needs Python 3.10 or newer and found %d.%d: name a newer one, as in  make lab PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e ".[dev]"
	@mkdir -p $(SETTINGS)
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}' > $(SETTINGS)/overrides.json
	@touch $@

lab: $(READY) ## open JupyterLab on the contents; ARGS="--no-browser --port=9999" is passed on
	@$(BIN)/jupyter trust nbs/*.ipynb > /dev/null
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) nbs/index.ipynb

test: $(READY) ## run every test there is; with DPM_NB_FULL=1 also the slow cells
	$(BIN)/pytest --durations=15 --durations-min=1 $(ARGS)

mutants: $(READY) ## change equations, drawn by a seed, and see whether a cell notices; ARGS="02 03" tries those two
	$(BIN)/python tools/mutants.py $(ARGS)

bench: $(READY) ## measure beside diffusers and others, in ten minutes on two cores, and store the page's table
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python bench/rounds.py
	$(BIN)/python tools/notebooks.py run benchmark

notebooks: $(READY) ## run every notebook and store its outputs; ARGS="02 03" runs those two
	$(BIN)/python tools/notebooks.py run $(ARGS)

export: $(READY) ## write dpm_nb/ from the notebooks, and the stubs that type checkers read
	$(BIN)/nbdev_export
	$(BIN)/python tools/stubs.py

number: $(READY) ## number the equations anew, mend what cites them, and export
	$(BIN)/python tools/number.py
	$(BIN)/nbdev_export
	$(BIN)/python tools/readme.py

cite: $(READY) ## link every citation to the references, and write that page from references.bib
	$(BIN)/python tools/cite.py

contents: $(READY) ## write the minutes and the pictures of the chapters' cards into the index
	$(BIN)/python tools/contents.py
	$(BIN)/python tools/readme.py

readme: $(READY) ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

docs: $(READY) ## render the site into _docs/ with Quarto
	@command -v quarto > /dev/null || { \
	echo "The site is rendered by Quarto, which is not on PATH."; \
	echo "Get it from https://quarto.org/docs/get-started/ and run make docs again."; \
	exit 1; }
	PYTHONPATH=tools $(BIN)/nbdev_proc_nbs --force --file_re '\.ipynb$$'
	$(BIN)/python tools/pages.py
	cd _proc && quarto render
	rm -rf _docs
	mv _proc/_docs _docs
	mkdir _docs/notebooks && cp nbs/*.ipynb _docs/notebooks/
	@echo "The site starts at _docs/index.html"

clean: ## remove what can be made again, except .venv
	rm -rf _proc _docs build dist *.egg-info .pytest_cache .hypothesis nbs/nbdev.yml nbs/sidebar.yml
