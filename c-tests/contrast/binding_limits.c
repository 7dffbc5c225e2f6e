/*
 * binding_limits.c: what is not bound, because no ticket of the core's is in it:
 * sessions that the server itself keeps. They are libssl's, and go nowhere but
 * to the context that made them; there they resume under any name, with and
 * without the shim. docs/binding.md tells operators so, and this program holds
 * it to that.
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

static void no_ticket_wanted(ts_conn *c, int stage, void *arg)
{
    (void)arg;
    if (stage == 0)
        SSL_set_options(c->client.ssl, SSL_OP_NO_TICKET);
}

/* One full connection whose session the server keeps. */
static SSL_SESSION *kept(SSL_CTX *ctx, SSL_CTX *cli, const char *name,
                         int no_ticket)
{
    ts_conn *c = ts_conn_new(ctx, cli, NULL);
    SSL_SESSION *ss;

    if (no_ticket)
        no_ticket_wanted(c, 0, NULL);
    if (SSL_set_tlsext_host_name(c->client.ssl, name) != 1)
        ts_bail("cannot set the server's name");
    ts_conn_handshake(c);
    ss = ts_session(c);
    if (ss == NULL)
        ts_bail("no session: %s", ts_outcome(c));
    ts_conn_free(c);
    return ss;
}

static void arrives(ts_journey j, const char *what, const char *name,
                    SSL_CTX *to, SSL_SESSION *ss, ts_fate fate)
{
    int stateful = SSL_CTX_get_max_early_data(j.from) > 0
        || (SSL_CTX_get_options(j.from) & SSL_OP_NO_TICKET) != 0;

    j.to = to;
    j.to_name = name;
    j.what = what;
    j.shim = fate;
    j.counted = 1;
    j.count = stateful ? TS_COUNT_KEPT : TS_COUNT_NOTHING;
    SSL_SESSION_free(ts_arrive(&j, ss, fate));
}

/* Session ids, up to TLS 1.2: a client that wants no ticket. */
static void session_ids(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p), *twin = ts_server_ctx(p),
        *cli = ts_client_ctx(p);
    SSL_SESSION *ss = kept(ctx, cli, A, 1);
    const ts_journey j = { .proto = p, .from = ctx, .cli = cli };

    ts_ok(!SSL_SESSION_has_ticket(ss), "%s: a session without a ticket",
          ts_proto_name(p));
    arrives(j, "a session id, under its name", A, NULL, ss, TS_RESUMES);
    arrives(j, "a session id, under another name", B, NULL, ss, TS_RESUMES);
    arrives(j, "a session id, at a context configured alike", A, twin, ss, TS_FULL);
    SSL_SESSION_free(ss);
    SSL_CTX_free(ctx);
    SSL_CTX_free(twin);
    SSL_CTX_free(cli);
}

/* TLS 1.3 with SSL_OP_NO_TICKET, or with early data: the ticket is an id. */
static void stateful_tickets(int early)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13), *twin = ts_server_ctx(TS_TLS13),
        *cli = ts_client_ctx(TS_TLS13);
    const ts_journey j = { .proto = TS_TLS13, .from = ctx, .cli = cli };
    SSL_SESSION *ss;

    ts_note("%s", early ? "early data, with libssl's protection from replay"
            : "SSL_OP_NO_TICKET");
    if (early) {
        SSL_CTX_set_max_early_data(ctx, 1000);
        SSL_CTX_set_max_early_data(twin, 1000);
    } else {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_options(twin, SSL_OP_NO_TICKET);
    }
    ss = kept(ctx, cli, A, 0);
    arrives(j, "a session that is kept, at a context configured alike", A, twin,
            ss, TS_FULL);
    arrives(j, "a session that is kept, under another name", B, NULL, ss,
            TS_RESUMES);
    SSL_SESSION_free(ss);
    SSL_CTX_free(ctx);
    SSL_CTX_free(twin);
    SSL_CTX_free(cli);
}

/*
 * A session that is resumed by its id may ask for a ticket. That is for the
 * name in the session, where the server's callback acknowledged one; otherwise
 * libssl tells nobody the name, and it is for none.
 */
static void ticket_for_a_session_id(ts_proto p, int acknowledged)
{
    SSL_CTX *ctx = ts_server_ctx(p), *a = ts_server_ctx(p), *b = ts_server_ctx(p),
        *cli = ts_client_ctx(p);
    const ts_vhost hosts[] = { { A, a }, { B, b }, { NULL, NULL } };
    ts_journey j = { .proto = p, .from = ctx, .cli = cli, .to_name = B,
        .shim = TS_RESUMES, .counted = 1, .count = TS_COUNT_NOTHING,
        .what = "A's session id under B, asking for a ticket" };
    SSL_SESSION *ss, *next;

    ts_note("names are %sacknowledged", acknowledged ? "" : "not ");
    if (acknowledged)
        ts_vhosts(ctx, TS_IN_SERVERNAME, hosts);
    ss = kept(ctx, cli, A, 1);
    next = ts_arrive(&j, ss, TS_RESUMES);
    ts_ok(next != NULL && SSL_SESSION_has_ticket(next), "… which it gets");
    j.counted = 0;
    j.shim = TS_FULL;
    j.what = "… that, under B";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    j.to_name = A;
    j.shim = acknowledged ? TS_RESUMES : TS_FULL;
    j.what = "… that, under A";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    j.to_name = NULL;
    j.shim = acknowledged ? TS_FULL : TS_RESUMES;
    j.what = "… that, without a name";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    SSL_SESSION_free(ss);
    SSL_SESSION_free(next);
    SSL_CTX_free(ctx);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
    SSL_CTX_free(cli);
}

int main(void)
{
    session_ids(TS_TLS12);
    session_ids(TS_DTLS12);
    stateful_tickets(0);
    stateful_tickets(1);
    ticket_for_a_session_id(TS_TLS12, 1);
    ticket_for_a_session_id(TS_TLS12, 0);
    return ts_done();
}
