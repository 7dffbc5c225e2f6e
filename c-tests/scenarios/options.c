/*
 * options.c: what a server's options make of tickets. With SSL_OP_NO_TICKET,
 * and with early data under anti-replay, sessions stay at the server and the
 * "ticket" of TLS 1.3 is only a session id: no key seals it, so the core has
 * nothing to do. See session_cache.c for where such sessions are kept.
 */
#include <string.h>

#include "ts.h"

/* One connection; `core`: its tickets are sealed, and opened, by the core. */
static SSL_SESSION *outcome_is(ts_rig *r, SSL_SESSION *offer, int core,
                               const char *outcome, const char *log,
                               const char *what)
{
    ts_conn *c;
    SSL_SESSION *ss;

    ts_cb_reset(&r->cb);
    c = ts_connect(r->srv, r->cli, offer);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_is_str(r->cb.log, log, "%s: … callbacks: %s", r->name, log);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    if (core)
        ts_expect_core(c->tickets, c->server.resumed);
    ss = ts_session(c);
    ts_conn_free(c);
    return ss;
}

/* ---- SSL_OP_NO_TICKET ---------------------------------------------------------- */

/* A session that the server knows by its id. */
static void is_stateful(const ts_rig *r, SSL_SESSION *ss)
{
    size_t ticket;
    unsigned id;

    ts_ticket(ss, &ticket);
    SSL_SESSION_get_id(ss, &id);
    if (r->proto == TS_TLS13)
        ts_is_int((long)ticket, 32, "%s: … its ticket is a session id", r->name);
    else
        ts_ok(ticket == 0 && id == 32, "%s: … it has an id and no ticket",
              r->name);
}

/* In TLS 1.3 gen_cb is called all the same, and dec_cb is not. */
static void no_ticket(ts_proto proto)
{
    int tls13 = proto == TS_TLS13;
    const char *full = tls13 ? "full, 2 tickets" : "full, 0 tickets";
    const char *full_log = tls13 ? "gen gen" : "";
    const char *resumed_log = tls13 ? "gen" : "";
    const char *gen = tls13 ? "gen gen" : "dec:EMPTY gen";
    SSL_SESSION *ticket, *id, *next;
    ts_rig r;

    ts_rig_up(&r, proto);
    ticket = outcome_is(&r, NULL, 1, ts_full(proto), gen, "with tickets");
    SSL_CTX_set_options(r.srv, SSL_OP_NO_TICKET);
    id = outcome_is(&r, NULL, 0, full, full_log, "NO_TICKET");
    is_stateful(&r, id);
    next = outcome_is(&r, id, 0, ts_resumed(proto), resumed_log,
                      "NO_TICKET, its session");
    SSL_SESSION_free(next);
    SSL_SESSION_free(outcome_is(&r, ticket, 0, full, full_log,
                                "NO_TICKET, a ticket from before"));
    SSL_CTX_clear_options(r.srv, SSL_OP_NO_TICKET);
    SSL_SESSION_free(outcome_is(&r, ticket, 1, ts_resumed(proto),
                                tls13 ? "dec:SUCCESS_RENEW gen" : "dec:SUCCESS",
                                "tickets again, the ticket"));
    SSL_SESSION_free(ticket);
    SSL_SESSION_free(id);
    ts_rig_down(&r);
}

/* For one connection only. */
static void no_ticket_for_one(ts_proto proto)
{
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    c = ts_conn_new(r.srv, r.cli, NULL);
    SSL_set_options(c->server.ssl, SSL_OP_NO_TICKET);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), proto == TS_TLS13 ? "full, 2 tickets"
              : "full, 0 tickets", "%s: NO_TICKET on one SSL", r.name);
    is_stateful(&r, c->session[0]);
    ts_conn_free(c);
    SSL_SESSION_free(outcome_is(&r, NULL, 1, ts_full(proto), proto == TS_TLS13
                                ? "gen gen" : "dec:EMPTY gen", "the next one"));
    ts_rig_down(&r);
}

/* ---- early data (TLS 1.3) -------------------------------------------------------- */

static const char early[] = "GET / HTTP/1.0";

/* Offers `ss` with early data: does it resume, is the data taken? */
static void early_is(ts_rig *r, SSL_SESSION *ss, int core, int accepted,
                     const char *outcome, const char *what)
{
    ts_conn *c = ts_conn_new(r->srv, r->cli, ss);
    size_t got = ts_conn_early(c, early, sizeof(early));

    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), outcome, "early data: %s: %s", what, outcome);
    ts_is_int((long)got, accepted ? (long)sizeof(early) : 0,
              "early data: … %s", accepted ? "arrived" : "did not arrive");
    ts_is_int(SSL_get_early_data_status(c->client.ssl), accepted
              ? SSL_EARLY_DATA_ACCEPTED : SSL_EARLY_DATA_REJECTED,
              "early data: … and the client is told so");
    if (core)
        ts_expect_core(c->tickets, c->server.resumed);
    ts_conn_free(c);
}

