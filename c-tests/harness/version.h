/*
 * version.h: what stock OpenSSL does differently from release to release. The
 * table is in version.c, and nowhere else; scenarios/version_*.c hold each
 * OpenSSL to its row. Included by ts.h.
 */
#ifndef TS_VERSION_H
#define TS_VERSION_H

typedef enum ts_fact {
    /* TLS 1.3, dec_cb returns ABORT: the decrypted session is freed. */
    TS_ABORT_FREES,
    /* TLS 1.3, the ticket's cipher suite does not fit: new tickets follow. */
    TS_TICKETS_AFTER_MISMATCH,
    /* TLS 1.3, a ticket key callback says "no ticket": none is sent. */
    TS_CAN_SEND_NO_TICKET,
    /* SSL_get_SSL_CTX() knows the context when the SSL's ex_data is made. */
    TS_CTX_BEFORE_EX_DATA,
    /* A server's SSL that has resumed in TLS 1.3 serves again after SSL_clear(). */
    TS_CLEAR_AFTER_TLS13
} ts_fact;

/*
 * 1 or 0, or -1 for a release of which the table does not know: it lies
 * between the last one that is known not to and the first that is. It is the
 * libssl that runs that counts.
 */
int ts_version_has(ts_fact fact);

/* The table's words for it. */
const char *ts_fact_name(ts_fact fact);

/* One test: that `got` is what the table says. Skipped where it does not know. */
void ts_version_is(ts_fact fact, int got);

#endif
