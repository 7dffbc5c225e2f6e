/* ctx.c: protocols and contexts. */
#include "internal.h"

const ts_proto ts_all_protos[] = { TS_TLS12, TS_TLS13, TS_DTLS12, TS_PROTO_END };
const ts_proto ts_tls_protos[] = { TS_TLS12, TS_TLS13, TS_PROTO_END };

const char *ts_proto_name(ts_proto proto)
{
    switch (proto) {
    case TS_TLS12: return "TLS 1.2";
    case TS_TLS13: return "TLS 1.3";
    case TS_DTLS12: return "DTLS 1.2";
    }
    return "?";
}

int ts_full_tickets(ts_proto proto)
{
    return proto == TS_TLS13 ? 2 : 1;
}

const char *ts_full(ts_proto proto)
{
    return proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
}

const char *ts_resumed(ts_proto proto)
{
    return proto == TS_TLS13 ? "resumed, 1 ticket" : "resumed, 0 tickets";
}

const char *ts_kind_name(ts_kind kind)
{
    switch (kind) {
    case TS_PLAIN: return "plain";
    case TS_PROPERTIES: return "with properties";
    case TS_OWN_LIBRARY: return "with a library context";
    case TS_N_KINDS: break;
    }
    return "?";
}

static SSL_CTX *new_ctx(ts_kind kind, ts_proto proto)
{
    int version = proto == TS_TLS12 ? TLS1_2_VERSION
        : proto == TS_TLS13 ? TLS1_3_VERSION : DTLS1_2_VERSION;
    SSL_CTX *ctx = ts_ctx_new(kind, proto == TS_DTLS12 ? DTLS_method()
                              : TLS_method());

    if (ctx == NULL
        || SSL_CTX_set_min_proto_version(ctx, version) != 1
        || SSL_CTX_set_max_proto_version(ctx, version) != 1)
        ts_bail("cannot make a context for %s, %s", ts_proto_name(proto),
                ts_kind_name(kind));
    return ctx;
}

static void trust_ca(SSL_CTX *ctx)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ts_ca()->x509) != 1)
        ts_bail("cannot trust the CA");
}

void ts_use_cert(SSL_CTX *ctx, const ts_cert *cert, ts_cert *const *chain,
                 size_t n)
{
    if (SSL_CTX_use_certificate(ctx, cert->x509) != 1
        || SSL_CTX_use_PrivateKey(ctx, cert->key) != 1)
        ts_bail("cannot use a certificate");
    for (size_t i = 0; i < n; i++)
        if (SSL_CTX_add1_chain_cert(ctx, chain[i]->x509) != 1)
            ts_bail("cannot add to the chain");
}

SSL_CTX *ts_server_ctx(ts_proto proto)
{
    return ts_server_ctx_of(TS_PLAIN, proto);
}

SSL_CTX *ts_client_ctx(ts_proto proto)
{
    return ts_client_ctx_of(TS_PLAIN, proto);
}

SSL_CTX *ts_server_ctx_of(ts_kind kind, ts_proto proto)
{
    static const unsigned char id[] = "ts";
    SSL_CTX *ctx = new_ctx(kind, proto);

    ts_use_cert(ctx, ts_server_cert(), NULL, 0);
    if (SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) != 1)
        ts_bail("cannot set the session id context");
    return ctx;
}

SSL_CTX *ts_client_ctx_of(ts_kind kind, ts_proto proto)
{
    SSL_CTX *ctx = new_ctx(kind, proto);

    trust_ca(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* conn.c keeps the sessions: the client's own cache would get in the way. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT
                                   | SSL_SESS_CACHE_NO_INTERNAL);
    return ctx;
}

void ts_ask_client_cert(SSL_CTX *server)
{
    trust_ca(server);
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER
                       | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}
