/*
 * clock.c: a time of day that runs a hundred times as fast, linked into programs of their own. With
 * TICKETSHIM_ROTATE=1s an epoch then lasts 10 ms, in the library as it is installed. The program's symbols come before
 * the C library's, for libssl and the shim alike.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef FASTER
#define FASTER 100
#endif

/* Seconds on top of that: scale.c sets it, in a program where FASTER is 1. */
long long clock_ahead;

typedef int (*clock_fn)(clockid_t, struct timespec *);

static clock_fn real;
static struct timespec began, began_at;

__attribute__((constructor)) static void start(void)
{
    void *found = dlsym(RTLD_NEXT, "clock_gettime");

    memcpy(&real, &found, sizeof(real));
    real(CLOCK_MONOTONIC, &began);
    real(CLOCK_REALTIME, &began_at);
}

/* Before the constructor has run, the clock is as usual. */
static void now(struct timespec *t)
{
    long long ns;

    if (real == NULL) {
        syscall(SYS_clock_gettime, CLOCK_REALTIME, t);
        return;
    }
    real(CLOCK_MONOTONIC, t);
    ns = FASTER * ((t->tv_sec - began.tv_sec) * 1000000000LL + t->tv_nsec - began.tv_nsec);
    t->tv_sec = began_at.tv_sec + clock_ahead + ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, t);
    now(t);
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;

    now(&t);
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    now(&t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
