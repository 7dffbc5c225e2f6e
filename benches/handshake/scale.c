/*
 * scale.c: what a ticket costs as there is more of everything: processes, epochs, threads. And the memory of it all. Run with
 * and without the shim by benches/handshake/scale.
 *
 *   scale processes N     tickets are issued by the last of N processes that were forked from one start; the others idle
 *   scale idle            a context, and nothing else: another start, for the one above to have company
 *   scale epochs N WHAT   one epoch lasts an hour (the caller's settings). WHAT is "open": a ticket of N - 1 epochs ago; or
 *                         "issue", after N - 1 epochs. Only in the program with a clock that can be set (clock.c)
 *   scale threads N HOW   resumed handshakes in N threads. HOW is "stay", or "new": a thread for each connection
 *
 * Each then says "ready", and answers lines of stdin until it is closed: a number of operations (of each thread) by the CPU
 * nanoseconds that they took together, "memory" by what /proc says in kB: anonymous, of that in the library's own mappings,
 * anonymous and shared, locked.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lane.h"

#define WARM_UP 64
#define MOST 8
#define HOUR 3600

/* In the program with clock.c only: seconds that its clock is ahead. */
extern long long clock_ahead __attribute__((weak));

static lane lanes[MOST];
static int count = 1, new_threads, over;
static long operations;
static pthread_t threads[MOST];
static pthread_barrier_t slice_begins, slice_ends;

static void *one(void *arg)
{
    lane_run(arg, 1);
    return NULL;
}

static void run(lane *l, long n)
{
    pthread_t thread;

    if (!new_threads) {
        lane_run(l, n);
        return;
    }
    for (long i = 0; i < n; i++)
        if (pthread_create(&thread, NULL, one, l) != 0 || pthread_join(thread, NULL) != 0)
            ts_bail("no thread");
}

static void *work(void *arg)
{
    for (;;) {
        pthread_barrier_wait(&slice_begins);
        if (over)
            return NULL;
        run(arg, operations);
        pthread_barrier_wait(&slice_ends);
    }
}

static void slice(long n)
{
    unsigned long long ns = 0;
    uint64_t sealed = 0, opened = 0;

    operations = n;
    for (int i = 0; i < count; i++)
        lanes[i].ns = 0;
    pthread_barrier_wait(&slice_begins);
    pthread_barrier_wait(&slice_ends);
    for (int i = 0; i < count; i++) {
        ns += lanes[i].ns;
        sealed += (uint64_t)lanes[i].sealed;
        opened += (uint64_t)lanes[i].opened;
    }
    lane_check_core(sealed, opened);
    printf("%llu\n", ns);
}

/* Adds up a field of smaps, or of what is given, over all mappings, or over those of files of that name. */
static long kilobytes(const char *path, const char *field, const char *of)
{
    FILE *f = fopen(path, "r");
    char line[4096], word[64];
    long sum = 0, kb;
    int inside = of == NULL;

    if (f == NULL)
        ts_bail("no %s", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%63[A-Za-z_]: %ld kB", word, &kb) == 2)
            sum += inside && strcmp(word, field) == 0 ? kb : 0;
        else if (of != NULL && strchr(line, '-') != NULL)
            inside = strstr(line, of) != NULL;
    }
    fclose(f);
    return sum;
}

static void memory(void)
{
    /* Shared pages that are no file's: what is forked from here has the same. */
    printf("%ld %ld %ld %ld\n", kilobytes("/proc/self/smaps", "Anonymous", NULL),
           kilobytes("/proc/self/smaps", "Anonymous", "/libticketshim.so"),
           kilobytes("/proc/self/smaps", "Rss", "/dev/zero"), kilobytes("/proc/self/status", "VmLck", NULL));
}

static void serve(void)
{
    char line[32];

    if (pthread_barrier_init(&slice_begins, NULL, (unsigned)count + 1) != 0
        || pthread_barrier_init(&slice_ends, NULL, (unsigned)count + 1) != 0)
        ts_bail("no barrier");
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &lanes[i]) != 0)
            ts_bail("no thread");
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "memory\n") == 0)
            memory();
        else
            slice(atol(line));
        fflush(stdout);
    }
    over = 1;
    pthread_barrier_wait(&slice_begins);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        lane_down(&lanes[i]);
    }
}

