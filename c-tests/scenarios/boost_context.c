/*
 * boost_context.c: handshakes, server and client, on stacks that boost.context's
 * fcontext switches to (as boost::context::fiber and boost.coroutine2 do): of
 * 64 KiB, and of the smallest size, in steps of 16 KiB, on which stock leaves
 * 4 KiB unused.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

#ifdef HAVE_BOOST_CONTEXT

#define KIB 1024
#define STEP ((size_t)16 * KIB)
#define MOST (4 * STEP)
#define SPARE 4096
#define PAINT 0xa5

/* boost/context/detail/fcontext.hpp, which is for C++ alone. */
typedef struct transfer {
    void *from, *data;
} transfer;
extern transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*f)(transfer));

/* What one handshake, and one more with its ticket, came to. */
typedef struct pair {
    SSL_CTX *srv, *cli;
    int full, resumed;
} pair;

static void shake_twice(pair *p)
{
    ts_conn *c = ts_connect(p->srv, p->cli, NULL);
    SSL_SESSION *ss = ts_session(c);

    p->full = c->established && !c->server.resumed;
    ts_conn_free(c);
    c = ts_connect(p->srv, p->cli, ss);
    p->resumed = c->established && c->server.resumed;
    ts_conn_free(c);
    SSL_SESSION_free(ss);
}

static void fiber(transfer t)
{
    shake_twice(t.data);
    jump_fcontext(t.from, NULL);
}

/* Returns how much of the stack was used. A page below it ends the process. */
static size_t on_stack(size_t size, pair *p)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), i = 0;
    unsigned char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *stack;

    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0)
        ts_bail("no stack");
    stack = map + page;
    memset(stack, PAINT, size);
    jump_fcontext(make_fcontext(stack + size, size, fiber), p);
    while (i < size && stack[i] == PAINT)
        i++;
    munmap(map, size + page);
    return size - i;
}

/* Makes the contexts of that version, and works on a stack of that size. */
static size_t work(ts_proto proto, size_t size, pair *p)
{
    size_t used;

    *p = (pair){ .srv = ts_server_ctx(proto), .cli = ts_client_ctx(proto) };
    used = on_stack(size, p);
    SSL_CTX_free(p->srv);
    SSL_CTX_free(p->cli);
    return used;
}

/* Does stock work there? In a process that ends if it does not. */
static int stock_fits(const char *program, ts_proto proto, size_t size)
{
    char version[16], bytes[32];
    char *args[] = { (char *)program, version, bytes, NULL };
    int status;
    pid_t child = fork();

    if (child == 0) {
        unsetenv("LD_PRELOAD");
        unsetenv("TS_EXPECT_SHIM");
        snprintf(version, sizeof(version), "%d", (int)proto);
        snprintf(bytes, sizeof(bytes), "%zu", size);
        execv("/proc/self/exe", args);
        _exit(70);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        ts_bail("no process");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void works(ts_proto proto, size_t size)
{
    pair p;
    size_t used = work(proto, size, &p);

    ts_ok(p.full && p.resumed, "%s: on a stack of %zu KiB", ts_proto_name(proto), size / KIB);
    ts_diag("%s: %zu bytes of %zu", ts_proto_name(proto), used, size);
    ts_expect_core(proto == TS_TLS13 ? 3 : 1, 1);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        size_t size = strtoul(argv[2], NULL, 10);
        pair p;

        if (ts_shim_loaded())
            return 3;
        return work((ts_proto)atoi(argv[1]), size, &p) + SPARE > size || !p.full || !p.resumed;
    }
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        size_t size = STEP;

        while (size < MOST && !stock_fits(argv[0], *p, size))
            size += STEP;
        ts_diag("%s: the smallest for stock is %zu KiB", ts_proto_name(*p), size / KIB);
        works(*p, size);
        works(*p, MOST);
    }
    return ts_done();
}

#else

int main(void)
{
    ts_expect_core_unused();
    ts_skip("no boost.context (Debian: libboost-context-dev)", "fibers of boost.context");
    return ts_done();
}

#endif
