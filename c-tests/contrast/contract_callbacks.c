/*
 * contract_callbacks.c: the contract (harness/contract.h), where callbacks ask for a certificate in the midst of a handshake,
 * where it is asked for after it, and where ciphers change.
 *
 * ts-run:
 * ts-run: TICKETSHIM_BIND=stock
 */
#include <string.h>

#include "ts.h"

/* Of a CA that is trusted from the beginning; who asks for a certificate is to be seen. */
static void trusts(SSL_CTX *ctx)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
}

static void offers_alpn(ts_conn *c, ts_who who)
{
    static const unsigned char http[] = "\x08http/1.1";

    (void)who;
    if (SSL_set_alpn_protos(c->client.ssl, http, sizeof(http) - 1) != 0)
        ts_bail("cannot offer a protocol");
}

/* ---- certificate callbacks: not called when a session is resumed ------------------------- */

static int asks_nothing(SSL *ssl, void *arg)
{
    (void)ssl;
    (void)arg;
    return 1;
}

static int asks_at_last(SSL *ssl, void *arg)
{
    (void)arg;
    SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return 1;
}

static void cert_callback(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    if (strict)
        SSL_CTX_set_cert_cb(ctx, asks_at_last, NULL);
}

static void two_cert_callbacks(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    SSL_CTX_set_cert_cb(ctx, strict ? asks_at_last : asks_nothing, NULL);
}

static void cert_callback_that_asks_nothing(SSL_CTX *ctx, int strict)
{
    (void)strict;
    SSL_CTX_set_cert_cb(ctx, asks_nothing, NULL);
}

static void only_trusts(SSL_CTX *ctx, int strict)
{
    (void)strict;
    trusts(ctx);
}

static void cert_callback_of_connection(ts_conn *c, int strict)
{
    if (strict)
        SSL_set_cert_cb(c->server.ssl, asks_at_last, NULL);
}

/* ---- ALPN callbacks: called when a session is resumed, too -------------------------------- */

static int takes_first(SSL *ssl, const unsigned char **out, unsigned char *len,
                       const unsigned char *in, unsigned in_len, void *asks)
{
    (void)in_len;
    *out = in + 1;
    *len = in[0];
    if (asks != NULL)
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return SSL_TLSEXT_ERR_OK;
}

static void alpn_callback(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    if (strict)
        SSL_CTX_set_alpn_select_cb(ctx, takes_first, ctx);
}

static void two_alpn_callbacks(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    SSL_CTX_set_alpn_select_cb(ctx, takes_first, strict ? ctx : NULL);
}

static void alpn_callback_that_asks_nothing(SSL_CTX *ctx, int strict)
{
    (void)strict;
    SSL_CTX_set_alpn_select_cb(ctx, takes_first, NULL);
}

/* ---- ClientHello and servername callbacks: called before ------------------------------------ */

static int on_hello(SSL *ssl, int *alert, void *asks)
{
    (void)alert;
    if (asks != NULL)
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static void hello_callback(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, strict ? ctx : NULL);
}

static void hello_callback_that_asks_nothing(SSL_CTX *ctx, int strict)
{
    (void)strict;
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
}

static int on_name(SSL *ssl, int *alert, void *asks)
{
    (void)alert;
    if (asks != NULL)
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return SSL_TLSEXT_ERR_OK;
}

static void name_callback(SSL_CTX *ctx, int strict)
{
    trusts(ctx);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, strict ? ctx : NULL);
}

static void name_callback_that_asks_nothing(SSL_CTX *ctx, int strict)
{
    (void)strict;
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, NULL);
}

/* To a context that demands, or to one that does not; each has its own ones. */
static void switches(SSL_CTX *ctx, int strict, ts_switch where, int demands, SSL_verify_cb callback)
{
    static ts_vhost hosts[32][2];
    static size_t n;
    ts_vhost *host = hosts[n++];
    SSL_CTX *to = ts_for_good(ts_server_ctx(SSL_CTX_get_min_proto_version(ctx) == TLS1_3_VERSION
                              ? TS_TLS13 : SSL_CTX_get_min_proto_version(ctx) == TLS1_2_VERSION
                              ? TS_TLS12 : TS_DTLS12));

    if (n == sizeof(hosts) / sizeof(hosts[0]))
        ts_bail("too many contexts");
    if (demands)
        ts_demand(to, ts_client_ca(), callback);
    (void)strict;
    host[0].name = "shop.example";
    host[0].ctx = to;
    ts_vhosts(ctx, where, host);
}

static void name_switches(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_SERVERNAME, strict, NULL);
}

static void hello_switches(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_CLIENT_HELLO, strict, NULL);
}

static void name_switches_to_alike(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_SERVERNAME, 0, NULL);
}

static void hello_switches_to_alike(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_CLIENT_HELLO, 0, NULL);
}

static int takes_all(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static void name_switches_to_lax(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_SERVERNAME, 1, strict ? NULL : takes_all);
}

static void hello_switches_to_lax(SSL_CTX *ctx, int strict)
{
    switches(ctx, strict, TS_IN_CLIENT_HELLO, 1, strict ? NULL : takes_all);
}

/* ---- after the handshake ------------------------------------------------------------------------ */

static void can_be_asked_later(ts_conn *c, ts_who who)
{
    (void)who;
    SSL_set_post_handshake_auth(c->client.ssl, 1);
}

static void asks_later(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), strict ? NULL : takes_all);
    SSL_CTX_set_verify(ctx, TS_DEMANDS | SSL_VERIFY_POST_HANDSHAKE, strict ? NULL : takes_all);
}

