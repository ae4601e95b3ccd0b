# `make help` lists the targets. Each makes what it needs: sources, tools, store, binaries.
#
#   V=1                 show the output of the builds below this one
#   MICROPYTHON_DIR=…   build from this MicroPython checkout (read, never written)
#   MBEDTLS_DIR=…       with this mbedTLS, where the checkout has none
#   BOARD=…             make firmware: the board, as `make firmware` lists them
#   IDF_PATH=…          ESP-IDF, for firmware of an ESP32
#   NAME=…              make example, make campaign: which one
#   TARGET=emulator     make test: tests/target on an emulated Pico
#   PORT=…              make emulate: where its REPL listens
#   SECURESOCKET_CACHE=…  keep downloads here; by default in ~/.cache/securesocket

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ifneq ($(words $(CURDIR)),1)
$(error MicroPython does not build below a path with spaces: $(CURDIR))
endif

# The Python that makes the environment: the first of these that is new enough.
ifndef PYTHON3
PYTHON3 := $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif
ifeq ($(PYTHON3),)
$(error No Python 3.11 or newer found. Install one (on Debian: apt-get install python3 python3-venv))
endif

BIN := .venv/bin
PYTHON := $(BIN)/python
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache

BUILDS := stock stock32 stock-1.25
BINARIES := $(BUILDS:%=build/unix/%/micropython)
# With a meter in them for what mbedTLS holds; made for `make calibrate` only.
METERS := build/unix/meter/micropython build/unix/meter32/micropython
ROOTS := build/store/roots.bin
ROOTS_MODULE := build/store/securesocket_roots.py
# certifi's version is the day of Mozilla's set: with it as build time the same sources give the same bytes.
ROOTS_DATE := $(shell awk -F '[=."]+' '/certifi==/{printf "%04d-%02d-%02d", $$3, $$4, $$5}' pyproject.toml)

# Options for pytest. Two workers; what shares a process or a server stays on one of them.
PYTEST ?= -n 2 --dist loadgroup

# Folders too: their time changes when a file in them comes or goes.
tree = $(shell find $(1) -not -name '__pycache__*' -not -name '*.pyc' -not -name '.*' 2>/dev/null)
LIB := $(call tree,lib)
# `firmware` alone is a target.
FIRMWARE := manifest.py firmware/. $(call tree,firmware/*)
STORE_TOOLS := $(call tree,tools/securesocket_cli lib/certstore)
HELPERS := $(wildcard tools/build/*.py)
BOARD_FILES := $(call tree,boards)
# The image that the emulator boots.
PICO_SECURE := build/firmware/PICO_SECURE/firmware.uf2
# What `make example` has: the scripts that say so in their first line.
EXAMPLES = $(basename $(notdir $(shell grep -l '^"""`make example NAME=' examples/*.py)))
CHECKOUT := build/checkout-$(firstword $(shell echo '$(MICROPYTHON_DIR) $(MBEDTLS_DIR)' | cksum))

##@ Use
.PHONY: help demo example test lint bench calibrate store build mip firmware known-board emulate campaign clean distclean FORCE
help:  ## this list
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)

demo: build store  ## a verified HTTPS page on MicroPython, then each failure a user meets
	@$(PYTHON) examples/demo.py

example: build store  ## servers and clients on MicroPython that run to the end by themselves: make example NAME=…
	@test -n "$(NAME)" && grep -qs '^"""`make example NAME=$(NAME)`' "examples/$(NAME).py" || { \
		echo "make example NAME=…: there are: $(EXAMPLES)"; exit $(if $(NAME),1,0); }
	@$(if $(NAME),$(PYTHON) examples/$(NAME).py)

emulate: .venv/made $(PICO_SECURE)  ## an emulated Pico with a REPL here and on a socket, networked through PPP
	@PYTHONPATH=tools $(PYTHON) -m emulator $(if $(PORT),--port $(PORT))

##@ Work on it
test: lint build store $(PICO_SECURE)  ## lint, then all tests, on CPython and on every build; TARGET=emulator
	@$(PYTHON) -m pytest $(PYTEST) $(if $(TARGET),--target $(TARGET) tests/target)

lint: .venv/made  ## ruff: rules and format
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "not formatted; run: $(BIN)/ruff format"; exit 1; }

bench: build store $(PICO_SECURE)  ## measure: time, heap and sizes, beside the bare tls module
	@$(PYTHON) tools/bench/run.py

calibrate: .venv/made $(METERS)  ## measure what a handshake holds of the heap: the tables that the budget reads
	@$(PYTHON) tools/calibrate/run.py

campaign: build store  ## a long run of tools/campaign/NAME.py: make campaign NAME=…
	@test -f "tools/campaign/$(NAME).py" || { \
		echo "make campaign NAME=…: there are: $(basename $(notdir $(wildcard tools/campaign/[a-z]*.py)))"; exit 1; }
	@$(PYTHON) tools/campaign/$(NAME).py

##@ For a board
firmware: known-board $(ROOTS_MODULE) | build/system.ok  ## MicroPython with all of this frozen, in build/firmware/: BOARD=…
	@$(PYTHON3) tools/build/boards.py $(BOARD)

##@ Make its parts
build: $(BINARIES)  ## the MicroPython binaries for this machine, in build/unix/

store: $(ROOTS)  ## Mozilla's roots as a store: build/store/roots.bin

mip: .venv/made  ## an index of the packages for mip: build/mip/
	@$(PYTHON) tools/build/mip.py build/mip

clean:  ## remove build/
	@rm -rf build

distclean: clean  ## remove the Python environment too (downloads stay in the cache)
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info

# ---- how the parts are made ----

build/system.ok: tools/build/system.py
	@$(PYTHON3) tools/build/system.py
	@mkdir -p $(@D) && touch $@

.venv/made: pyproject.toml tools/build/environment.py | build/system.ok
	@$(PYTHON3) tools/build/environment.py .venv
	@touch $@

$(ROOTS): $(STORE_TOOLS) .venv/made
	@mkdir -p $(@D)
	@$(BIN)/securesocket store build --build-time $(ROOTS_DATE) --out $@

$(ROOTS_MODULE): $(ROOTS)
	@$(BIN)/securesocket store frozen $< --out $@

# Another checkout, another name: everything is built again.
$(CHECKOUT): | build/system.ok
	@rm -f build/checkout-* && touch $@

known-board:
	@$(PYTHON3) tools/build/boards.py --check $(BOARD)

build/firmware/%/firmware.uf2: $(LIB) $(FIRMWARE) $(BOARD_FILES) $(HELPERS) $(ROOTS_MODULE) $(CHECKOUT) \
		$(if $(MICROPYTHON_DIR),FORCE)
	@$(PYTHON3) tools/build/boards.py $*

# A checkout is someone's work in progress: its own makefile knows what changed.
$(BINARIES) $(METERS): build/unix/%/micropython: $(LIB) $(FIRMWARE) $(HELPERS) $(ROOTS_MODULE) $(CHECKOUT) \
		$(if $(MICROPYTHON_DIR),FORCE)
	@$(PYTHON3) tools/build/unix.py $*
