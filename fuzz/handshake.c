/*
 * handshake.c: what the target `handshake` does with OpenSSL. Two servers, of
 * TLS 1.2 and 1.3, and a client that offers a ticket of any bytes, shake hands
 * in this process over memory: the C suite's harness does it.
 */
#define _GNU_SOURCE /* setenv */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "internal.h"

#define NAME    "server.test"
#define ISSUED  3

/* The Rust side's outcomes. */
enum { FULL, RESUMED, FAILED, UNSENT };

static SSL_CTX *srv[2], *cli[2];
static SSL_SESSION *issued[2][ISSUED];

/* Blocks of memory that libcrypto and libssl have just now. */
static _Atomic long blocks;

static void *take(size_t n, const char *file, int line)
{
    void *p = malloc(n);

    (void)file;
    (void)line;
    blocks += p != NULL;
    return p;
}

static void *retake(void *old, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    if (old == NULL)
        return take(n, file, line);
    return realloc(old, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    blocks -= p != NULL;
    free(p);
}

long fuzz_blocks(void)
{
    return blocks;
}

/* The contexts, and a few tickets of each to begin with. */
void fuzz_start(void)
{
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        ts_bail("libcrypto has memory already");
    for (int p = 0; p < 2; p++) {
        srv[p] = ts_server_ctx(ts_tls_protos[p]);
        cli[p] = ts_client_ctx(ts_tls_protos[p]);
        /* Sessions that are kept would be memory that grows. */
        SSL_CTX_set_session_cache_mode(srv[p], SSL_SESS_CACHE_OFF);
        /* A run may be long. */
        SSL_CTX_set_timeout(srv[p], 7 * 86400);
        for (int i = 0; i < ISSUED; i++) {
            ts_conn *c = ts_connect_to(srv[p], cli[p], NULL, NAME);

            issued[p][i] = ts_session(c);
            if (issued[p][i] == NULL)
                ts_bail("no ticket to begin with: %s", ts_outcome(c));
            ts_conn_free(c);
        }
    }
}

/* A ticket that was issued: its length, its bytes at *ticket. */
size_t fuzz_ticket(int proto, int which, const unsigned char **ticket)
{
    size_t len;

    *ticket = ts_ticket(issued[proto][which % ISSUED], &len);
    return len;
}

/*
 * A handshake in which those bytes are offered as the ticket of session
 * `which`. `sealed` is set to how many tickets came.
 */
int fuzz_offer(int proto, int which, const unsigned char *ticket, size_t len,
               int *came)
{
    SSL_SESSION *ss = len == 0 ? NULL
        : ts_with_ticket(issued[proto][which % ISSUED], ticket, len);
    ts_conn *c = ts_conn_new(srv[proto], cli[proto], ss);
    int outcome;

    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    ts_conn_handshake(c);
    *came = c->tickets;
    if (c->established)
        outcome = c->server.resumed ? RESUMED : FULL;
    else /* A client that cannot write it down says nothing, or an alert. */
        outcome = c->client.failed && c->client.alerted_first
            && c->client.alert_sent == SSL_AD_INTERNAL_ERROR ? UNSENT : FAILED;
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    return outcome;
}

/* Sealed, opened, refused for whatever reason, failures; 0 without the shim. */
int fuzz_stats(uint64_t out[4])
{
    struct ticketshim_stats s;

    ts_stats(&s);
    out[0] = s.sealed;
    out[1] = s.opened;
    out[2] = s.refused_unknown_key
        + s.refused_expired
        + s.refused_bad_mac
        + s.refused_binding
        + s.refused_too_old
        + s.refused_malformed
        + s.refused_no_sid_ctx
        + s.refused_policy;
    out[3] = s.failures;
    return ts_shim_loaded();
}
