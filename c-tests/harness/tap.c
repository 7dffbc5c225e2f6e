/* tap.c: TAP on stdout, everything else on stderr. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int tests, failed;

void *ts_xmalloc(size_t n)
{
    void *p = calloc(1, n > 0 ? n : 1);

    if (p == NULL)
        ts_bail("out of memory");
    return p;
}

static int result(int cond, const char *suffix, const char *fmt, va_list ap)
{
    tests++;
    failed += !cond;
    printf("%s %d - ", cond ? "ok" : "not ok", tests);
    vprintf(fmt, ap);
    printf("%s\n", suffix);
    fflush(stdout);
    return cond;
}

int ts_ok(int cond, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    result(cond != 0, "", fmt, ap);
    va_end(ap);
    return cond;
}

int ts_is_int(long got, long want, const char *fmt, ...)
{
    va_list ap;
    int same = got == want;

    va_start(ap, fmt);
    result(same, "", fmt, ap);
    va_end(ap);
    if (!same)
        ts_diag("  got %ld, want %ld", got, want);
    return same;
}

int ts_is_str(const char *got, const char *want, const char *fmt, ...)
{
    va_list ap;
    int same = got != NULL && want != NULL && strcmp(got, want) == 0;

    va_start(ap, fmt);
    result(same, "", fmt, ap);
    va_end(ap);
    if (!same)
        ts_diag("  got \"%s\", want \"%s\"", got != NULL ? got : "(null)",
                want != NULL ? want : "(null)");
    return same;
}

int ts_is_mem(const void *got, size_t got_len, const void *want,
              size_t want_len, const char *fmt, ...)
{
    va_list ap;
    int same = got_len == want_len
        && (want_len == 0
            || (got != NULL && memcmp(got, want, want_len) == 0));

    va_start(ap, fmt);
    result(same, "", fmt, ap);
    va_end(ap);
    if (!same)
        ts_diag("  got %zu bytes, want %zu%s", got_len, want_len,
                got_len == want_len ? ", and the bytes differ" : "");
    return same;
}

void ts_skip(const char *reason, const char *fmt, ...)
{
    char suffix[256];
    const char *ci = getenv("CI");
    va_list ap;

    snprintf(suffix, sizeof(suffix), " # SKIP %s", reason);
    va_start(ap, fmt);
    result(ci == NULL || strcmp(ci, "true") != 0, suffix, fmt, ap);
    va_end(ap);
}

void ts_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
}

void ts_diag(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "# ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
}

void ts_bail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    printf("Bail out! ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
    ts_show_errors("bail out");
    exit(70);
}

void ts_show_errors(const char *who)
{
    unsigned long e;
    char text[256];

    while ((e = ERR_get_error()) != 0) {
        ERR_error_string_n(e, text, sizeof(text));
        ts_diag("  %s: %s", who, text);
    }
}

static long from_env(const char *name)
{
    const char *s = getenv(name);
    long n = s != NULL ? atol(s) : 1;

    return n > 0 ? n : 1;
}

size_t ts_stride(void)
{
    return (size_t)from_env("TS_STRIDE");
}

int ts_scale(int n)
{
    int scaled = n / (int)from_env("TS_SCALE");

    return scaled > 0 ? scaled : 1;
}

int ts_plan(void)
{
    printf("1..%d\n", tests);
    fflush(stdout);
    if (failed > 0)
        ts_diag("%d of %d failed", failed, tests);
    return failed == 0 && tests > 0;
}
