/*
 * library_contexts_mixed.c: a ticket is the same whichever of libssl's two
 * callbacks it went through: one that was sealed in a context of one kind opens
 * in contexts of the others. (With libssl alone each context has keys of its
 * own, hence under the shim only.)
 */
#include "ts.h"

static void pair(ts_proto proto, ts_kind sealed, ts_kind opened)
{
    SSL_CTX *a = ts_server_ctx_of(sealed, proto),
        *b = ts_server_ctx_of(opened, proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss = ts_fresh_session(a, cli), *next;
    ts_conn *c = ts_connect(b, cli, ss);

    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: sealed %s, opened %s",
              ts_proto_name(proto), ts_kind_name(sealed), ts_kind_name(opened));
    ts_expect_core(ts_full_tickets(proto) + c->tickets, 1);
    next = ts_session(c);
    ts_conn_free(c);

    /* And back: in TLS 1.3 with the one that the second context has sealed. */
    c = ts_connect(a, cli, next);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: … and back",
              ts_proto_name(proto));
    ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(next);
    SSL_SESSION_free(ss);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
    SSL_CTX_free(cli);
}

int main(void)
{
    for (const ts_proto *p = ts_tls_protos; *p != TS_PROTO_END; p++)
        for (ts_kind a = TS_PLAIN; a < TS_N_KINDS; a++)
            for (ts_kind b = TS_PLAIN; b < TS_N_KINDS; b++)
                if (ts_have_kind(a) && ts_have_kind(b))
                    pair(*p, a, b);
    ts_expect_refused(0, 0, 0);
    return ts_done();
}
