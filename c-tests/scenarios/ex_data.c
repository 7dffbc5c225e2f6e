/*
 * ex_data.c: what a program keeps in ex_data, and does in its destructors. These
 * are called in the order of the indexes; some before the shim's own, some after
 * it, when it has nothing of that object any more. Programs take their callbacks
 * back in there, or free what the object held for them.
 */
#include "ts.h"

/* Indexes reserved before the first context is made, and after it. */
enum { EARLY, LATE, N_WHEN };
enum { OF_CTX, OF_SSL, OF_STORE, N_CLASSES };

static const int class_of[] = { CRYPTO_EX_INDEX_SSL_CTX, CRYPTO_EX_INDEX_SSL, CRYPTO_EX_INDEX_X509_STORE };
static int index_of[N_WHEN][N_CLASSES];
static int destroyed[N_WHEN][N_CLASSES], strange;
static SSL_CTX *other; /* for connections to be switched to */

static int servername_cb(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- destructors ------------------------------------------------------------- */

/* All that the shim stands in front of, on a context that is being freed. */
static void clean_up_ctx(SSL_CTX *ctx)
{
    ts_raw_keys keys;

    SSL_CTX_set_tlsext_servername_callback(ctx, servername_cb);
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    strange += SSL_CTX_set_session_id_context(ctx, (const void *)"gone", 4) != 1;
    for (int door = TS_DOOR_EVP_CB; door <= TS_DOOR_OLD_CB; door++)
        if (ts_have_door(door)) {
            strange += ts_key_cb_set(ctx, door, 1) != 1;
            strange += ts_key_cb_set(ctx, door, 0) != 1;
        }
    strange += ts_get_raw_keys(ctx, &keys) != 1 || ts_set_raw_keys(ctx, &keys) != 1;
    strange += SSL_CTX_set_session_ticket_cb(ctx, NULL, NULL, NULL) != 1;
}

static void clean_up_ssl(SSL *ssl)
{
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    /* From 3.2 on libssl has freed most of a connection by then. */
    if (OpenSSL_version_num() < 0x30200000L)
        strange += SSL_set_SSL_CTX(ssl, other) != other;
    /* Not the server's own: where clients are asked for nothing, its old tickets are not for. */
    SSL_CTX_set_verify(other, SSL_VERIFY_NONE, NULL);
}

/* Called for `argl` = when * N_CLASSES + class. The value is &index_of of it. */
static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
    int when = (int)argl / N_CLASSES, klass = (int)argl % N_CLASSES;

    (void)argp;
    if (ptr == NULL)
        return;
    destroyed[when][klass]++;
    strange += ptr != &index_of[when][klass] || CRYPTO_get_ex_data(ad, index) != ptr;
    if (klass == OF_CTX)
        clean_up_ctx(parent);
    else if (klass == OF_SSL)
        clean_up_ssl(parent);
}

static void reserve(int when)
{
    for (int k = 0; k < N_CLASSES; k++) {
        int *index = &index_of[when][k];

        *index = CRYPTO_get_ex_new_index(class_of[k], when * N_CLASSES + k, NULL, NULL, NULL, on_free);
        if (*index < 0)
            ts_bail("no index");
        ts_diag("%s index of class %d: %d", when == EARLY ? "early" : "late", k, *index);
    }
}

/* ---- objects that go --------------------------------------------------------------- */

static SSL_CTX *keeping_ctx(ts_proto proto, int when)
{
    SSL_CTX *ctx = ts_server_ctx(proto);

    if (SSL_CTX_set_ex_data(ctx, index_of[when][OF_CTX], &index_of[when][OF_CTX]) != 1
        || X509_STORE_set_ex_data(SSL_CTX_get_cert_store(ctx), index_of[when][OF_STORE],
                                  &index_of[when][OF_STORE]) != 1)
        ts_bail("cannot keep data");
    /* So that the shim looks at the store. */
    ts_ask_client_cert(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, servername_cb);
    return ctx;
}

static ts_conn *shake(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, int when)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);

    if (SSL_set_ex_data(c->server.ssl, index_of[when][OF_SSL], &index_of[when][OF_SSL]) != 1)
        ts_bail("cannot keep data");
    ts_conn_handshake(c);
    return c;
}

/* A context that serves, resumes and is freed; last by its owner or by its SSL. */
static void goes(ts_proto proto, int when, int ssl_last)
{
    const char *name = ts_proto_name(proto);
    const char *what = when == EARLY ? "destructors before the shim's" : "destructors after it";
    SSL_CTX *srv = keeping_ctx(proto, when), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;
    ts_conn *c = shake(srv, cli, NULL, when);

    ts_is_str(ts_outcome(c), ts_full(proto), "%s, %s: full handshake", name, what);
    ss = ts_session(c);
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    c = shake(srv, cli, ss, when);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s, %s: the ticket resumes", name, what);
    ts_expect_core(c->tickets, 1);
    SSL_SESSION_free(ss);
    if (ssl_last)
        SSL_CTX_free(srv);
    ts_conn_free(c);
    if (!ssl_last)
        SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_ok(destroyed[when][OF_CTX] == 1 && destroyed[when][OF_SSL] == 2 && destroyed[when][OF_STORE] == 1,
          "%s, %s: … all were called, once", name, what);
    destroyed[when][OF_CTX] = destroyed[when][OF_SSL] = destroyed[when][OF_STORE] = 0;
    ts_is_int(strange, 0, "%s, %s: … and could do as they do without it", name, what);
    ts_expect_contexts(1, 0, "all but the one to be switched to are gone");
}

int main(void)
{
    reserve(EARLY);
    other = ts_server_ctx(TS_TLS13);
    reserve(LATE);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        for (int when = EARLY; when < N_WHEN; when++)
            for (int ssl_last = 0; ssl_last < 2; ssl_last++)
                goes(*p, when, ssl_last);
    SSL_CTX_free(other);
    ts_expect_contexts(0, 0, "all are gone");
    return ts_done();
}
