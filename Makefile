# portcullis: `make demo` shows it, `make test` runs every test. Both install what is missing and ask nothing.
# Everything else is plain cargo.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# A toolchain from rustup is found even where the shell has not been told of it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: demo test bench fuzz needs-build needs-test check install clean help

export FUZZ_TIME ?= 600

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

demo: needs-build ## build and run a gateway with a sample application, people to sign in as, and a throw-away store
	@echo 'portcullis: building (a few minutes the first time)'
	@cargo build --quiet --locked
	@exec cargo run --quiet --locked -- demo

test: needs-test ## run every test: units, laws, the store, behaviours, the browser and the application nobody here wrote
	@if cargo nextest --version >/dev/null 2>&1; then \
	  echo 'portcullis: testing with cargo nextest'; cargo nextest run --locked --no-fail-fast; cargo test --quiet --locked --doc; \
	else \
	  echo 'portcullis: testing with cargo test'; cargo test --locked --no-fail-fast; \
	fi

bench: needs-build ## what a request costs beside nginx, haproxy, caddy and others; QUICK=1 is short, INSTALL=1 installs them first
	@echo 'portcullis: building with optimisation'
	@cargo build --release --quiet --locked
	@bench/run.py --write bench/RESULTS.md $(if $(INSTALL),--install) $(if $(QUICK),--quick) $(ARGS)

fuzz: ## give strange input to every reader for FUZZ_TIME seconds each (600), with libFuzzer
	@scripts/fuzz $(FUZZ_TARGETS)

check: ## formatting, clippy and documentation, warnings denied
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	cargo run --quiet --locked -- check --strict

install: needs-build ## build with optimisation and put the command into $(DESTDIR)/usr/local/bin
	cargo build --release --locked
	install -D -m 755 target/release/portcullis $(DESTDIR)/usr/local/bin/portcullis

needs-build:
	@scripts/install-needs build

needs-test:
	@scripts/install-needs test

clean: ## remove what was built and fetched
	rm -rf target fuzz/target tests/browser/node_modules
