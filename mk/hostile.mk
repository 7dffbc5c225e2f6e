# Hostile input, faults, endurance: SECURITY.md says which claim rests on which of these.

FUZZ_SECONDS ?= 60
TS_ATTEMPTS  ?= 20000

.PHONY: fuzz
fuzz: need-fuzz ## five fuzz targets under AddressSanitizer, FUZZ_SECONDS=60 for each (FUZZ=ticket for one)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ)

.PHONY: fuzz-replay
fuzz-replay: need-fuzz ## the fuzz targets on the inputs that are kept in fuzz/corpus, without a search
	@fuzz/run --replay $(FUZZ)

.PHONY: fuzz-corpus
fuzz-corpus: need-fuzz ## make fuzz/corpus the smallest set of inputs that covers what was found
	@fuzz/run --minimise $(FUZZ)

.PHONY: check-hostile
check-hostile: need-hostile build ## 40,000 tickets that are none, against live nginx and s_server; faults (about five minutes)
	TS_ATTEMPTS=$(TS_ATTEMPTS) $(PROVE) c-tests/hostile/*.t

.PHONY: check-hostile-fast
check-hostile-fast: need-hostile build
	TS_SHORT=1 TS_ATTEMPTS=1000 prove -j2 --exec '' c-tests/hostile/*.t

.PHONY: check-endurance
check-endurance: need-endurance build ## ten minutes of clients, reloads, killed workers, re-seeds (TS_SECONDS=600); as root
	$(PROVE) c-tests/hostile/endurance

.PHONY: endurance-table
endurance-table: need-endurance build ## the same, and write the table into docs/hostile.md
	TS_TABLE=docs/hostile.md $(PROVE) c-tests/hostile/endurance

.PHONY: check-sanitizers
check-sanitizers: need-sanitizers build fault-build ## AddressSanitizer, UBSan, ThreadSanitizer, memcheck (a quarter of an hour; SANITIZE=threads for a part)
	$(PROVE) scripts/check-sanitizers :: $(SANITIZE)

.PHONY: check-models
check-models: need-models ## lock-free code in all orders in which threads may see one another's writes, by loom (a minute or two)
	cd models && $(CARGO) build --quiet --release --locked --target-dir ../target/workspaces
	$(PROVE) target/workspaces/release/models

# The same with fewer switches of threads: a few seconds.
.PHONY: check-models-fast
check-models-fast: need-models
	cd models && $(CARGO) build --quiet --release --locked --target-dir ../target/workspaces
	$(PROVE) target/workspaces/release/models :: --fast

.PHONY: coverage
coverage: need-coverage ## which lines of crates/core, crates/keys and src/libssl the fuzz corpus reaches
	@scripts/coverage fuzz

.PHONY: coverage-tests
coverage-tests: need-coverage need-core ## which lines of crates/core, crates/keys and crates/cli the Rust tests reach (minutes)
	@scripts/coverage tests
