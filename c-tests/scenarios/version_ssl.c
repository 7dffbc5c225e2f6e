/*
 * version_ssl.c: what stock OpenSSL does with an SSL differently from release
 * to release (harness/version.c), as far as the shim stands on it; and the types
 * of functions: of those that it stands in front of, which have never changed,
 * and of those that it calls.
 */
#include <string.h>

#include <openssl/x509.h>

#include "ts.h"

/* ---- when an SSL has its context ------------------------------------------------- */

static SSL_CTX *seen;
static int calls;

static void ssl_made(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                     long argl, void *argp)
{
    (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
    seen = SSL_get_SSL_CTX(parent);
    calls++;
}

static void context_and_ex_data(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13);
    SSL *ssl;

    CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, ssl_made, NULL, NULL);
    ssl = SSL_new(ctx);
    ts_is_int(calls, 1, "the ex_data callback is called for an SSL");
    ts_version_is(TS_CTX_BEFORE_EX_DATA, seen != NULL);
    ts_ok(seen == NULL || seen == ctx, "… its context, or none");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

/* ---- SSL_clear() ------------------------------------------------------------------ */

static void cleared(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_conn *c = ts_connect(srv, cli, NULL);
    SSL_SESSION *ss = ts_session(c);

    ts_expect_core(c->tickets, 0);
    for (int i = 0; i < 2; i++) { /* resumed, then full */
        ts_conn_next(c, cli, i == 0 ? ss : NULL);
        ts_conn_handshake(c);
        ts_expect_core(c->tickets, c->server.resumed);
    }
    if (proto == TS_TLS13)
        ts_version_is(TS_CLEAR_AFTER_TLS13, c->established);
    else
        ts_ok(c->established, "%s: an SSL serves again after SSL_clear()",
              ts_proto_name(proto));
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- types ------------------------------------------------------------------------- */

#define IS_OF(function, ...) _Generic(&function, __VA_ARGS__: 1, default: 0)
#define HAS_TYPE(function, ...) \
    ts_ok(IS_OF(function, __VA_ARGS__), #function "() has the type it always had")

/* What lies inside a certificate is const since 4.0. */
#if OPENSSL_VERSION_NUMBER >= 0x40000000L
# define SINCE_4 const
#else
# define SINCE_4
#endif

static void types(void)
{
    HAS_TYPE(SSL_CTX_set_session_ticket_cb,
             int (*)(SSL_CTX *, int (*)(SSL *, void *),
                     int (*)(SSL *, SSL_SESSION *, const unsigned char *,
                             size_t, int, void *), void *));
    HAS_TYPE(SSL_SESSION_set1_ticket_appdata,
             int (*)(SSL_SESSION *, const void *, size_t));
    HAS_TYPE(SSL_SESSION_get0_ticket_appdata,
             int (*)(SSL_SESSION *, void **, size_t *));
    HAS_TYPE(SSL_CTX_new, SSL_CTX *(*)(const SSL_METHOD *));
    HAS_TYPE(SSL_CTX_ctrl, long (*)(SSL_CTX *, int, long, void *));
    HAS_TYPE(SSL_CTX_callback_ctrl, long (*)(SSL_CTX *, int, void (*)(void)));
    HAS_TYPE(SSL_CTX_set_session_id_context,
             int (*)(SSL_CTX *, const unsigned char *, unsigned int));
    HAS_TYPE(SSL_set_SSL_CTX, SSL_CTX *(*)(SSL *, SSL_CTX *));

    ts_ok(IS_OF(X509_get_X509_PUBKEY, SINCE_4 X509_PUBKEY *(*)(const X509 *)),
          "X509_get_X509_PUBKEY() has this release's type");
    ts_ok(IS_OF(X509_get_subject_name, SINCE_4 X509_NAME *(*)(const X509 *)),
          "X509_get_subject_name() has this release's type");
}

int main(void)
{
    context_and_ex_data();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        cleared(*p);
    types();
    return ts_done();
}