/* Anti-replay, libssl's default: each session is good for one use. */
static void early_once(void)
{
    SSL_SESSION *ss;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    SSL_CTX_set_max_early_data(r.srv, 1024);
    ss = outcome_is(&r, NULL, 0, "full, 2 tickets", "gen gen",
                    "early data allowed");
    is_stateful(&r, ss);
    ts_is_int(SSL_SESSION_get_max_early_data(ss), 1024,
              "early data: the session allows it");
    early_is(&r, ss, 0, 1, "resumed, 1 ticket", "first use");
    early_is(&r, ss, 0, 0, "full, 2 tickets", "replayed");
    SSL_SESSION_free(ss);

    /* Used up by a connection without early data just as well. */
    ss = outcome_is(&r, NULL, 0, "full, 2 tickets", "gen gen",
                    "early data allowed");
    SSL_SESSION_free(outcome_is(&r, ss, 0, "resumed, 1 ticket", "gen",
                                "resumed without early data"));
    early_is(&r, ss, 0, 0, "full, 2 tickets", "second use");
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* Without anti-replay tickets are sealed: the core's, good for many uses. */
static void early_often(void)
{
    SSL_SESSION *ss, *bad;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    SSL_CTX_set_max_early_data(r.srv, 1024);
    SSL_CTX_set_options(r.srv, SSL_OP_NO_ANTI_REPLAY);
    ss = outcome_is(&r, NULL, 1, "full, 2 tickets", "gen gen",
                    "without anti-replay");
    early_is(&r, ss, 1, 1, "resumed, 1 ticket", "first use");
    early_is(&r, ss, 1, 1, "resumed, 1 ticket", "and again");
    ts_is_str(r.cb.log, "gen gen dec:SUCCESS_RENEW gen dec:SUCCESS_RENEW gen",
              "early data: … callbacks are called as ever");
    bad = ts_with_flip(ss, 0, 1);
    early_is(&r, bad, 1, 0, "full, 2 tickets", "a ticket that nobody knows");
    ts_expect_refused(1, 0, 0);
    SSL_SESSION_free(bad);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* A server that stops allowing it: the ticket resumes, the data is dropped. */
static void early_no_more(void)
{
    SSL_SESSION *ss;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    SSL_CTX_set_max_early_data(r.srv, 1024);
    SSL_CTX_set_options(r.srv, SSL_OP_NO_ANTI_REPLAY);
    ss = outcome_is(&r, NULL, 1, "full, 2 tickets", "gen gen", "allowed");
    SSL_CTX_set_max_early_data(r.srv, 0);
    early_is(&r, ss, 1, 0, "resumed, 1 ticket", "allowed no more");
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* ---- session timeout --------------------------------------------------------------- */

/* gen_cb makes the session as old as cb->user says, in seconds. */
static int make_old(SSL *s, ts_cb *cb)
{
    ts_session_set_age(SSL_get_session(s), *(long *)cb->user);
    return 1;
}

static void timeout(ts_proto proto)
{
    const char *gen = proto == TS_TLS13 ? "gen gen" : "dec:EMPTY gen";
    const char *opened = proto == TS_TLS13 ? "dec:SUCCESS_RENEW gen"
        : "dec:SUCCESS";
    const char *expired = proto == TS_TLS13 ? "dec:SUCCESS_RENEW gen gen"
        : "dec:SUCCESS gen";
    SSL_SESSION *young, *old;
    long age = 50;
    ts_rig r;

    ts_rig_up(&r, proto);
    SSL_CTX_set_timeout(r.srv, 100);
    r.cb.on_gen = make_old;
    r.cb.user = &age;
    young = outcome_is(&r, NULL, 1, ts_full(proto), gen, "50 of 100 s old");
    age = 150;
    old = outcome_is(&r, NULL, 1, ts_full(proto), gen, "150 of 100 s old");
    age = 0;
    SSL_SESSION_free(outcome_is(&r, young, 1, ts_resumed(proto), opened,
                                "within its timeout"));
    SSL_SESSION_free(outcome_is(&r, old, 1, ts_full(proto), expired,
                                "past its timeout"));
    ts_expect_core(0, 1); /* the ticket opened; libssl refused the session */
    /* The timeout is the session's, from when it was made. */
    SSL_CTX_set_timeout(r.srv, 10);
    SSL_SESSION_free(outcome_is(&r, young, 1, ts_resumed(proto), opened,
                                "a shorter timeout since"));
    SSL_SESSION_free(young);
    SSL_SESSION_free(old);
    ts_rig_down(&r);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        no_ticket(*p);
        no_ticket_for_one(*p);
        timeout(*p);
    }
    early_once();
    early_often();
    early_no_more();
    return ts_done();
}
