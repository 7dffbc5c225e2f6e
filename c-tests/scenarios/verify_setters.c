/*
 * verify_setters.c: the functions by which an application takes part in whether
 * a client gets in do and return what they always did, also for what libssl
 * refuses; and where no client is asked for anything they cost no resumption.
 */
#include <openssl/x509v3.h>

#include "ts.h"

/* What deprecation warnings say is not what this is about. */
#if defined(__GNUC__)
# pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

static int cert_cb(SSL *s, void *arg)
{
    (void)s;
    ++*(int *)arg;
    return 1;
}

static int verify_cb(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

#ifndef OPENSSL_NO_PSK
static unsigned int psk_cb(SSL *s, const char *identity, unsigned char *psk,
                           unsigned int max)
{
    (void)s;
    (void)identity;
    (void)psk;
    (void)max;
    return 0;
}
#endif

static int find_cb(SSL *s, const unsigned char *identity, size_t len,
                   SSL_SESSION **session)
{
    (void)s;
    (void)identity;
    (void)len;
    *session = NULL;
    return 1;
}

#ifndef OPENSSL_NO_SRP
static int srp_cb(SSL *s, int *alert, void *arg)
{
    (void)s;
    (void)alert;
    (void)arg;
    return SSL_ERROR_NONE;
}
#endif

static void of_a_context(SSL_CTX *ctx, int *calls)
{
    SSL *donor = SSL_new(ctx);

    ts_is_int(SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT), 1,
              "SSL_CTX_set_purpose()");
    ts_is_int(SSL_CTX_set_purpose(ctx, 9999), 0, "a purpose that is none");
    ERR_clear_error();
    ts_is_int(SSL_CTX_set_trust(ctx, X509_TRUST_SSL_CLIENT), 1,
              "SSL_CTX_set_trust()");
    ts_is_int(SSL_CTX_set_trust(ctx, 9999), 0, "a trust that is none");
    ERR_clear_error();
    ts_ok(SSL_CTX_get0_param(ctx) != NULL
          && SSL_CTX_get0_param(ctx) == SSL_CTX_get0_param(ctx)
          && SSL_CTX_get0_param(ctx) != SSL_get0_param(donor),
          "SSL_CTX_get0_param() gives the context's own");
    ts_is_int(SSL_CTX_set1_param(ctx, SSL_get0_param(donor)), 1,
              "SSL_CTX_set1_param()");
    SSL_CTX_set_cert_cb(ctx, cert_cb, calls);
    SSL_CTX_set_cert_verify_callback(ctx, verify_cb, NULL);
#ifndef OPENSSL_NO_PSK
    SSL_CTX_set_psk_server_callback(ctx, psk_cb);
#endif
    SSL_CTX_set_psk_find_session_callback(ctx, find_cb);
    SSL_free(donor);
}

static void of_an_ssl(SSL *ssl, int *calls)
{
    X509_VERIFY_PARAM *param = X509_VERIFY_PARAM_new();

    ts_is_int(SSL_set_purpose(ssl, X509_PURPOSE_SSL_CLIENT), 1,
              "SSL_set_purpose()");
    ts_is_int(SSL_set_purpose(ssl, 9999), 0, "a purpose that is none");
    ERR_clear_error();
    ts_is_int(SSL_set_trust(ssl, X509_TRUST_SSL_CLIENT), 1, "SSL_set_trust()");
    ts_is_int(SSL_set_trust(ssl, 9999), 0, "a trust that is none");
    ERR_clear_error();
    ts_is_int(SSL_set1_host(ssl, "client.test"), 1, "SSL_set1_host()");
    ts_is_int(SSL_add1_host(ssl, "guest.test"), 1, "SSL_add1_host()");
    ts_is_int(SSL_set1_host(ssl, NULL), 1, "SSL_set1_host(NULL)");
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_WILDCARDS);
    ts_is_int(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "::1"), 1,
              "SSL_get0_param() can be changed");
    ts_is_int(SSL_set1_param(ssl, param), 1, "SSL_set1_param()");
    ts_is_int(SSL_dane_enable(ssl, "client.test"), 0,
              "SSL_dane_enable() wants SSL_CTX_dane_enable()");
    ERR_clear_error();
