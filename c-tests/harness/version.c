/* version.c: the table of what differs between releases of stock OpenSSL. */
#include "internal.h"

#define NEVER 99

/*
 * A release line: the last patch release that is known not to have it, and the
 * first that is known to. (1.1.1w counts as 23.) Known is what was run here or
 * is in OpenSSL's CHANGES; what lies between is not known.
 */
typedef struct line {
    int major, minor;
    int last_without, first_with;
} line;

static const struct {
    ts_fact fact;
    const char *name;
    line lines[10];
    /* What is not listed has it if it is as new as this, and lacks it if older. */
    int since_major, since_minor;
} table[] = {
    /* PR 30464, in the releases of 7 April or 9 June 2026 */
    { TS_ABORT_FREES, "a session that dec_cb aborts is freed",
      { { 3, 0, 19, 22 }, { 3, 3, -1, NEVER }, { 3, 4, -1, NEVER },
        { 3, 5, 5, 7 }, { 3, 6, -1, 3 }, { 4, 0, -1, 2 } }, 4, 1 },
    /* PR 30626, CHANGES of 9 June 2026 */
    { TS_TICKETS_AFTER_MISMATCH, "tickets follow a cipher suite that does not fit",
      { { 3, 0, 20, 21 }, { 3, 4, 4, NEVER }, { 3, 5, 6, 7 },
        { 3, 6, 2, 3 }, { 4, 0, 0, 1 } }, 4, 1 },
    /* CHANGES of 3.0.6 */
    { TS_CAN_SEND_NO_TICKET, "a key callback that says so sends no ticket",
      { { 3, 0, 5, 6 } }, 3, 1 },
    /* 3.2: ossl_ssl_init() makes the ex_data first */
    { TS_CTX_BEFORE_EX_DATA, "an SSL has its context before its ex_data",
      { { 1, 1, NEVER, 0 }, { 3, 0, NEVER, 0 }, { 3, 1, NEVER, 0 } }, NEVER, 0 },
    { TS_CLEAR_AFTER_TLS13, "an SSL that has resumed serves again after SSL_clear()",
      { { 3, 0, 8, 19 }, { 3, 1, -1, NEVER }, { 3, 2, -1, NEVER },
        { 3, 3, -1, NEVER }, { 3, 4, -1, NEVER } }, 3, 5 },
};

#define N_FACTS (sizeof(table) / sizeof(table[0]))

int ts_version_has(ts_fact fact)
{
    unsigned long v = OpenSSL_version_num();
    int major = (int)(v >> 28), minor = (int)(v >> 20 & 0xff);
    /* 0xMNNFFPPS up to 1.1.1, 0xMNN00PP0 since. */
    int patch = (int)(v >> 4 & 0xff);

    for (size_t i = 0; i < N_FACTS; i++) {
        if (table[i].fact != fact)
            continue;
        for (const line *l = table[i].lines; l->major != 0; l++)
            if (l->major == major && l->minor == minor)
                return patch >= l->first_with ? 1
                    : patch <= l->last_without ? 0 : -1;
        return major > table[i].since_major
            || (major == table[i].since_major && minor >= table[i].since_minor);
    }
    ts_bail("no such fact");
}

const char *ts_fact_name(ts_fact fact)
{
    for (size_t i = 0; i < N_FACTS; i++)
        if (table[i].fact == fact)
            return table[i].name;
    return "?";
}

void ts_version_is(ts_fact fact, int got)
{
    int want = ts_version_has(fact);

    if (want < 0) {
        ts_note("n/a: %s: between the releases that are known",
                ts_fact_name(fact));
        return;
    }
    ts_is_int(got != 0, want, "%s: %s, as this release", ts_fact_name(fact),
              want ? "yes" : "no");
}
