/*
 * names.c: a server with as many names as come, one of which asks its clients for certificates and is never visited.
 *
 *   names NAMES WORKERS MADE_UP
 *
 * It forks workers, which are visited under each name once, and then a second time with the ticket that another worker
 * gave: all resume. Then one worker is visited under MADE_UP names that nobody comes back to, and under the first 200 names
 * of before again: all resume. Prints what the table takes of memory and how long a visit took. With TS_LOCK_ALL in its
 * environment it has its memory locked first.
 */
#define _GNU_SOURCE /* mincore() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ts.h"

#define SHOP   "shop.example"
#define ROOM   2048           /* for a session */
#define REGULARS 200

typedef struct kept {
    int len;
    unsigned char der[ROOM];
} kept;

/* Shared by all processes. */
typedef struct sums {
    long resumed[64], opened[64], broken[64];
} sums;

static SSL_CTX *first, *open_host, *shop, *clients[2];
static kept *sessions;
static sums *sum;

static int by_name(SSL *ssl, int *al, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)al;
    (void)arg;
    SSL_set_SSL_CTX(ssl, name != NULL && strcmp(name, SHOP) == 0 ? shop : open_host);
    return SSL_TLSEXT_ERR_OK;
}

static void *share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        ts_bail("no memory to share");
    return p;
}

/* One connection, with the kept session if there is one; keeps the one that it gives. */
static void visit(int worker, long n, const char *kind)
{
    const unsigned char *der = sessions[n].der;
    unsigned char *out = sessions[n].der;
    SSL_SESSION *offer = sessions[n].len > 0 ? d2i_SSL_SESSION(NULL, &der, sessions[n].len) : NULL, *next;
    char name[64];
    ts_conn *c;

    snprintf(name, sizeof(name), "%s-%ld.example", kind, n);
    /* Versions in turn. */
    c = ts_connect_to(first, clients[n % 2], offer, name);
    sum->resumed[worker] += c->server.resumed;
    sum->broken[worker] += !c->established;
    next = ts_session(c);
    if (next != NULL && i2d_SSL_SESSION(next, NULL) <= ROOM)
        sessions[n].len = i2d_SSL_SESSION(next, &out);
    SSL_SESSION_free(next);
    SSL_SESSION_free(offer);
    ts_conn_free(c);
}

/* All names, by as many workers; seconds of one of them. */
static double visits(const char *kind, long names, int workers, int shift)
{
    struct timespec before, after;

    memset(sum, 0, sizeof(*sum));
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int worker = 0; worker < workers; worker++) {
        pid_t pid = fork();

        if (pid < 0)
            ts_bail("cannot fork");
        if (pid == 0) {
            struct ticketshim_stats old, now;

            ts_stats(&old);
            for (long n = (worker + shift) % workers; n < names; n += workers)
                visit(worker, n, kind);
            ts_stats(&now);
            sum->opened[worker] = (long)(now.opened - old.opened);
            _exit(0);
        }
    }
    for (int worker = 0, status; worker < workers; worker++)
        if (wait(&status) < 0 || status != 0)
            ts_bail("a worker ended with status %d", status);
    clock_gettime(CLOCK_MONOTONIC, &after);
    return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
}

static long all(const long *of)
{
    long total = 0;

    for (size_t i = 0; i < 64; i++)
        total += of[i];
    return total;
}

/* What the largest mapping of address space alone has taken, and its size. */
static void table(long *taken, long *size)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    long page = sysconf(_SC_PAGESIZE);

    *taken = *size = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        unsigned long start, end;
        unsigned char *in;

        if (sscanf(line, "%lx-%lx rw-s", &start, &end) != 2 || strstr(line, "/dev/zero") == NULL
            || start == (unsigned long)sessions || (long)(end - start) < *size)
            continue;
        *size = (long)(end - start);
        *taken = 0;
        if ((in = malloc((size_t)(*size / page))) == NULL || mincore((void *)start, (size_t)*size, in) != 0)
            ts_bail("cannot look at memory");
        for (long i = 0; i < *size / page; i++)
            *taken += (in[i] & 1) * page;
        free(in);
    }
    if (f != NULL)
        fclose(f);
}

int main(int argc, char **argv)
{
    long names = argc == 4 ? atol(argv[1]) : 0, made_up = argc == 4 ? atol(argv[3]) : 0, taken, size;
    int workers = argc == 4 ? atoi(argv[2]) : 0;
    ts_cert *ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    const ts_place demands = { .client_ca = ca };
    double seconds;

    /* A program that has all its memory locked: what is reserved would be taken at once. */
    if (getenv("TS_LOCK_ALL") != NULL && mlockall(MCL_FUTURE) != 0)
        ts_bail("mlockall fails");
    if (names < REGULARS || workers < 1 || workers > 64 || names % workers != 0)
        ts_bail("usage: names NAMES WORKERS MADE_UP");
    first = ts_server_ctx(TS_TLS13);
    open_host = ts_server_ctx(TS_TLS13);
    shop = ts_place_new(TS_TLS13, &demands);
    for (SSL_CTX **ctx = (SSL_CTX *[]){ first, open_host, shop, NULL }; *ctx != NULL; ctx++)
        SSL_CTX_set_min_proto_version(*ctx, TLS1_2_VERSION);
    SSL_CTX_set_tlsext_servername_callback(first, by_name);
    clients[0] = ts_client_ctx(TS_TLS13);
    clients[1] = ts_client_ctx(TS_TLS12);
    sessions = share((size_t)(names > made_up ? names : made_up) * sizeof(*sessions));
    sum = share(sizeof(*sum));

    seconds = visits("name", names, workers, 0);
    ts_is_int(all(sum->broken), 0, "%ld names, %d workers: the first visit", names, workers);
    ts_is_int(all(sum->resumed), 0, "… in full");
    ts_diag("full: %.0f us of a worker for each visit", seconds * 1e6 * workers / (double)names);
    seconds = visits("name", names, workers, 1);
    ts_is_int(all(sum->broken), 0, "the second visit, at another worker");
    ts_is_int(all(sum->resumed), names, "… all resume");
    if (ts_shim_expected())
        ts_is_int(all(sum->opened), names, "… by tickets that were opened here");
    ts_diag("resumed: %.0f us of a worker for each visit", seconds * 1e6 * workers / (double)names);
    table(&taken, &size);
    ts_diag("the table: %ld KiB of %ld KiB", taken / 1024, size / 1024);

    if (made_up > 0) {
        kept *regulars = share(REGULARS * sizeof(*regulars));

        memcpy(regulars, sessions, REGULARS * sizeof(*regulars));
        for (long n = 0; n < made_up; n++)
            sessions[n].len = 0;
        visits("made-up", made_up, 1, 0);
        ts_is_int(all(sum->broken), 0, "%ld made-up names", made_up);
        memcpy(sessions, regulars, REGULARS * sizeof(*regulars));
        visits("name", REGULARS, 1, 0);
        ts_is_int(all(sum->resumed), REGULARS, "… and all of the first %d resume", REGULARS);
    }
    /* This process itself; the workers are above. */
    SSL_SESSION_free(ts_fresh_session(first, clients[0]));
    ts_expect_core_min(1, 0);
    return ts_done();
}