#if OPENSSL_VERSION_NUMBER >= 0x40000000L
    ts_ok(SSL_set1_dnsname(ssl, "client.test") == 1
          && SSL_add1_dnsname(ssl, "guest.test") == 1
          && SSL_set1_ipaddr(ssl, "::1") == 1
          && SSL_add1_ipaddr(ssl, "::2") == 1
          && SSL_set1_ipaddr(ssl, "none") == 0, "those since 4.0");
    ERR_clear_error();
#else
    ts_ok(1, "those since 4.0");
#endif
    SSL_set_cert_cb(ssl, cert_cb, calls);
#ifndef OPENSSL_NO_PSK
    SSL_set_psk_server_callback(ssl, psk_cb);
#endif
    SSL_set_psk_find_session_callback(ssl, find_cb);
    X509_VERIFY_PARAM_free(param);
}

static void take_back(SSL_CTX *ctx)
{
    SSL_CTX_set_cert_cb(ctx, NULL, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, NULL, NULL);
#ifndef OPENSSL_NO_PSK
    SSL_CTX_set_psk_server_callback(ctx, NULL);
#endif
    SSL_CTX_set_psk_find_session_callback(ctx, NULL);
}

static void of_a_store(void)
{
    X509_STORE *store = X509_STORE_new();
    X509_VERIFY_PARAM *param = X509_VERIFY_PARAM_new();

    ts_is_int(X509_STORE_set_purpose(store, X509_PURPOSE_SSL_CLIENT), 1,
              "X509_STORE_set_purpose()");
    ts_is_int(X509_STORE_set_purpose(store, 9999), 0, "a purpose that is none");
    ERR_clear_error();
    ts_is_int(X509_STORE_set_trust(store, X509_TRUST_SSL_CLIENT), 1,
              "X509_STORE_set_trust()");
    X509_VERIFY_PARAM_set_depth(param, 7);
    ts_is_int(X509_STORE_set1_param(store, param), 1, "X509_STORE_set1_param()");
    ts_is_int(X509_VERIFY_PARAM_get_depth(X509_STORE_get0_param(store)), 7,
              "X509_STORE_get0_param()");
    X509_VERIFY_PARAM_free(param);
    X509_STORE_free(store);
}

int main(void)
{
    of_a_store();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        int calls = 0;
        SSL_CTX *srv = ts_server_ctx(*p), *cli = ts_client_ctx(*p);
        SSL_SESSION *session;
        ts_conn *c;

        ts_note("%s", ts_proto_name(*p));
        of_a_context(srv, &calls);
        c = ts_conn_new(srv, cli, NULL);
        of_an_ssl(c->server.ssl, &calls);
        ts_conn_handshake(c);
        ts_is_str(ts_outcome(c), ts_full(*p), "all of them set");
        ts_is_int(calls, 1, "the certificate callback is called");
        session = ts_session(c);
        ts_conn_free(c);

        c = ts_connect(srv, cli, session);
        ts_is_str(ts_outcome(c), ts_resumed(*p), "resumed on another SSL");
        ts_is_int(calls, 1, "and not on a resumption");
        ts_conn_free(c);

        take_back(srv);
        c = ts_connect(srv, cli, session);
        ts_is_str(ts_outcome(c), ts_resumed(*p), "resumed when taken back");
        ts_conn_free(c);
        ts_expect_core_min(ts_full_tickets(*p), 2);
#ifndef OPENSSL_NO_SRP
        ts_is_int(SSL_CTX_set_srp_username_callback(srv, srp_cb), 1,
                  "SSL_CTX_set_srp_username_callback()");
        ts_is_int(SSL_CTX_set_srp_username_callback(srv, NULL), 1, "taken back");
        ts_is_int(SSL_CTX_set_srp_verify_param_callback(cli, NULL), 1,
                  "SSL_CTX_set_srp_verify_param_callback()");
#endif
        SSL_SESSION_free(session);
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
    return ts_done();
}
