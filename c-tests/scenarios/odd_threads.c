/*
 * odd_threads.c: handshakes where programs do not commonly have them: in a signal
 * handler on a stack of its own (as runtimes with small stacks do when they call
 * C), on a coroutine's stack of 64 KiB, and the first of all handshakes in 64
 * threads at once.
 */
#define _GNU_SOURCE /* sigaltstack(), pthread_barrier_t */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "ts.h"

#define STACK (64 * 1024)
#define THREADS 64

/* What one handshake, and one more with its ticket, came to. */
typedef struct pair {
    SSL_CTX *srv, *cli;
    ts_proto proto;
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

static void expect(const pair *p, int times)
{
    ts_expect_core(times * (p->proto == TS_TLS13 ? 3 : 1), times);
}

/* Memory for a stack, below which nothing is mapped. */
static void *stack_of(size_t size)
{
    char *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mprotect(p, 4096, PROT_NONE) != 0)
        ts_bail("no stack");
    return p + 4096;
}

/* ---- a signal handler ---------------------------------------------------------- */

static pair *in_handler;

static void handler(int number)
{
    (void)number;
    shake_twice(in_handler);
}

static void on_alternate_stack(pair *p)
{
    stack_t stack = { .ss_sp = stack_of(STACK), .ss_size = STACK }, old;
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

    in_handler = p;
    if (sigaltstack(&stack, &old) != 0 || sigaction(SIGUSR1, &action, NULL) != 0
        || raise(SIGUSR1) != 0 || sigaltstack(&old, NULL) != 0)
        ts_bail("no signal");
    munmap((char *)stack.ss_sp - 4096, STACK + 4096);
    ts_ok(p->full && p->resumed, "%s: in a signal handler, on its own stack",
          ts_proto_name(p->proto));
    expect(p, 1);
}

/* ---- a coroutine ----------------------------------------------------------------- */

static ucontext_t outside, inside;
static pair *in_coroutine;

static void coroutine(void)
{
    shake_twice(in_coroutine);
}

static void on_coroutine(pair *p)
{
    void *stack = stack_of(STACK);

    in_coroutine = p;
    if (getcontext(&inside) != 0)
        ts_bail("no coroutine");
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = STACK;
    inside.uc_link = &outside;
    makecontext(&inside, coroutine, 0);
    if (swapcontext(&outside, &inside) != 0)
        ts_bail("no coroutine");
    munmap((char *)stack - 4096, STACK + 4096);
    ts_ok(p->full && p->resumed, "%s: on a coroutine's stack of 64 KiB",
          ts_proto_name(p->proto));
    expect(p, 1);
}

/* ---- 64 threads at once ------------------------------------------------------------- */

static pthread_barrier_t together;

static void *thread(void *arg)
{
    pthread_barrier_wait(&together);
    shake_twice(arg);
    return NULL;
}

static void at_once(SSL_CTX *srv, SSL_CTX *cli, ts_proto proto, const char *what)
{
    static pair pairs[THREADS];
    pthread_t threads[THREADS];
    int good = 0;

    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pairs[i] = (pair){ .srv = srv, .cli = cli, .proto = proto };
        if (pthread_create(&threads[i], NULL, thread, &pairs[i]) != 0)
            ts_bail("no thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        good += pairs[i].full && pairs[i].resumed;
    }
    pthread_barrier_destroy(&together);
    ts_is_int(good, THREADS, "%s: %s in 64 threads", ts_proto_name(proto), what);
    expect(&pairs[0], THREADS);
}

int main(void)
{
    const char *what = "the first handshakes of a process";

    ts_before_threads();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        pair one = { .srv = ts_server_ctx(*p), .cli = ts_client_ctx(*p), .proto = *p };

        at_once(one.srv, one.cli, *p, what);
        what = "handshakes";
        on_alternate_stack(&one);
        on_coroutine(&one);
        SSL_CTX_free(one.srv);
        SSL_CTX_free(one.cli);
    }
    return ts_done();
}
