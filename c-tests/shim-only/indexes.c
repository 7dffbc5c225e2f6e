/*
 * indexes.c: which numbers a program's own indexes into ex_data have. The shim
 * reserves one for each class of objects that it keeps something of, when the
 * first context is made that may be a server's; for stores, when the first client certificate is asked
 * for; where it is turned off, none. What a program reserves before has the number
 * that it has without the shim.
 *
 * ts-run: TICKETSHIM_LOG=warn
 * ts-run: TICKETSHIM_MODE=off
 */
#include <stdlib.h>
#include <string.h>

#include "ts.h"

static int off;

static void next_is(int klass, int want, const char *what)
{
    int got = CRYPTO_get_ex_new_index(klass, 0, NULL, NULL, NULL, NULL);

    /* 0 is "app data". */
    ts_is_int(got, want, "%s: %d", what, want);
}

int main(void)
{
    const char *mode = getenv("TICKETSHIM_MODE");
    SSL_CTX *srv, *cli, *clients;
    ts_conn *c;

    off = mode != NULL && strcmp(mode, "off") == 0;
    next_is(CRYPTO_EX_INDEX_SSL_CTX, 1, "SSL_CTX, before the first");
    next_is(CRYPTO_EX_INDEX_SSL, 1, "SSL, before the first context");
    clients = SSL_CTX_new(TLS_client_method());
    next_is(CRYPTO_EX_INDEX_SSL_CTX, 2, "SSL_CTX, with a client's");
    next_is(CRYPTO_EX_INDEX_SSL, 2, "SSL, with a client's context");
    SSL_free(SSL_new(clients));
    srv = ts_server_ctx(TS_TLS13);
    cli = ts_client_ctx(TS_TLS13);
    next_is(CRYPTO_EX_INDEX_SSL_CTX, off ? 3 : 4, "SSL_CTX, with a server's");
    next_is(CRYPTO_EX_INDEX_SSL, off ? 3 : 4, "SSL, with a server's context");
    next_is(CRYPTO_EX_INDEX_X509_STORE, 1, "X509_STORE, with both");
    c = ts_connect(srv, cli, NULL);
    ts_ok(c->established, "a connection");
    if (!off)
        ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    next_is(CRYPTO_EX_INDEX_X509_STORE, 2, "X509_STORE, after a connection");
    ts_ask_client_cert(srv);
    SSL_CTX_set_verify(srv, SSL_VERIFY_PEER, NULL);
    c = ts_connect(srv, cli, NULL);
    ts_ok(c->established, "a connection where a certificate was asked for");
    if (!off)
        ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    next_is(CRYPTO_EX_INDEX_X509_STORE, off ? 3 : 4, "X509_STORE, after it");
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    SSL_CTX_free(clients);
    if (off)
        ts_expect_core_unused();
    return ts_done();
}
