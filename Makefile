# Everything starts here: `make help`. One environment (.venv), one built site (_build), no other state.

PYTHON ?= python3
OUT ?= .
PORT ?= 8000
GPU_PYTHON ?= $(PYTHON)
BUDGET ?= 20m
READER ?= $(PYTHON)
CHAPTERS ?= $(wildcard chapters/*.ipynb)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Two processes, each with one thread; the tests of a file, and the cells of a chapter, stay together.
TWO := -n 2 --dist loadfile
SITE := $(OUT)/_build/html/index.html
SOURCES := _config.yml _toc.yml $(shell find book chapters resnorm_lib -type f -not -path '*/.*' -not -name '*.pyc')

ifeq ($(origin PYTHON)$(wildcard $(READY))$(filter address gpu readers,$(MAKECMDGOALS)),command line$(READY))
$(info The environment $(VENV) is there already. To make it with $(PYTHON): make clean, then the same again.)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book serve lab quick test lint library notebooks site run seeds bench experiments stale situations gpu colab course print audit wheel compat readers new-chapter address browser clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##\(.*\)/  make \1 \2/p' Makefile | awk '{printf "  %s %-12s", $$1, $$2; $$1=$$2=""; print}'

book: $(SITE)  ## render the book and print the page to open
	@echo "Open $(abspath $(SITE))"

serve: book  ## show the book on http://localhost:8000 (PORT=... for another)
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(OUT)/_build/html

# Root, the only user of many containers, must say so to Jupyter.
lab: $(READY)  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab $$(test "$$(id -u)" != 0 || echo --allow-root) chapters

quick: $(READY)  ## what has changed since the last commit, two minutes at most
	$(BIN)/python -m book._tools.quick

# The build of the site is one process, so the chapters run beside it; what measures time is in the library and runs alone.
test: lint library  ## every check: style, library, chapters, built site
	+$(MAKE) --jobs=2 notebooks site

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

library: $(READY)  ## the tests of the library and of the chapters' sources, and how much of the library they run
	$(BIN)/python -m pytest $(TWO) --cov --ignore tests/site

notebooks: $(READY)  ## run the chapters and compare every stored output (CHAPTERS=... for some)
	$(BIN)/python -m pytest $(TWO) --nbval $(CHAPTERS)

site: book  ## open every page in a browser
	RESNORM_SITE=$(abspath $(OUT)/_build/html) $(BIN)/python -m pytest tests/site

run: $(READY)  ## run chapters and store their outputs (CHAPTERS=... for some)
	$(BIN)/python -m resnorm_lib
	$(BIN)/python -m book._tools.store $(CHAPTERS)

seeds: $(READY)  ## try every claim under ten seeds and natively, and write book/recorded/seeds.json (STALE=1: changed chapters)
	$(BIN)/python -m book._tools.seeds $(if $(STALE),--stale) $(CHAPTERS)

bench: $(READY)  ## compare speed with plain torch, and write book/recorded/bench.json
	$(BIN)/python -m resnorm_lib.bench ratios --out book/recorded/bench.json

experiments: $(READY)  ## run every experiment on this processor, at several learning rates too: half a day; overwrites the runs in book/recorded
	$(BIN)/python -m resnorm_lib.experiments suite --preset cpu --seeds 3 --budget 30m --out book/recorded
	for preset in rates adam long deep find read; do \
		$(BIN)/python -m resnorm_lib.experiments suite --preset $$preset --seeds 2 --budget 2h --out book/recorded || exit 1; \
	done

stale: $(READY)  ## say which recorded runs do not belong to today's code
	$(BIN)/python -m book._tools.records

situations: $(READY)  ## run every scheme and norm in whatever others do with a network, and write book/api/situations.md
	$(BIN)/python -m book._tools.situations

gpu:  ## on a machine with an NVIDIA GPU: tests, benchmark, experiments, their records in book/recorded (BUDGET=12m)
	@$(GPU_PYTHON) -c 'import sys, importlib.util as u; t = u.find_spec("torch") and __import__("torch"); sys.exit(0 if t and t.cuda.is_available() else "make gpu needs an NVIDIA GPU and a PyTorch that sees it (GPU_PYTHON=... names its Python). This machine has none.")'
	$(GPU_PYTHON) -m resnorm_lib.bench.gpu --budget $(BUDGET)

colab: $(READY)  ## write the chapters as notebooks for plain Jupyter and Colab, and what they need, to _build/colab
	$(BIN)/python -m book._tools.colab $(OUT)/_build/colab

course: $(READY)  ## write assignments for students, instructors and nbgrader, and the grader's key, to _build/course; RESNORM_INSTRUCTOR=folder has the answers to the second bank
	$(BIN)/python -m book._tools.course $(OUT)/_build/course

print: book  ## write the whole book as a PDF and as an EPUB to _build/print; a few minutes
	$(BIN)/python -m book._tools.printed $(OUT)/_build/next/_build/html $(OUT)/_build/print

audit: book  ## judge five pages by Lighthouse, which npm installs, on a phone and a desktop; ten minutes
	@command -v npm >/dev/null || { echo "make audit needs npm, which comes with Node.js 20 or newer." >&2; exit 1; }
	npm install --silent --no-fund --no-audit --prefix $(VENV)/lighthouse lighthouse@12
	$(BIN)/python -m book._tools.audit $(abspath $(OUT)/_build/html) $(VENV)/lighthouse

wheel: $(READY)  ## build the wheel, install it in a fresh environment, and run README's example, a type check and the library's tests there
	.ci/wheel

compat: $(READY)  ## test the library with the oldest and newest packages that pyproject.toml allows, under each of its Pythons that is here
	$(BIN)/python -m book._tools.compat $(if $(COMPAT),--python $(COMPAT))

readers: $(READY)  ## run every notebook that lies beside the pages in an environment of its own (READER=python3.12); an hour
	$(BIN)/python -m book._tools.readers $(READER) $(CHAPTER)

new-chapter: $(READY)  ## start a chapter from the template: make new-chapter NAME=my_subject
	@$(BIN)/python -m book._tools.new "$(NAME)"

address:  ## say where the repository is, on every page and in the metadata: make address URL=https://github.com/owner/name
	@$(PYTHON) -m book._tools.address "$(URL)" "$(PAGES)"

browser:  ## install Chromium, and letters of Chinese for the glossary in print (Debian, Ubuntu)
	apt-get update -qq && apt-get install -y -qq chromium fonts-noto-cjk

clean:  ## remove the environment and the built book
	rm -rf $(VENV) $(OUT)/_build

$(READY): requirements.txt pyproject.toml
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo "There is no Python called \"$(PYTHON)\" here. Say which to use: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "This book needs Python 3.11 or newer, but \"$(PYTHON)\" is Python %d.%d. Say which to use: make PYTHON=python3.11" % v[:2])'
	@echo "Installing what the book needs into $(VENV): up to ten minutes and a few GB the first time ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(SITE): $(READY) $(SOURCES)
	@mkdir -p "$(OUT)" 2>/dev/null && test -w "$(OUT)" || { echo "The folder \"$(OUT)\" cannot be written. Say where the book shall go: make book OUT=folder" >&2; exit 1; }
	@$(BIN)/python -m resnorm_lib >/dev/null
	@$(BIN)/python -m book._tools.build "$(OUT)"
	@touch $@
