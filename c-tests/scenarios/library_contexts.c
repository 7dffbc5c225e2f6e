/*
 * library_contexts.c: contexts that differ in where libssl fetches algorithms
 * from: the default library context, properties of their own, a library context
 * of their own. libssl asks the core through another of its two callbacks then,
 * and nothing else is different. For an application's own keys in each kind see
 * own_keys_order.c; for a default library context with nothing in it
 * null_provider.c.
 */
#include <string.h>

#include "ts.h"

#define APPDATA "which library was it?"

typedef struct rig {
    char name[48];
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_cb cb;
} rig;

/* A connection, what dec_cb was told, and what the core has of it. */
static SSL_SESSION *outcome_is(rig *r, SSL_SESSION *offer, const char *outcome,
                               int status, const char *what)
{
    SSL_SESSION *ss;
    ts_conn *c;

    ts_cb_reset(&r->cb);
    c = ts_connect(r->srv, r->cli, offer);
    ss = ts_session(c);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    ts_is_str(ts_status_name(r->cb.dec_status), ts_status_name(status),
              "%s: … dec_cb: %s", r->name, ts_status_name(status));
    ts_is_int(r->cb.gen_calls, c->tickets, "%s: … gen_cb for each ticket",
              r->name);
    ts_expect_core(c->tickets, c->server.resumed);
    ts_conn_free(c);
    return ss;
}

static void tickets(ts_kind kind, ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;
    rig r = { .proto = proto, .cb = init };
    SSL_SESSION *ss, *bad;
    size_t len;

    BIO_snprintf(r.name, sizeof(r.name), "%s, %s", ts_proto_name(proto),
                 ts_kind_name(kind));
    r.srv = ts_server_ctx_of(kind, proto);
    r.cli = ts_client_ctx(proto);
    ts_expect_contexts(2, 0, r.name);
    r.cb.appdata = APPDATA;
    r.cb.appdata_len = strlen(APPDATA);
    ts_cb_install(r.srv, &r.cb);

    /* Older clients say that they would like a ticket: an empty one. */
    ss = outcome_is(&r, NULL, ts_full(proto),
                    proto == TS_TLS13 ? -1 : SSL_TICKET_EMPTY, "first");
    ts_ok(r.cb.gen_set_failed == 0, "%s: … application data is set", r.name);

    SSL_SESSION_free(outcome_is(&r, ss, ts_resumed(proto), proto == TS_TLS13
                                ? SSL_TICKET_SUCCESS_RENEW : SSL_TICKET_SUCCESS,
                                "its ticket"));
    ts_is_mem(r.cb.seen, r.cb.seen_len, APPDATA, strlen(APPDATA),
              "%s: … the application data comes back", r.name);

    ts_ticket(ss, &len);
    bad = ts_with_flip(ss, len / 2, 0x10);
    SSL_SESSION_free(outcome_is(&r, bad, ts_full(proto), SSL_TICKET_NO_DECRYPT,
                                "a changed ticket"));
    ts_expect_refused(0, 1, 0);
    SSL_SESSION_free(bad);
    SSL_SESSION_free(ss);
    SSL_CTX_free(r.srv);
    SSL_CTX_free(r.cli);
    ts_cb_reset(&r.cb);
}

/* Raw keys, set and read: libssl's own way, from the context's own library. */
static void raw_keys(ts_kind kind, ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx_of(kind, proto), *cli = ts_client_ctx(proto);
    const char *name = ts_proto_name(proto), *what = ts_kind_name(kind);
    ts_raw_keys set, got;
    SSL_SESSION *ss;
    ts_conn *c;

    ts_raw_keys_make(&set, (unsigned char)(7 * kind + 1));
    ts_is_int(ts_set_raw_keys(srv, &set), 1, "%s, %s: raw keys set", name, what);
    ts_expect_contexts(1, 1, "raw keys set");
    ts_is_int(ts_get_raw_keys(srv, &got), 1, "%s, %s: … and read", name, what);
    ts_is_mem(&got, sizeof(got), &set, sizeof(set), "%s, %s: … the same", name,
              what);
    ss = ts_fresh_session(srv, cli);
    ts_ok(ts_opens_by_hand(&set, ss), "%s, %s: … the ticket opens by hand", name,
          what);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s, %s: … and resumes", name,
              what);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    for (ts_kind kind = TS_PLAIN; kind < TS_N_KINDS; kind++) {
        if (!ts_have_kind(kind)) {
            ts_note("n/a: no context %s in this OpenSSL", ts_kind_name(kind));
            continue;
        }
        for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
            tickets(kind, *p);
            raw_keys(kind, *p);
        }
    }
    return ts_done();
}
