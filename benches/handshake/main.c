/*
 * main.c: one row of the handshake bench, in one process, with or without the shim.
 *
 *   handshake ROW            slices of operations on request: a number of operations on a line of stdin, the result on a
 *                            line of stdout; run by run, which asks two of these by turns
 *   handshake ROW --traps N  N operations with a trap before and after each measured call, for steps.c; for callgrind
 *                            where it is built for that (benches/guard)
 *   handshake --rows         the names of the rows
 */
#define _GNU_SOURCE /* sleep() */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lane.h"

#define WARM_UP 64

static const struct row {
    const char *name;
    ts_proto proto;
    lane_what what;
    size_t appdata_len;
    int may_miss, threads, client_cert;
} rows[] = {
    { "resumed-1.3", TS_TLS13, LANE_RESUMED, 0, 0, 1, 0 },
    { "resumed-1.2", TS_TLS12, LANE_RESUMED, 0, 0, 1, 0 },
    { "full-1.3", TS_TLS13, LANE_FULL, 0, 0, 1, 0 },
    { "issue-1.3", TS_TLS13, LANE_ISSUE, 0, 0, 1, 0 },
    { "open-1.2", TS_TLS12, LANE_HELLO, 0, 0, 1, 0 },
    { "issue-1000", TS_TLS13, LANE_ISSUE, 1000, 0, 1, 0 },
    { "issue-3000", TS_TLS13, LANE_ISSUE, 3000, 0, 1, 0 },
    { "cert-issue-1.3", TS_TLS13, LANE_ISSUE, 0, 0, 1, 1 },
    { "cert-resumed-1.3", TS_TLS13, LANE_RESUMED, 0, 0, 1, 1 },
    { "cert-full-1.3", TS_TLS13, LANE_FULL, 0, 0, 1, 1 },
    { "epochs", TS_TLS13, LANE_RESUMED, 0, 1, 1, 0 },
    { "threads-resumed-1.3", TS_TLS13, LANE_RESUMED, 0, 0, 2, 0 },
    { "threads-issue-1.3", TS_TLS13, LANE_ISSUE, 0, 0, 2, 0 },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

typedef struct job {
    lane lane;
    long n;          /* 0: nothing to do this time */
} job;

/* Of rows with two threads: both begin a slice together, and end it. They are never new, as a server's are not. */
static pthread_barrier_t slice_begins, slice_ends;
static int over;

static void *work(void *arg)
{
    job *j = arg;

    for (;;) {
        pthread_barrier_wait(&slice_begins);
        if (over)
            return NULL;
        lane_run(&j->lane, j->n);
        pthread_barrier_wait(&slice_ends);
    }
}

static void start_threads(job *jobs, int count, pthread_t *threads)
{
    if (pthread_barrier_init(&slice_begins, NULL, (unsigned)count + 1) != 0
        || pthread_barrier_init(&slice_ends, NULL, (unsigned)count + 1) != 0)
        ts_bail("no barrier");
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0)
            ts_bail("no thread");
}

static void end_threads(int count, pthread_t *threads)
{
    over = 1;
    pthread_barrier_wait(&slice_begins);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* `n` operations in each of the first `active` of `count` threads. CPU time of the server's calls in all of them. */
static uint64_t slice(job *jobs, int count, int active, long n)
{
    uint64_t ns = 0;

    for (int i = 0; i < count; i++) {
        jobs[i].lane.ns = 0;
        jobs[i].n = i < active ? n : 0;
    }
    if (count == 1) {
        lane_run(&jobs[0].lane, n);
    } else {
        pthread_barrier_wait(&slice_begins);
        pthread_barrier_wait(&slice_ends);
    }
    for (int i = 0; i < count; i++)
        ns += jobs[i].lane.ns;
    return ns;
}

/* Did the core, and nothing else, do what the lanes saw? */
static void check_core(const job *jobs, int count)
{
    uint64_t sealed = 0, opened = 0;

    for (int i = 0; i < count; i++) {
        sealed += (uint64_t)jobs[i].lane.sealed;
        opened += (uint64_t)jobs[i].lane.opened;
    }
    lane_check_core(sealed, opened);
}

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    ts_bail("there is no row %s", name);
}

static void serve(job *jobs, int count)
{
    char line[32];

    printf("ready %d\n", count);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        long n = atol(line), missed = 0;
        uint64_t ns = slice(jobs, count, 1, n), both = count > 1 ? slice(jobs, count, count, n) : 0;

        check_core(jobs, count);
        for (int i = 0; i < count; i++)
            missed += jobs[i].lane.missed;
        /* CPU time of one thread's n operations, of all threads' n each; missed resumptions, changes of key, so far. */
        printf("%llu %llu %ld %ld\n", (unsigned long long)ns, (unsigned long long)both, missed, jobs[0].lane.keys);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    job jobs[2];
    pthread_t threads[2];
    const struct row *row;

    if (argc == 2 && strcmp(argv[1], "--rows") == 0) {
        for (size_t i = 0; i < ROWS; i++)
            puts(rows[i].name);
        return 0;
    }
    if (argc < 2)
        ts_bail("which row? (--rows lists them)");
    row = find(argv[1]);
    ts_before_threads();
    memset(jobs, 0, sizeof(jobs));
    for (int i = 0; i < row->threads; i++) {
        lane *l = &jobs[i].lane;

        l->proto = row->proto;
        l->what = row->what;
        l->appdata_len = row->appdata_len;
        l->client_cert = row->client_cert;
        l->may_miss = row->may_miss;
        lane_up(l, i == 0 ? NULL : jobs[0].lane.srv);
        lane_run(l, WARM_UP);
    }
    if (argc == 4 && strcmp(argv[2], "--traps") == 0) {
        /* So that keys may change before. */
        sleep(getenv("BENCH_PAUSE") != NULL ? 2 : 0);
        lane_traps = 1;
        slice(jobs, 1, 1, atol(argv[3]));
        lane_traps = 0;
    } else {
        printf("bytes %ld\n", lane_overhead(&jobs[0].lane));
        if (row->threads > 1)
            start_threads(jobs, row->threads, threads);
        serve(jobs, row->threads);
        if (row->threads > 1)
            end_threads(row->threads, threads);
    }
    check_core(jobs, row->threads);
    for (int i = 0; i < row->threads; i++)
        lane_down(&jobs[i].lane);
    return 0;
}
