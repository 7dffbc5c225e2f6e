/*
 * stacks.h: stacks of a program's own, with a page below each that ends the
 * process, and two handshakes to make on one. Not part of ts.h: ucontext is not
 * in every libc.
 */
#ifndef TS_STACKS_H
#define TS_STACKS_H

#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "ts.h"

typedef struct ts_stack {
    unsigned char *base; /* its lowest byte */
    size_t size;
} ts_stack;

#define TS_STACK_PAINT 0xa5

static inline ts_stack ts_stack_new(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    /* Who goes beyond it is ended by a signal, and writes to nothing else. */
    if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) != 0)
        ts_bail("no stack");
    return (ts_stack) { p + page, size };
}

static inline void ts_stack_free(ts_stack *stack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    munmap(stack->base - page, stack->size + page);
}

static inline void ts_stack_paint(const ts_stack *stack)
{
    memset(stack->base, TS_STACK_PAINT, stack->size);
}

/* How much of it was used since it was painted. */
static inline size_t ts_stack_used(const ts_stack *stack)
{
    size_t i = 0;

    while (i < stack->size && stack->base[i] == TS_STACK_PAINT)
        i++;
    return stack->size - i;
}

static ucontext_t ts_stack_outside, ts_stack_inside;
static void (*ts_stack_work)(void *);
static void *ts_stack_arg;

static inline void ts_stack_enter(void)
{
    ts_stack_work(ts_stack_arg);
}

/* Calls f(arg) on it. One at a time in a process. */
static inline void ts_on_stack(const ts_stack *stack, void (*f)(void *), void *arg)
{
    ts_stack_work = f;
    ts_stack_arg = arg;
    if (getcontext(&ts_stack_inside) != 0)
        ts_bail("getcontext");
    ts_stack_inside.uc_stack.ss_sp = stack->base;
    ts_stack_inside.uc_stack.ss_size = stack->size;
    ts_stack_inside.uc_link = &ts_stack_outside;
    makecontext(&ts_stack_inside, ts_stack_enter, 0);
    if (swapcontext(&ts_stack_outside, &ts_stack_inside) != 0)
        ts_bail("swapcontext");
}

/* What one handshake, and one more with its ticket, came to. */
typedef struct ts_pair {
    SSL_CTX *srv, *cli;
    ts_proto proto;
    int full, resumed;
} ts_pair;

static inline void ts_shake_twice(void *pair)
{
    ts_pair *p = pair;
    ts_conn *c = ts_connect(p->srv, p->cli, NULL);
    SSL_SESSION *ss = ts_session(c);

    p->full = c->established && !c->server.resumed;
    ts_conn_free(c);
    c = ts_connect(p->srv, p->cli, ss);
    p->resumed = c->established && c->server.resumed;
    ts_conn_free(c);
    SSL_SESSION_free(ss);
}

/* Under the shim: what the core has made of so many pairs. */
static inline void ts_expect_pairs(const ts_pair *p, int count)
{
    ts_expect_core(count * (ts_full_tickets(p->proto) + (p->proto == TS_TLS13)), count);
}

#endif
