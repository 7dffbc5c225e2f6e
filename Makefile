# ticketshim. `make` lists what there is; `make check` is the test that must pass.

CARGO ?= cargo
LIB   := target/release/libticketshim.so
PROVE := prove --exec ''
.DEFAULT_GOAL := help
# No /etc/ticketshim.toml of this machine is to have a say in a test or a benchmark.
export TICKETSHIM_CONFIG := /dev/null

.PHONY: help
help: ## list the targets
	@sed -e ':more' -e '/\\$$/{N;s/\\\n//;b more' -e '}' $(MAKEFILE_LIST) | awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: build
build: ## the library: target/release/libticketshim.so, the command, and its manual pages
	$(CARGO) build --release --locked --workspace
	@ln -sf libticketshim.so $(LIB).0
	@TICKETSHIM_LIB=$(LIB) c-tests/elf/check > target/check-elf.tap || { cat target/check-elf.tap; exit 1; }
	@scripts/man-pages target/release/ticketshim target/man

.PHONY: demo
demo: need-demo build ## see it work: stunnel and openssl s_server, with and without the shim
	@scripts/demo

.PHONY: check
check: deps build lint \
  check-core \
  check-c \
  check-compare \
  check-linkers \
  check-sharing \
  check-binding \
  check-deploy-fast \
  check-hostile-fast \
  check-models-fast \
  check-valgrind \
  check-instructions \
  check-versions-fast \
  check-install \
  check-kubernetes \
  check-docs \
  check-targets \
  deb \
  check-rpm ## everything that must hold; installs what it needs first (ten to fifteen minutes)

.PHONY: check-fast
check-fast: need-fast build check-core check-c ## the core's tests and the C suite (about two minutes)

.PHONY: lint
lint: need-lint ## formatting, clippy, rustdoc and shellcheck without a warning; also of benches/core, fuzz and models
	$(CARGO) fmt --all --check
	scripts/lint-shell
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p ticketshim --features fault-injection -- -D warnings
	cd benches/core && $(CARGO) clippy --quiet --locked --all-targets --target-dir ../../target/workspaces -- -D warnings
	cd fuzz && TICKETSHIM_FUZZ_SHIM=unused $(CARGO) clippy --quiet --locked --target-dir ../target/workspaces -- -D warnings
	cd models && $(CARGO) clippy --quiet --locked --target-dir ../target/workspaces -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: check-core
check-core: need-core build ## the Rust tests: core, keys, command, and that the header is what the source says
	$(CARGO) test --locked --workspace

.PHONY: check-c
check-c: need-c build fault-build ## C programs with and without the shim, the header, the ELF file, how much stack its functions take
	$(PROVE) c-tests/elf/check c-tests/elf/stack c-tests/elf/hosts c-tests/header-check c-tests/run c-tests/elf/debugger

.PHONY: check-compare
check-compare: need-c build fault-build ## the C suite, and each ticket that is serialised once also as by stock libssl (a minute)
	$(PROVE) c-tests/run :: --compare

.PHONY: check-linkers
check-linkers: need-linkers ## GNU ld, gold, LLD and clang all make the right library; what could not is refused (a minute)
	$(PROVE) c-tests/elf/linkers

.PHONY: check-sharing
check-sharing: need-sharing build ## keys shared by real processes: workers, restarts, hosts, re-seeds, core dumps, load
	prove -j2 --exec '' c-tests/sharing/*.t

.PHONY: check-names
check-names: need-sharing build ## 100,000 server names and 20,000 made-up ones at four workers (ten minutes)
	TS_NAMES=100000 TS_MADE_UP=20000 prove --verbose --exec '' c-tests/sharing/names.t

.PHONY: check-valgrind
check-valgrind: need-valgrind build fault-build ## the C suite under valgrind: no leak, no invalid access
	$(PROVE) c-tests/run :: --valgrind

.PHONY: check-cli
check-cli: need-cli ## the command's tests alone, with builds that are not optimised (TEST=… for some of them; seconds)
	$(CARGO) build --quiet --locked
	TICKETSHIM_LIB=$(CURDIR)/target/debug/libticketshim.so $(CARGO) test --locked -p ticketshim-cli $(TEST)

.PHONY: check-one
check-one: need-build ## one test: TEST=… is a name of `c-tests/run --list`, a script, or a part of a Rust test's name (seconds)
	@scripts/check-one $(TEST)

.PHONY: check-targets
check-targets: ## that no target but deps installs anything, and each says what is missing
	$(PROVE) scripts/check-targets

.PHONY: check-docs
check-docs: need-docs ## that the documents say what is so
	scripts/check-docs

.PHONY: readme-tables
readme-tables: ## write the tables of README.md that come from docs/servers.md, docs/performance.md and the list of settings
	scripts/readme-tables
	TICKETSHIM_WRITE_README=1 $(CARGO) test --quiet --locked -p ticketshim-keys --test settings -- settings_of_the_readme

.PHONY: fault-build
fault-build: ## the library with places that fail on demand, for tests only
	$(CARGO) build --locked --features fault-injection --target-dir target/fault

.PHONY: bench
bench: bench-core bench-handshake bench-instructions bench-growth bench-keys ## what it costs (printed, never gating)

.PHONY: bench-keys
bench-keys: ## what a key, a salt, a rotation and 50 years of catching up cost
	$(CARGO) test --locked --release -p ticketshim-keys -- --ignored --nocapture --test-threads=1

.PHONY: header
header: ## write include/ticketshim.h from the source
	TICKETSHIM_WRITE_HEADER=1 $(CARGO) test --locked --test header

.PHONY: clean
clean: ## remove what was built
	$(CARGO) clean

include $(wildcard mk/*.mk)
