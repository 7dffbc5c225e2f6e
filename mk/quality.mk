# The dependencies, and the tests themselves. Their tools are crates: `make deps-crates` and `make deps-mutants` build them
# into target/tools, which takes minutes, so none of this is in `make check`; .github/workflows runs it.

TOOLS ?= target/tools
tool   = $(firstword $(wildcard $(TOOLS)/bin/$(1)) $(shell command -v $(1)))

deps-crates:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-deny@0.20.2

deps-mutants:
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-mutants@27.1.0

deps-miri:
	rustup toolchain install nightly --profile minimal --component miri,rust-src

need-crates:
	@test -n "$(call tool,cargo-deny)" || { echo "make: not installed: cargo-deny. Install: make deps-crates" >&2; exit 1; }

need-mutants:
	@test -n "$(call tool,cargo-mutants)" || { echo "make: not installed: cargo-mutants. Install: make deps-mutants" >&2; exit 1; }

need-miri:
	@$(CARGO) +nightly miri --version > /dev/null 2>&1 || { echo "make: not installed: miri. Install: make deps-miri" >&2; exit 1; }

.PHONY: check-crates
check-crates: need-crates ## licences, sources and duplicates of all crates, as deny.toml allows them
	$(call tool,cargo-deny) --locked --workspace check licenses bans sources

.PHONY: check-advisories
check-advisories: need-crates ## known faults of the crates (fetches the advisory database)
	$(call tool,cargo-deny) --locked --workspace check advisories

# The core has nothing unsafe. What tests of threads do thousands of times they do a few times here.
MIRI := barrier:: cell:: record:: seqlock:: memory::tests::holds
.PHONY: check-miri
check-miri: need-miri ## undefined behaviour: what is unsafe in keys and calls no system, under miri (needs nightly; two minutes)
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --locked -p ticketshim-keys --lib -- $(MIRI)

# Which: core keys cli. The core whole takes about an hour on two processors; of the others every eighth mutant is tried.
MUTANTS ?= core keys cli
.PHONY: check-mutants
check-mutants: need-mutants need-core build ## faults put into the source one by one: does a test fail? (hours; MUTANTS=core for a part)
	CARGO_MUTANTS="$(call tool,cargo-mutants)" scripts/mutants $(MUTANTS)
