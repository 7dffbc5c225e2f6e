/* core.c: is the shim there, and did its core do what the scenario announced? */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "refusals.h"

static struct {
    long sealed, opened;              /* announced */
    int minimum;                      /* … as minimums */
    long unknown_key, tampered, maybe;
    int refused;                      /* the three above are to be checked */
    int unused;                       /* the core is not to be used at all */
    int failures;                     /* at least so many, exactly when 0 */
    int bad;                          /* checks on the way that failed */
} want;

void ts_expect_core(long sealed, long opened)
{
    want.sealed += sealed;
    want.opened += opened;
}

void ts_expect_core_min(long sealed, long opened)
{
    want.minimum = 1;
    want.sealed += sealed;
    want.opened += opened;
}

void ts_expect_refused(long unknown_key, long tampered, long maybe)
{
    want.refused = 1;
    want.unknown_key += unknown_key;
    want.tampered += tampered;
    want.maybe += maybe;
}

void ts_expect_core_unused(void)
{
    want.unused = 1;
}

void ts_expect_failures(long at_least)
{
    want.failures += (int)at_least;
}

int ts_shim_expected(void)
{
    const char *s = getenv("TS_EXPECT_SHIM");

    return s != NULL && strcmp(s, "1") == 0;
}

/* POSIX lets a dlsym() result be a function; ISO C wants it said this way. */
typedef int (*get_stats_fn)(struct ticketshim_stats *, size_t);
typedef const char *(*version_fn)(void);

static get_stats_fn find_get_stats(void)
{
    get_stats_fn fn;
    void *p = dlsym(RTLD_DEFAULT, "ticketshim_get_stats");

    memcpy(&fn, &p, sizeof(fn));
    return fn;
}

static version_fn find_version(void)
{
    version_fn fn;
    void *p = dlsym(RTLD_DEFAULT, "ticketshim_version");

    memcpy(&fn, &p, sizeof(fn));
    return fn;
}

void ts_stats(struct ticketshim_stats *out)
{
    get_stats_fn get = find_get_stats();

    memset(out, 0, sizeof(*out));
    if (get != NULL && get(out, sizeof(*out)) != 1)
        ts_diag("core: ticketshim_get_stats() did not return 1");
}

uint64_t ts_refused(const struct ticketshim_stats *s)
{
    uint64_t sum = 0;

#define ADD(member) sum += s->member;
    TS_REFUSALS(ADD)
#undef ADD
    return sum;
}

static int compare(const char *what, uint64_t got, long expected, int minimum)
{
    if (minimum ? got >= (uint64_t)expected : got == (uint64_t)expected)
        return 0;
    ts_diag("core: %s is %llu, expected %s%ld", what, (unsigned long long)got,
            minimum ? "at least " : "", expected);
    return 1;
}

int ts_shim_loaded(void)
{
    return find_version() != NULL;
}

void ts_expect_contexts(long attached, long detached, const char *where)
{
    struct ticketshim_stats s;
    int bad = 0;

    if (!ts_shim_expected())
        return;
    ts_stats(&s);
    bad += compare("attached", s.attached, attached, 0);
    bad += compare("detached", s.detached, detached, 0);
    if (bad > 0)
        ts_diag("core: … at: %s", where);
    want.bad += bad;
}

int ts_core_check(void)
{
    struct ticketshim_stats s;
    version_fn version = find_version();
    uint64_t tampered;
    int bad = want.bad;

    if (!ts_shim_expected()) {
        if (version == NULL)
            return 0;
        ts_diag("core: ticketshim %s is loaded in a stock run", version());
        return 1;
    }
    if (version == NULL || find_get_stats() == NULL) {
        ts_diag("core: TS_EXPECT_SHIM=1, but ticketshim is not loaded");
        return 1;
    }
    ts_stats(&s);
    ts_diag("core: ticketshim %s: sealed %llu, opened %llu, renewed %llu, "
            "refused: unknown %llu, mac %llu, malformed %llu, other %llu, "
            "failures %llu", version(), (unsigned long long)s.sealed,
            (unsigned long long)s.opened, (unsigned long long)s.renewed,
            (unsigned long long)s.refused_unknown_key,
            (unsigned long long)s.refused_bad_mac,
            (unsigned long long)s.refused_malformed,
            (unsigned long long)(ts_refused(&s) - s.refused_unknown_key
                                 - s.refused_bad_mac - s.refused_malformed),
            (unsigned long long)s.failures);
    if (want.sealed == 0 && want.opened == 0 && !want.unused) {
        ts_diag("core: the scenario never said what the core should do");
        bad++;
    }
    bad += compare("sealed", s.sealed, want.sealed, want.minimum);
    bad += compare("opened", s.opened, want.opened, want.minimum);
    if (want.refused) {
        bad += compare("refused_unknown_key", s.refused_unknown_key,
                       want.unknown_key, 0);
        tampered = s.refused_bad_mac + s.refused_malformed;
        bad += compare("refused_bad_mac + refused_malformed", tampered,
                       want.tampered, 1);
        if (tampered > (uint64_t)(want.tampered + want.maybe)) {
            ts_diag("core: and at most %ld", want.tampered + want.maybe);
            bad++;
        }
    }
    bad += compare("failures", s.failures, want.failures, want.failures > 0);
    return bad;
}