static void posts(ts_conn *c, int strict)
{
    (void)strict;
    if (SSL_verify_client_post_handshake(c->server.ssl) == 1)
        SSL_do_handshake(c->server.ssl);
    ts_conn_pump(c);
    ts_conn_pump(c);
}

/* As Apache does it in a <Location>. */
static void sets_and_posts(ts_conn *c, int strict)
{
    SSL_set_verify(c->server.ssl, TS_DEMANDS | SSL_VERIFY_POST_HANDSHAKE, strict ? NULL : takes_all);
    posts(c, strict);
}

static void may_renegotiate(SSL_CTX *ctx, int strict)
{
    (void)strict;
    trusts(ctx);
#ifdef SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
#endif
}

/* It is the client that begins: only so is it in full, and brings a ticket. */
static void renegotiates(ts_conn *c, int strict)
{
    SSL_set_verify(c->server.ssl, TS_DEMANDS, strict ? NULL : takes_all);
    if (SSL_renegotiate(c->client.ssl) != 1)
        ts_bail("cannot renegotiate");
    for (int i = 0; i < 6; i++)
        ts_conn_pump(c);
}

/* ---- ciphers ---------------------------------------------------------------------------------- */

#define LAX_CIPHERS "ECDHE-ECDSA-AES256-GCM-SHA384"
#define STRICT_CIPHERS "ECDHE-ECDSA-AES128-GCM-SHA256"

static void ciphers(SSL_CTX *ctx, int strict)
{
    if (SSL_CTX_set_cipher_list(ctx, strict ? STRICT_CIPHERS : LAX_CIPHERS) != 1)
        ts_bail("cannot set ciphers");
}

static void ciphers_of_connection(ts_conn *c, int strict)
{
    if (SSL_set_cipher_list(c->server.ssl, strict ? STRICT_CIPHERS : LAX_CIPHERS) != 1)
        ts_bail("cannot set ciphers");
}

static void ciphers_by_conf(SSL_CTX *ctx, int strict)
{
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();

    SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER);
    SSL_CONF_CTX_set_ssl_ctx(conf, ctx);
    if (SSL_CONF_cmd(conf, "CipherString", strict ? STRICT_CIPHERS : LAX_CIPHERS) != 2)
        ts_bail("SSL_CONF_cmd() failed");
    SSL_CONF_CTX_free(conf);
}

/* ---- the table ----------------------------------------------------------------------------------- */

#define PLAIN .plain = 1, .nobody_is_member = 1
#define OLD (TS_ON(TS_TLS12) | TS_ON(TS_DTLS12))

static const ts_way ways[] = {
    { .name = "nobody is asked", PLAIN },
    { .name = "certificate callback", .ctx = cert_callback, .twin = TS_ISOLATED },
    { .name = "one certificate callback or another", .ctx = two_cert_callbacks, .twin = TS_ISOLATED },
    { .name = "certificate callback of the connection", .ctx = only_trusts, .server = cert_callback_of_connection,
      .twin = TS_ISOLATED },
    { .name = "certificate callback that asks nothing", .ctx = cert_callback_that_asks_nothing, PLAIN, .learns = 1 },
    { .name = "ALPN callback", .ctx = alpn_callback, .client = offers_alpn, .twin = TS_ISOLATED },
    { .name = "one ALPN callback or another", .ctx = two_alpn_callbacks, .client = offers_alpn, .twin = TS_ISOLATED },
    { .name = "ALPN callback that asks nothing", .ctx = alpn_callback_that_asks_nothing, .client = offers_alpn, PLAIN },
    { .name = "ClientHello callback", .ctx = hello_callback },
    { .name = "ClientHello callback that asks nothing", .ctx = hello_callback_that_asks_nothing, PLAIN },
    { .name = "ClientHello callback that switches", .ctx = hello_switches },
    { .name = "ClientHello callback that switches to a lax context", .ctx = hello_switches_to_lax, .intruder = TS_EVIL },
    { .name = "ClientHello callback that switches to one alike", .ctx = hello_switches_to_alike, PLAIN },
    { .name = "servername callback", .ctx = name_callback, .learns = 1 },
    { .name = "servername callback that asks nothing", .ctx = name_callback_that_asks_nothing, PLAIN },
    { .name = "servername callback that switches", .ctx = name_switches, .learns = 1 },
    { .name = "servername callback that switches to a lax context", .ctx = name_switches_to_lax,
      .intruder = TS_EVIL, .learns = 1 },
    { .name = "servername callback that switches to one alike", .ctx = name_switches_to_alike, PLAIN },
    { .name = "after the handshake", .protos = TS_ON(TS_TLS13), .ctx = asks_later, .client = can_be_asked_later,
      .later = posts, .intruder = TS_EVIL, .twin = TS_EITHER },
    { .name = "after the handshake, by a mode that is set then", .protos = TS_ON(TS_TLS13), .ctx = only_trusts,
      .client = can_be_asked_later, .later = sets_and_posts, .intruder = TS_EVIL, .twin = TS_ISOLATED },
    { .name = "by renegotiation", .protos = TS_ON(TS_TLS12), .ctx = may_renegotiate, .later = renegotiates,
      .intruder = TS_EVIL, .twin = TS_ISOLATED },
    { .name = "ciphers", .protos = OLD, .ctx = ciphers, .harmless = 1, .nobody_is_member = 1 },
    { .name = "ciphers of the connection", .protos = OLD, .server = ciphers_of_connection, .harmless = 1,
      .nobody_is_member = 1 },
    { .name = "ciphers by SSL_CONF", .protos = OLD, .ctx = ciphers_by_conf, .harmless = 1, .nobody_is_member = 1 },
};

int main(int argc, char **argv)
{
    return ts_contract(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