static void lanes_up(ts_proto proto, lane_what what, SSL_CTX *srv)
{
    for (int i = 0; i < count; i++) {
        lanes[i].proto = proto;
        lanes[i].what = what;
        lane_up(&lanes[i], i == 0 ? srv : lanes[0].srv);
        lane_run(&lanes[i], WARM_UP);
    }
}

/* Until stdin, or the pipe that a parent holds, is closed. */
static void idle(int fd)
{
    char byte;

    while (read(fd, &byte, 1) > 0)
        ;
}

/* The others have a context that the shim is attached to, as a server's workers do. The measured one makes its own. */
static void processes(int n)
{
    SSL_CTX *first = ts_server_ctx(TS_TLS13);
    int ends[2], status;
    pid_t last = -1;

    if (pipe(ends) != 0)
        ts_bail("no pipe");
    for (int i = 1; i < n; i++) {
        if ((last = fork()) < 0)
            ts_bail("no process");
        if (last == 0) {
            close(ends[1]);
            if (i < n - 1) {
                close(STDOUT_FILENO);
                idle(ends[0]);
                _exit(0);
            }
            break;
        }
    }
    if (last > 0) {
        close(STDOUT_FILENO);
        if (waitpid(last, &status, 0) != last || status != 0)
            ts_bail("the measured process failed");
        close(ends[1]);
        while (wait(NULL) > 0)
            ;
        SSL_CTX_free(first);
        return;
    }
    lanes_up(TS_TLS13, LANE_ISSUE, NULL);
    serve();
    SSL_CTX_free(first);
}

static SSL_TICKET_RETURN use(SSL *s, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                             SSL_TICKET_STATUS status, void *arg)
{
    (void)s;
    (void)session;
    (void)name;
    (void)name_len;
    (void)arg;
    /* Not renewed: the old ticket is asked for. */
    return status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE
                                                                              : SSL_TICKET_RETURN_IGNORE_RENEW;
}

/* Is the ticket that is offered the first one? Have the shim's keys changed with the hours? */
static void check_epochs(const lane *l, int n, int opening)
{
    struct ticketshim_stats s;

    if (opening && l->tickets != 1)
        ts_bail("%ld tickets came, not one old one", l->tickets);
    if (!ts_shim_loaded())
        return;
    ts_stats(&s);
    if (opening ? n > 1 && s.renewed < (uint64_t)n - 1 : l->keys < n)
        ts_bail("keys did not change %d times", n - 1);
}

static void epochs(int n, int opening)
{
    ts_proto proto = opening ? TS_TLS12 : TS_TLS13;
    SSL_CTX *srv = ts_server_ctx(proto);

    if (&clock_ahead == NULL)
        ts_bail("the clock of this program cannot be set");
    /* libssl's own limit is not what is asked for. */
    SSL_CTX_set_timeout(srv, 14 * 24 * HOUR);
    if (opening && SSL_CTX_set_session_ticket_cb(srv, NULL, use, NULL) != 1)
        ts_bail("cannot set the ticket callback");
    lanes_up(proto, opening ? LANE_HELLO : LANE_ISSUE, srv);
    /* Epoch by epoch, as they go by under a server that has something to do. */
    for (int i = 1; i < n; i++) {
        clock_ahead += HOUR;
        lane_run(&lanes[0], 1);
    }
    check_epochs(&lanes[0], n, opening);
    serve();
    SSL_CTX_free(srv);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *how = argc > 3 ? argv[3] : "";
    int n = argc > 2 ? atoi(argv[2]) : 0;

    ts_before_threads();
    if (strcmp(what, "processes") == 0 && n >= 1) {
        processes(n);
    } else if (strcmp(what, "idle") == 0) {
        SSL_CTX *srv = ts_server_ctx(TS_TLS13);

        printf("ready\n");
        fflush(stdout);
        idle(STDIN_FILENO);
        SSL_CTX_free(srv);
    } else if (strcmp(what, "epochs") == 0 && n >= 1) {
        epochs(n, strcmp(how, "open") == 0);
    } else if (strcmp(what, "threads") == 0 && n >= 1 && n <= MOST) {
        count = n;
        new_threads = strcmp(how, "new") == 0;
        lanes_up(TS_TLS13, LANE_RESUMED, NULL);
        serve();
    } else {
        ts_bail("scale what?");
    }
    return 0;
}
