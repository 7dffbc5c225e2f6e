# Hostile input, faults, endurance: SECURITY.md says which claim rests on which of these.

FUZZ_SECONDS ?= 60
TS_ATTEMPTS  ?= 20000

.PHONY: fuzz
fuzz: ## five fuzz targets under AddressSanitizer, FUZZ_SECONDS=60 for each (FUZZ=ticket for one)
	@scripts/install build-essential libssl-dev
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ)

.PHONY: fuzz-replay
fuzz-replay: ## the fuzz targets on the inputs that are kept in fuzz/corpus, without a search
	@scripts/install build-essential libssl-dev
	@fuzz/run --replay $(FUZZ)

.PHONY: fuzz-corpus
fuzz-corpus: ## make fuzz/corpus the smallest set of inputs that covers what was found
	@fuzz/run --minimise $(FUZZ)

.PHONY: check-hostile
check-hostile: build ## 40,000 tickets that are none, against live nginx and s_server; faults (about five minutes)
	@scripts/install nginx openssl perl python3 gdb
	TS_ATTEMPTS=$(TS_ATTEMPTS) $(PROVE) c-tests/hostile/*.t

.PHONY: check-hostile-fast
check-hostile-fast: build
	@scripts/install nginx openssl perl python3 gdb
	TS_SHORT=1 TS_ATTEMPTS=1000 prove -j2 --exec '' c-tests/hostile/*.t

.PHONY: check-endurance
check-endurance: build ## ten minutes of clients, reloads, killed workers, re-seeds (TS_SECONDS=600); as root
	@scripts/install nginx openssl perl python3 procps
	$(PROVE) c-tests/hostile/endurance

.PHONY: endurance-table
endurance-table: build ## the same, and write the table into docs/hostile.md
	@scripts/install nginx openssl perl python3 procps
	TS_TABLE=docs/hostile.md $(PROVE) c-tests/hostile/endurance

.PHONY: check-sanitizers
check-sanitizers: build fault-build ## AddressSanitizer, UBSan, ThreadSanitizer, memcheck (a quarter of an hour; SANITIZE=threads for a part)
	@scripts/install valgrind openssl python3 procps nginx
	$(PROVE) scripts/check-sanitizers :: $(SANITIZE)

.PHONY: coverage
coverage: ## which lines of crates/core, crates/keys and src/libssl the fuzz corpus reaches
	@scripts/coverage
