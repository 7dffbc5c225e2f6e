/*
 * limits.c: programs that have reached their limits (setrlimit), and one that
 * has cleared its environment: contexts are made, tickets sealed, opened and
 * rotated as before.
 * ts-run:
 * ts-run: TICKETSHIM_ROTATE=1s TICKETSHIM_ACCEPT=60s TICKETSHIM_STATE=/dev/shm/ticketshim-none/state TICKETSHIM_LOG=off
 */
#define _GNU_SOURCE /* clearenv */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ts.h"

/* Memory of the program's own, which its limit then does not cover any more. */
static rlim_t pages_in_use(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%ld", &pages) != 1)
        ts_bail("cannot read /proc/self/statm");
    fclose(f);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static const struct { const char *name; int which; rlim_t limit; } limits[] = {
    { "no descriptors", RLIMIT_NOFILE, 3 },
    { "no file may grow", RLIMIT_FSIZE, 0 },
    { "no processes", RLIMIT_NPROC, 0 },
    { "no locked memory", RLIMIT_MEMLOCK, 0 },
    { "little memory", RLIMIT_AS, 16UL << 20 },
};

/* Says nothing: stdout may be a file. */
static int resumes(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *session = ts_fresh_session(srv, cli);
    ts_conn *c = ts_connect(srv, cli, session);
    int resumed = strcmp(ts_outcome(c), ts_resumed(proto)) == 0;

    ts_expect_core_min(ts_full_tickets(proto), 1);
    ts_conn_free(c);
    SSL_SESSION_free(session);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    return resumed;
}

int main(void)
{
    const ts_proto protos[] = { TS_TLS12, TS_TLS13 };
    int shim = ts_shim_expected();

    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
            struct rlimit before, now;
            int well;

            fflush(stdout);

            if (getrlimit(limits[i].which, &before) != 0)
                ts_bail("no limits");
            now = before;
            now.rlim_cur = limits[i].limit;
            if (limits[i].which == RLIMIT_AS)
                now.rlim_cur += pages_in_use();
            if (setrlimit(limits[i].which, &now) != 0)
                ts_bail("a limit cannot be set");
            well = resumes(protos[p]);
            setrlimit(limits[i].which, &before);
            ts_ok(well, "%s: %s", ts_proto_name(protos[p]), limits[i].name);
        }
        clearenv();
        if (shim)
            setenv("TS_EXPECT_SHIM", "1", 1); /* the harness's own */
        ts_ok(resumes(protos[p]), "%s: an empty environment", ts_proto_name(protos[p]));
    }
    return ts_done();
}
