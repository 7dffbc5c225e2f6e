/*
 * default_library.c: a thread may have another library context as its default
 * (OSSL_LIB_CTX_set0_default(3)), and contexts by SSL_CTX_new() are then made
 * there. Ex_data too belongs to a library context: the core is in contexts of the
 * one in which the process made its first, and the others keep libssl's tickets.
 */
#include "ts.h"

static void tickets(ts_proto proto, int core, const char *when)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    const char *name = ts_proto_name(proto);
    SSL_SESSION *ss;
    ts_conn *c;

    ts_expect_contexts(core ? 2 : 0, 0, when);
    if (!core)
        ts_expect_failures(2);
    c = ts_connect(srv, cli, NULL);
    ts_is_str(ts_outcome(c), ts_full(proto), "%s, %s: full handshake", name, when);
    ss = ts_session(c);
    if (core)
        ts_expect_core(c->tickets, 0);
    ts_conn_free(c);

    c = ts_connect(srv, cli, ss);
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
    all(0, "a third");
    ts_other_default_library(0);
    all(1, "the first one at last");
    return ts_done();
}
