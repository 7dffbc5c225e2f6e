/*
 * growth.c: what each further SSL_CTX costs. Prints, for 1, 10, … contexts that are alive at once, the CPU time of making
 * one, and its memory before and after its first handshake, as "contexts N new_ns BEFORE after". Run with and without the
 * shim by benches/handshake/growth.
 */
#define _GNU_SOURCE /* syscall() */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ts.h"

#define MOST 10000

static SSL_CTX *all[MOST];

static long long cpu(void)
{
    struct timespec t;

    syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Bytes of the heap in use. The shim's other memory is per process. */
static long long heap(void)
{
    struct mallinfo2 m = mallinfo2();

    return (long long)(m.uordblks + m.hblkhd);
}

int main(void)
{
    SSL_CTX *cli = ts_client_ctx(TS_TLS13);
    struct ticketshim_stats stats;

    if (ts_shim_loaded() != ts_shim_expected())
        ts_bail("the shim is %sloaded", ts_shim_loaded() ? "" : "not ");
    /* What is made once in a process. */
    SSL_SESSION_free(ts_fresh_session(all[0] = ts_server_ctx(TS_TLS13), cli));
    SSL_CTX_free(all[0]);
    for (int n = 1; n <= MOST; n *= 10) {
        long long start = cpu(), before = heap(), made, after, ns;
        int shaking = n < 100 ? n : 100;

        for (int i = 0; i < n; i++)
            if ((all[i] = SSL_CTX_new(TLS_method())) == NULL)
                ts_bail("cannot make a context");
        ns = cpu() - start;
        made = heap();
        ts_stats(&stats);
        if (ts_shim_expected() && stats.attached != (uint64_t)n + 1)
            ts_bail("attached to %llu contexts", (unsigned long long)stats.attached);
        for (int i = 0; i < n; i++)
            SSL_CTX_free(all[i]);
        /* After a first handshake: on contexts that can make one, a hundred at most. */
        for (int i = 0; i < shaking; i++)
            all[i] = ts_server_ctx(TS_TLS13);
        after = heap();
        for (int i = 0; i < shaking; i++)
            SSL_SESSION_free(ts_fresh_session(all[i], cli));
        after = heap() - after;
        for (int i = 0; i < shaking; i++)
            SSL_CTX_free(all[i]);
        printf("%d %lld %lld %lld\n", n, ns / n, (made - before) / n, after / shaking);
    }
    SSL_CTX_free(cli);
    return 0;
}
