# The project's habits, one target each. `make` alone lists them, from the `##` comments below.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Cargo uses all cores by itself, and the targets wait for each other.
.NOTPARALLEL:

# The seconds for which `make fuzz` runs each target, and `make check` each target that is quick to build.
FUZZ_SECONDS ?= 60
SMOKE_SECONDS ?= 3

# The seconds for which `make soak` attacks.
SOAK_SECONDS ?= 600

# How many rounds `make bench` has, and the seconds of load on each server in a round. ROWS selects rows by name.
BENCH_ROUNDS ?= 5
BENCH_SECONDS ?= 2
ROWS ?=

.PHONY: help
help: ## Show this list
	@echo "nbdbox: an NBD server whose plugins are untrusted WebAssembly"
	@echo
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16
	@echo
	@echo "First time here: make setup demo. Before a commit: make check."
	@echo "Settings: FUZZ_SECONDS=60          seconds per fuzz target; SMOKE_SECONDS=3 in make check"
	@echo "          BENCH_ROUNDS=5           rounds of make bench; BENCH_SECONDS=2, ROWS=word,word"
	@echo "          NBDBOX_GUEST_TOOLCHAIN=  rustup or debian: the source of the guests' compiler"

# May use sudo. No other target installs anything, except `bench`, which needs a header of nbdkit.
.PHONY: setup
setup: ## Install what is missing: NBD clients, C compiler, Rust for wasm
	@tests/setup/clients.sh
	@tests/setup/guest-toolchain.sh
	@tests/setup/guest-kits.sh

# Fails if something has to be installed, and names `make setup`.
.PHONY: ready
ready:
	@tests/setup/clients.sh --check
	@tests/setup/guest-toolchain.sh --check
	@tests/setup/guest-kits.sh --check

.PHONY: plugins
plugins: ready ## Compile the example plugins to target/plugins/NAME.wasm
	@tests/setup/plugins.sh
	@tests/setup/plugins-kits.sh

.PHONY: build
build: ## Build the optimised server, target/release/nbdbox
	@echo "==> build: nbdbox, release profile"
	@cargo build --release -p nbdbox

.PHONY: demo
demo: ## Serve an example plugin and read it with real clients
	@tests/setup/clients.sh --check
	@tests/setup/guest-toolchain.sh --check
	@tests/setup/demo.sh
	@example-plugins/demo.sh

.PHONY: test
test: ready ## Run every test, doc tests and real clients included
	@tests/setup/build.sh
	@echo "==> test: the whole workspace"
	@cargo test --workspace
	@CARGO_TARGET_DIR=target/guests cargo test --manifest-path example-plugins/Cargo.toml \
		-p image-format -p qcow2-format -p vdi-format -p vhd-format -p vhdx-format -p vmdk-format
	@tests/interleavings/run.sh

.PHONY: check
check: ready ## Required before a commit: format, lints, docs, shell scripts, a short fuzz run, tests
	@tests/setup/check.sh
	@FUZZ_SECONDS=$(SMOKE_SECONDS) tests/fuzz/run.sh --light
	@$(MAKE) --no-print-directory test

.PHONY: long
long: check build ## The long checks: release build, licences, simulation, interleavings, fuzzing, power cuts, soak
	@tests/setup/licences.sh
	@tests/setup/calls.sh
	@echo "==> simulation: 200,000 schedules"
	@SCHEDULES=200000 cargo test --workspace --test simulation every_schedule
	@SCHEDULES=100000 tests/interleavings/run.sh
	@$(MAKE) --no-print-directory fairness
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory cuts
	@$(MAKE) --no-print-directory soak

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh

.PHONY: cuts
cuts: plugins ## Cut the power of a thousand disks, kill sixty servers
	@echo "==> cuts: a thousand disks, sixty kills"
	@NBDBOX_POWER_CUTS=1000 cargo test --workspace --test power_cuts
	@NBDBOX_KILLS=60 cargo test --workspace --test plugins an_overlay_survives

.PHONY: soak
soak: plugins ## Attack for ten minutes (SOAK_SECONDS); writes the plot tests/soak.svg
	@echo "==> soak: $(SOAK_SECONDS) s"
	@NBDBOX_SOAK_SECONDS=$(SOAK_SECONDS) cargo test --workspace --test soak -- --nocapture

.PHONY: scale
scale: plugins build ## Measure 1,000 exports in one process, and 1,000 processes of nbdkit
	@echo "==> scale: 1,000 exports"
	@/usr/bin/python3 tests/scale.py target/release/nbdbox 1000 100 tests/SCALE.md

.PHONY: fairness
fairness: ready ## Compare the shares of the cores that tenants get; needs a machine without other work
	@tests/setup/build.sh
	@echo "==> fairness: shares of the cores"
	@cargo test --workspace --test fairness -- --include-ignored

.PHONY: shares
shares: build plugins ## Measure a tenant's throughput while four others misbehave, and nbdkit's
	@$(MAKE) --no-print-directory fairness
	@cargo build --release -p nbdbox-bench
	@target/release/nbdbox-bench --shares --write tests

.PHONY: bench
bench: build plugins ## Measure nbdbox, nbdkit and qemu-nbd (BENCH_ROUNDS, BENCH_SECONDS, ROWS)
	@tests/setup/peers.sh
	@cargo build --release -p nbdbox-bench
	@target/release/nbdbox-bench --rounds $(BENCH_ROUNDS) --seconds $(BENCH_SECONDS) \
		$(if $(ROWS),--rows $(ROWS),--write tests/bench)

.PHONY: languages
languages: build plugins ## Measure what a plugin costs in each language
	@tests/bench/languages.sh

.PHONY: pieces
pieces: ## Measure the hot pieces alone, with criterion
	@echo "==> pieces: extent-map, nbd-proto"
	@cargo bench -p extent-map -p nbd-proto

.PHONY: clean
clean: ## Remove everything that was built, including the guest toolchain
	@echo "==> clean: target/"
	@cargo clean
	@rm -rf target
