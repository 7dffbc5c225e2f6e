/*
 * children.c: children that share their parent's memory (vfork, posix_spawn,
 * clone with CLONE_VM), and memory that may not be made executable. Before,
 * inside and afterwards tickets resume.
 */
#define _GNU_SOURCE /* clone */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

extern char **environ;

static char *arguments[] = { (char *)"true", NULL };
static const char *program = "/bin/true";

static int ends_well(pid_t pid)
{
    int status;

    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status)
           && WEXITSTATUS(status) == 0;
}

static int by_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execv(program, arguments);
        _exit(1);
    }
    return ends_well(pid);
}

static int by_vfork_alone(void)
{
    pid_t pid = vfork();

    if (pid == 0)
        _exit(0);
    return ends_well(pid);
}

static int by_spawn(void)
{
    pid_t pid;

    return posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0
           && ends_well(pid);
}

/* ---- clone with CLONE_VM: a process that uses its parent's contexts ------------------- */

static ts_proto proto;
static SSL_CTX *srv, *cli;
static SSL_SESSION *session;
static int resumed;

static int serve(void *nothing)
{
    ts_conn *c = ts_connect(srv, cli, session);

    (void)nothing;
    resumed = strcmp(ts_outcome(c), ts_resumed(proto)) == 0;
    if (resumed)
        ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    return 0;
}

static int nothing_at_all(void *nothing)
{
    (void)nothing;
    return 0;
}

static int by_clone(int (*what)(void *), int flags)
{
    size_t size = 1 << 20;
    char *stack = malloc(size);
    pid_t pid = stack != NULL ? clone(what, stack + size, CLONE_VM | flags | SIGCHLD, NULL) : -1;
    int well = ends_well(pid);

    free(stack);
    return well;
}

static int by_clone_that_serves(void)
{
    resumed = 0;
    return by_clone(serve, CLONE_VFORK) && resumed;
}

static int by_clone_beside(void) { return by_clone(nothing_at_all, 0); }

/* From here on no memory is made executable (Linux 6.3; elsewhere nothing changes). */
static int by_mdwe(void)
{
    const int set_mdwe = 65; /* PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN */

    return prctl(set_mdwe, 1UL, 0UL, 0UL, 0UL) == 0 || errno == EINVAL;
}

static const struct { const char *name; int (*make)(void); } ways[] = {
    { "vfork", by_vfork_alone },
    { "vfork and exec", by_vfork },
    { "posix_spawn", by_spawn },
    { "clone with CLONE_VM, and a handshake in there", by_clone_that_serves },
    { "clone with CLONE_VM, beside its parent", by_clone_beside },
    { "no memory may become executable", by_mdwe },
};

int main(void)
{
    const ts_proto protos[] = { TS_TLS12, TS_TLS13 };

    for (size_t p = 0; p < 2; p++) {
        proto = protos[p];
        srv = ts_server_ctx(proto);
        cli = ts_client_ctx(proto);
        session = ts_fresh_session(srv, cli);
        ts_expect_core(ts_full_tickets(proto), 0);
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
            ts_conn *c;

            ts_ok(ways[i].make(), "%s: %s", ts_proto_name(proto), ways[i].name);
            c = ts_connect(srv, cli, session);
            ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: … and then a ticket resumes",
                      ts_proto_name(proto));
            ts_expect_core(c->tickets, 1);
            ts_conn_free(c);
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
    return ts_done();
}
