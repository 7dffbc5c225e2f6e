/*
 * ex_data_unreserved.c: a program that uses low indexes into ex_data without
 * having reserved them, which works as long as nobody else has. Under the shim
 * one of them is the shim's own by number: the program still finds what it has put
 * there, and its callbacks are called, its tickets resume, and all is freed.
 */
#include "ts.h"

#define LOWEST 1  /* 0 is "app data", which libssl reserves */
#define HIGHEST 4

static int asked, wrong;

/* Not an address of anything. */
static void *value(const void *of, int i)
{
    return (void *)((uintptr_t)of ^ (uintptr_t)(i + 1));
}

static void keep(SSL_CTX *ctx, SSL *ssl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    for (int i = LOWEST; i <= HIGHEST; i++)
        if (SSL_CTX_set_ex_data(ctx, i, value(ctx, i)) != 1 || SSL_set_ex_data(ssl, i, value(ssl, i)) != 1
            || X509_STORE_set_ex_data(store, i, value(store, i)) != 1)
            ts_bail("cannot keep data");
}

static int is_kept(SSL_CTX *ctx, SSL *ssl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int kept = 1;

    for (int i = LOWEST; i <= HIGHEST; i++)
        kept &= SSL_CTX_get_ex_data(ctx, i) == value(ctx, i) && SSL_get_ex_data(ssl, i) == value(ssl, i)
            && X509_STORE_get_ex_data(store, i) == value(store, i);
    return kept;
}

static int servername_cb(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    asked++;
    wrong += arg != &asked || !is_kept(SSL_get_SSL_CTX(ssl), ssl);
    return SSL_TLSEXT_ERR_OK;
}

static ts_conn *shake(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, const char *outcome)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);

    keep(srv, c->server.ssl);
    asked = 0;
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), outcome, "… %s", outcome);
    ts_ok(asked == 1 && wrong == 0, "… the servername callback was called, and found its data");
    ts_ok(is_kept(srv, c->server.ssl), "… which is as it was");
    ts_expect_core(c->tickets, c->server.resumed);
    return c;
}

static void goes(ts_proto proto, int take_back)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;
    ts_conn *c;

    ts_note("%s", ts_proto_name(proto));
    ts_ask_client_cert(srv);
    SSL_CTX_set_verify(srv, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_tlsext_servername_callback(srv, servername_cb);
    SSL_CTX_set_tlsext_servername_arg(srv, &asked);
    c = shake(srv, cli, NULL, ts_full(proto));
    ss = ts_session(c);
    ts_conn_free(c);
    c = shake(srv, cli, ss, ts_resumed(proto));
    SSL_SESSION_free(ss);
    for (int i = LOWEST; take_back && i <= HIGHEST; i++) {
        SSL_set_ex_data(c->server.ssl, i, NULL);
        SSL_CTX_set_ex_data(srv, i, NULL);
    }
    ts_conn_free(c);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_expect_contexts(0, 0, "the shim has let go of all");
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        for (int take_back = 0; take_back < 2; take_back++)
            goes(*p, take_back);
    return ts_done();
}
