/*
 * boost_context.c: handshakes, server and client, on stacks that boost.context's
 * fcontext switches to (as boost::context::fiber and boost.coroutine2 do): of
 * 64 KiB, and of the smallest size, in steps of 16 KiB, on which stock leaves
 * 4 KiB unused.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_STACK */
#include <stdlib.h>
#include <sys/wait.h>

#include "stacks.h"

#ifdef HAVE_BOOST_CONTEXT

#define KIB 1024
#define STEP ((size_t)16 * KIB)
#define MOST (4 * STEP)
#define SPARE 4096

/* boost/context/detail/fcontext.hpp, which is for C++ alone. */
typedef struct transfer {
    void *from, *data;
} transfer;
extern transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*f)(transfer));

static void fiber(transfer t)
{
    ts_shake_twice(t.data);
    jump_fcontext(t.from, NULL);
}

/* Returns how much of the stack was used. A page below it ends the process. */
static size_t on_stack(size_t size, ts_pair *p)
{
    ts_stack stack = ts_stack_new(size);
    size_t used;

    ts_stack_paint(&stack);
    jump_fcontext(make_fcontext(stack.base + size, size, fiber), p);
    used = ts_stack_used(&stack);
    ts_stack_free(&stack);
    return used;
}

/* Makes the contexts of that version, and works on a stack of that size. */
static size_t work(ts_proto proto, size_t size, ts_pair *p)
{
    size_t used;

    *p = (ts_pair){ .proto = proto, .srv = ts_server_ctx(proto), .cli = ts_client_ctx(proto) };
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
    ts_pair p;
    size_t used = work(proto, size, &p);

    ts_ok(p.full && p.resumed, "%s: on a stack of %zu KiB", ts_proto_name(proto), size / KIB);
    ts_diag("%s: %zu bytes of %zu", ts_proto_name(proto), used, size);
    ts_expect_pairs(&p, 1);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        size_t size = strtoul(argv[2], NULL, 10);
        ts_pair p;

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
