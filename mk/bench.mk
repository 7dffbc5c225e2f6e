# What tickets cost: benches/ and docs/performance.md.

BENCH := target/bench
BENCH_CC = $(CC) -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -Ic-tests/harness -Iinclude
BENCH_LIBS = $(BENCH)/harness.a -lssl -lcrypto -ldl -lpthread
BENCH_SOURCES = benches/handshake/main.c benches/handshake/lane.c

$(BENCH)/handshake: $(wildcard benches/handshake/*.[ch] c-tests/harness/*.[ch]) include/ticketshim.h mk/bench.mk
	@mkdir -p $(BENCH)
	@$(MAKE) -s -C c-tests OUT=$(abspath $(BENCH)) CFLAGS=-O2 $(abspath $(BENCH))/harness.a
	@$(BENCH_CC) -rdynamic -o $@-fast-clock $(BENCH_SOURCES) benches/handshake/clock.c $(BENCH_LIBS)
	@$(BENCH_CC) -o $@ $(BENCH_SOURCES) $(BENCH_LIBS)

.PHONY: bench-handshake
bench-handshake: build $(BENCH)/handshake ## handshakes with and without the shim by turns: the server's CPU time (3 minutes; PAIRS=9)
	benches/handshake/run $(ROWS)
