/*
 * stderr.c: whatever becomes of descriptor 2, a line of the log goes only into
 * a log, never into what the program opened for something else.
 * ts-run: TICKETSHIM_BIND=nonsense
 *
 * Each case is a run of this program of its own, because what was stderr when
 * the library was loaded counts.
 */
#define _GNU_SOURCE /* pipe2, dup3 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

/* What descriptor 2 is when the first context is made: each gives where what was written there can be read. */

static char path[] = "/tmp/ticketshim-stderr.XXXXXX";

static int put(int fd)
{
    /* Into the lowest that is free: 2. */
    int here = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    close(fd);
    return here;
}

static int by_socket(void)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    /* One of them took the place already. */
    return ends[0] == 2 ? ends[1] : put(ends[0]) == 2 ? ends[1] : -1;
}

static int by_pipe(void)
{
    int ends[2], reads, writes;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    reads = fcntl(ends[0], F_DUPFD_CLOEXEC, 10);
    writes = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
    close(ends[0]);
    close(ends[1]);
    return put(writes) == 2 ? reads : -1;
}

static int by_file(void)
{
    int reads = mkstemp(path), moved = fcntl(reads, F_DUPFD_CLOEXEC, 10);

    close(reads);
    return open(path, O_WRONLY | O_APPEND | O_CLOEXEC) == 2 ? moved : -1;
}

/* As daemons put a log there: dup2(2), which takes the close-on-exec flag away. */
static int by_log(void)
{
    int reads = by_file();

    return reads >= 0 && dup3(fcntl(2, F_DUPFD_CLOEXEC, 10), 2, 0) == 2 ? reads : -1;
}

static const struct { const char *name; int (*make)(void); } things[] = {
    { "a socket", by_socket },
    { "a pipe", by_pipe },
    { "a file that is appended to", by_file },
    { "a log that was put there", by_log },
};
enum { THINGS = sizeof(things) / sizeof(*things), LOG = THINGS - 1 };

/* The inner run: 0 for not a byte, 1 for a line of ours, else trouble. */
static int inner(int thing)
{
    SSL_CTX *ctx;
    char line[256];
    int from;
    ssize_t n;

    close(2);
    from = things[thing].make();
    if (from < 0 || fcntl(from, F_SETFL, O_NONBLOCK) != 0)
        return 3;
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_free(ctx);
    n = read(from, line, sizeof(line));
    unlink(path);
    if (ctx == NULL || !ts_shim_loaded())
        return 4;
    return n <= 0 ? 0 : (size_t)n > 11 && memcmp(line, "ticketshim:", 11) == 0 ? 1 : 5;
}

/* Runs this program again, with or without a stderr. */
static int outer(const char *self, int thing, int closed)
{
    char number[4];
    int status, fd;
    pid_t pid;

    snprintf(number, sizeof(number), "%d", thing);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (closed)
            close(2);
        else
            dup2(fd, 2);
        execl(self, self, number, (char *)NULL);
        _exit(9);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return inner(atoi(argv[1]));
    for (int closed = 0; closed < 2; closed++)
        for (int i = 0; i < THINGS; i++)
            ts_is_int(outer("/proc/self/exe", i, closed), i == LOG && !closed,
                      "%s, then 2 is %s: %s", closed ? "no stderr" : "stderr", things[i].name,
                      i == LOG && !closed ? "a line" : "not a byte");
    /* The core, too, is there. */
    ts_expect_core_unused();
    return ts_done();
}
