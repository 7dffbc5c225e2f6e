/*
 * null_provider.c: a program that never wants the default library context loads
 * the null provider into it (OSSL_PROVIDER-null(7)) and makes its contexts with
 * a library context of its own. Nothing that the core needs may then come from
 * the default one.
 */
#include "ts.h"

static void tickets(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx_of(TS_OWN_LIBRARY, proto),
        *cli = ts_client_ctx_of(TS_OWN_LIBRARY, proto);
    const char *name = ts_proto_name(proto);
    SSL_SESSION *ss, *bad;
    size_t len;
    ts_conn *c;

    /* The first has libcrypto look for the certificates' SHA-1, in vain. */
    ERR_clear_error();
    SSL_CTX_free(ts_server_ctx_of(TS_OWN_LIBRARY, proto));
    ts_is_int(ERR_peek_error() != 0, 0, "%s: a context is made without an error",
              name);
    ts_expect_contexts(2, 0, name);

    c = ts_connect(srv, cli, NULL);
    ts_is_str(ts_outcome(c), ts_full(proto), "%s: full handshake", name);
    ss = ts_session(c);
    ts_conn_free(c);

    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: the ticket resumes", name);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", name);
    ts_conn_free(c);

    ts_ticket(ss, &len);
    bad = ts_with_flip(ss, len / 2, 0x10);
    c = ts_connect(srv, cli, bad);
    ts_is_str(ts_outcome(c), ts_full(proto), "%s: changed, it does not", name);
    ts_conn_free(c);

    ts_expect_core(2 * ts_full_tickets(proto) + (proto == TS_TLS13), 1);
    ts_expect_refused(0, 1, 0);
    SSL_SESSION_free(bad);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    if (!ts_use_null_provider()) {
        ts_ok(1, "n/a: no library contexts in this OpenSSL");
        ts_expect_core_unused();
        return ts_done();
    }
    ts_ok(!ts_default_library_has_sha256(),
          "nothing can be fetched from the default library context");
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        tickets(*p);
    ts_ok(!ts_default_library_has_sha256(), "… nor could it be meanwhile");
    return ts_done();
}
