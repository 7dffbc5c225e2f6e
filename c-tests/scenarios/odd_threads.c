/*
 * odd_threads.c: handshakes where programs do not commonly have them: in a signal
 * handler on a stack of its own (as runtimes with small stacks do when they call
 * C), on a coroutine's stack of 64 KiB, and the first of all handshakes in 64
 * threads at once.
 */
#define _GNU_SOURCE /* sigaltstack(), pthread_barrier_t, MAP_STACK */
#include <pthread.h>
#include <signal.h>

#include "stacks.h"

#define STACK (64 * 1024)
#define THREADS 64

/* ---- a signal handler ---------------------------------------------------------- */

static ts_pair *in_handler;

static void handler(int number)
{
    (void)number;
    ts_shake_twice(in_handler);
}

static void on_alternate_stack(ts_pair *p)
{
    ts_stack own = ts_stack_new(STACK);
    stack_t stack = { .ss_sp = own.base, .ss_size = own.size }, old;
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

    in_handler = p;
    if (sigaltstack(&stack, &old) != 0 || sigaction(SIGUSR1, &action, NULL) != 0
        || raise(SIGUSR1) != 0 || sigaltstack(&old, NULL) != 0)
        ts_bail("no signal");
    ts_stack_free(&own);
    ts_ok(p->full && p->resumed, "%s: in a signal handler, on its own stack",
          ts_proto_name(p->proto));
    ts_expect_pairs(p, 1);
}

/* ---- a coroutine ----------------------------------------------------------------- */

static void on_coroutine(ts_pair *p)
{
    ts_stack stack = ts_stack_new(STACK);

    ts_on_stack(&stack, ts_shake_twice, p);
    ts_stack_free(&stack);
    ts_ok(p->full && p->resumed, "%s: on a coroutine's stack of 64 KiB",
          ts_proto_name(p->proto));
    ts_expect_pairs(p, 1);
}

/* ---- 64 threads at once ------------------------------------------------------------- */

static pthread_barrier_t together;

static void *thread(void *arg)
{
    pthread_barrier_wait(&together);
    ts_shake_twice(arg);
    return NULL;
}

static void at_once(SSL_CTX *srv, SSL_CTX *cli, ts_proto proto, const char *what)
{
    static ts_pair pairs[THREADS];
    pthread_t threads[THREADS];
    int good = 0;

    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pairs[i] = (ts_pair){ .srv = srv, .cli = cli, .proto = proto };
        if (pthread_create(&threads[i], NULL, thread, &pairs[i]) != 0)
            ts_bail("no thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        good += pairs[i].full && pairs[i].resumed;
    }
    pthread_barrier_destroy(&together);
    ts_is_int(good, THREADS, "%s: %s in 64 threads", ts_proto_name(proto), what);
    ts_expect_pairs(&pairs[0], THREADS);
}

int main(void)
{
    const char *what = "the first handshakes of a process";

    ts_before_threads();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        ts_pair one = { .srv = ts_server_ctx(*p), .cli = ts_client_ctx(*p), .proto = *p };

        at_once(one.srv, one.cli, *p, what);
        what = "handshakes";
        on_alternate_stack(&one);
        on_coroutine(&one);
        SSL_CTX_free(one.srv);
        SSL_CTX_free(one.cli);
    }
    return ts_done();
}
