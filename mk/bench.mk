# What tickets cost: benches/ and docs/performance.md.

BENCH := target/bench
BENCH_CC = $(CC) -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -Ic-tests/harness -Iinclude
BENCH_LIBS = $(BENCH)/harness.a -lssl -lcrypto -ldl -lpthread
BENCH_SOURCES = benches/handshake/main.c benches/handshake/lane.c

$(BENCH)/handshake: $(wildcard benches/handshake/*.[ch] c-tests/harness/*.[ch]) include/ticketshim.h mk/bench.mk
	@mkdir -p $(BENCH)
	@$(MAKE) -s -C c-tests OUT=$(abspath $(BENCH)) CFLAGS=-O2 $(abspath $(BENCH))/harness.a
	@$(BENCH_CC) -rdynamic -o $@-fast-clock $(BENCH_SOURCES) benches/handshake/clock.c $(BENCH_LIBS)
	@$(BENCH_CC) -o $(BENCH)/growth benches/handshake/growth.c $(BENCH_LIBS)
	@$(BENCH_CC) -rdynamic -DFASTER=1 -o $(BENCH)/scale-clock benches/handshake/scale.c benches/handshake/lane.c benches/handshake/clock.c $(BENCH_LIBS)
	@$(BENCH_CC) -o $(BENCH)/scale benches/handshake/scale.c benches/handshake/lane.c $(BENCH_LIBS)
	@$(BENCH_CC) -o $@ $(BENCH_SOURCES) $(BENCH_LIBS)

.PHONY: bench-handshake
bench-handshake: build $(BENCH)/handshake ## handshakes with and without the shim by turns: the server's CPU time (5 minutes; PAIRS=25)
	benches/handshake/run $(ROWS)

.PHONY: bench-growth
bench-growth: build $(BENCH)/handshake ## what more contexts, processes, epochs and threads cost, and memory (two minutes)
	benches/handshake/growth
	benches/handshake/scale

$(BENCH)/steps: benches/steps/steps.c mk/bench.mk
	@mkdir -p $(BENCH)
	@$(CC) -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -o $@ $<

.PHONY: bench-instructions
bench-instructions: build $(BENCH)/handshake $(BENCH)/steps ## instructions for each ticket, and which of the processor's own are used (a minute)
	benches/steps/run

# The header that this is built with comes with valgrind.
$(BENCH)/handshake-callgrind: $(BENCH)/handshake | need-instructions
	@$(BENCH_CC) -DBENCH_CALLGRIND -o $@ $(BENCH_SOURCES) $(BENCH_LIBS)

.PHONY: check-instructions
ifeq ($(shell uname -m),x86_64)
check-instructions: need-instructions build $(BENCH)/handshake-callgrind ## instructions for each ticket, under valgrind, against limits (ten seconds)
	benches/guard
else
check-instructions:
	@echo "check-instructions: n/a: its limits are of x86-64 code, this is $$(uname -m)"
endif

$(BENCH)/deploy-clients: benches/deploy/clients.c mk/bench.mk
	@mkdir -p $(BENCH)
	@$(CC) -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -o $@ $< -lssl -lcrypto

.PHONY: bench-deploy
bench-deploy: need-deploy build $(BENCH)/deploy-clients ## 5,000 clients come back to nginx and HAProxy after a restart, a reload, a dead host (half an hour; DEPLOY="--rounds 1")
	benches/deploy/run $(DEPLOY)
	$(if $(DEPLOY),,benches/deploy/report)

.PHONY: check-deploy-fast
check-deploy-fast: need-deploy build $(BENCH)/deploy-clients ## the bench of a deploy with few clients: it measures what it says (ten seconds)
	benches/deploy/run --clients 40 --flight 20 --rounds 1 --seconds 2 --only "nginx 1.3 p256" --no-growth --out $(BENCH)/deploy-fast.json

.PHONY: bench-core
bench-core: ## the core by itself beside OpenSSL's EVP, ring and rustls (criterion; 3 minutes)
	cd benches/core && $(CARGO) bench --locked --bench tickets -- --warm-up-time 0.5 --measurement-time 1 --sample-size 40

.PHONY: bench-report
bench-report: ## write docs/performance.md and its plot from what `make bench` has measured
	benches/report
