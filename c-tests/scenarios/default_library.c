/*
 * default_library.c: a thread may have another library context as its default
 * (OSSL_LIB_CTX_set0_default(3)), and contexts by SSL_CTX_new() are then made
 * there. Ex_data too belongs to a library context: the core is in contexts of the
 * one in which the process made its first, and the others keep libssl's tickets.
 * Each library context counts its indexes from the same number: what the program
 * keeps in the others is nobody else's, and is never looked at.
 */
#include "ts.h"

/* ---- the program's own ex_data in another library context ------------------- */

#define OWN 6       /* more than there are places of anybody else's */

static struct own {
    int klass, index[OWN];
} own[] = { { CRYPTO_EX_INDEX_SSL_CTX, { 0 } }, { CRYPTO_EX_INDEX_SSL, { 0 } }, { CRYPTO_EX_INDEX_X509_STORE, { 0 } } };
enum { OWN_CTX, OWN_SSL, OWN_STORE };

static int have_own, set, freed, strange;

/* Not an address of anything. */
static void *value(int i)
{
    return (char *)NULL + 1 + i;
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long i, void *arg)
{
    (void)parent;
    (void)ad;
    (void)index;
    (void)arg;
    if (ptr == NULL)
        return;
    freed++;
    strange += ptr != value((int)i);
}

static void own_indexes(void)
{
    for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
        for (int i = 0; i < OWN; i++)
            if ((own[k].index[i] = CRYPTO_get_ex_new_index(own[k].klass, i, NULL, NULL, NULL, on_free)) < 0)
                ts_bail("no index");
    have_own = 1;
}

static void keep_own(SSL_CTX *ctx, SSL *ssl)
{
    for (int i = 0; have_own && i < OWN; i++) {
        X509_STORE *store = SSL_CTX_get_cert_store(ctx);

        if (ssl == NULL && (SSL_CTX_set_ex_data(ctx, own[OWN_CTX].index[i], value(i)) != 1
                            || X509_STORE_set_ex_data(store, own[OWN_STORE].index[i], value(i)) != 1))
            ts_bail("cannot keep data");
        if (ssl != NULL && SSL_set_ex_data(ssl, own[OWN_SSL].index[i], value(i)) != 1)
            ts_bail("cannot keep data");
        set += ssl == NULL ? 2 : 1;
    }
}

static int is_kept(SSL_CTX *ctx, SSL *ssl)
{
    for (int i = 0; have_own && i < OWN; i++)
        if (SSL_CTX_get_ex_data(ctx, own[OWN_CTX].index[i]) != value(i)
            || SSL_get_ex_data(ssl, own[OWN_SSL].index[i]) != value(i)
            || X509_STORE_get_ex_data(SSL_CTX_get_cert_store(ctx), own[OWN_STORE].index[i]) != value(i))
            return 0;
    return 1;
}

/* ---- tickets ------------------------------------------------------------------ */

static ts_conn *shake(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);

    keep_own(srv, c->server.ssl);
    ts_conn_handshake(c);
    if (have_own)
        ts_ok(is_kept(srv, c->server.ssl), "what the program keeps is as it was");
    return c;
}

static void tickets(ts_proto proto, int core, const char *when)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    const char *name = ts_proto_name(proto);
    SSL_SESSION *ss;
    ts_conn *c;

    keep_own(srv, NULL);
    if (have_own)
        ts_ask_client_cert(srv);
    SSL_CTX_set_verify(srv, have_own ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    ts_expect_contexts(core ? 2 : 0, 0, when);
    if (!core)
        ts_expect_failures(2);
    c = shake(srv, cli, NULL);
    ts_is_str(ts_outcome(c), ts_full(proto), "%s, %s: full handshake", name, when);
    ss = ts_session(c);
    if (core)
        ts_expect_core(c->tickets, 0);
    ts_conn_free(c);

    c = shake(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s, %s: the ticket resumes", name,
              when);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s, %s: … and no call left an error", name, when);
    if (core)
        ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_expect_contexts(0, 0, when);
}

static void all(int core, const char *when)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        tickets(*p, core, when);
}

int main(void)
{
    if (!ts_have_kind(TS_OWN_LIBRARY)) {
        ts_ok(1, "n/a: no library contexts in this OpenSSL");
        ts_expect_core_unused();
        return ts_done();
    }
    all(1, "the first default");
    ts_other_default_library(1);
    all(0, "another one");
    ts_other_default_library(0);
    all(1, "the first one again");
    ts_other_default_library(1);
    own_indexes();
    all(0, "a third, with data of the program's own");
    ts_ok(freed == set && strange == 0, "… of which it gets back all, and nothing else");
    have_own = 0;
    ts_other_default_library(0);
    all(1, "the first one at last");
    return ts_done();
}
