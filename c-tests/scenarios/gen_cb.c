/*
 * gen_cb.c: when the callback that announces a ticket is called, and what its
 * answer does. SSL_CTX_set_session_ticket_cb(3): "gen_cb is … invoked when a
 * session ticket is about to be created".
 */
#include <string.h>

#include "ts.h"

/* One connection: outcome and gen_cb calls as wanted? Returns its session. */
static SSL_SESSION *connect_is(ts_rig *r, SSL_SESSION *offer, const char *outcome,
                               int gen_calls, const char *what)
{
    ts_conn *c;
    SSL_SESSION *ss;

    ts_cb_reset(&r->cb);
    c = ts_connect(r->srv, r->cli, offer);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_is_int(r->cb.gen_calls, gen_calls, "%s: %s: gen_cb called %d times",
              r->name, what, gen_calls);
    ts_expect_core(c->tickets, c->server.resumed);
    ss = ts_session(c);
    ts_conn_free(c);
    return ss;
}

/* Once per ticket: full handshake, then resumption. */
static void once_per_ticket(ts_proto proto)
{
    int tls13 = proto == TS_TLS13;
    SSL_SESSION *ss, *ss2;
    ts_rig r;

    ts_rig_up(&r, proto);
    ss = connect_is(&r, NULL, tls13 ? "full, 2 tickets" : "full, 1 ticket",
                    ts_full_tickets(proto), "full");
    ts_is_int(r.cb.gen_no_session, 0,
              "%s: SSL_get_session() works in gen_cb", r.name);
    ts_is_int(r.cb.queue_not_empty, 0,
              "%s: the error queue is empty in gen_cb", r.name);
    /* "In TLSv1.2 and below, a new session ticket is not issued on a
       successful resumption … In TLSv1.3 … always". */
    ss2 = connect_is(&r, ss, tls13 ? "resumed, 1 ticket" : "resumed, 0 tickets",
                     tls13, "resumption");
    SSL_SESSION_free(ss2);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* SSL_CTX_set_num_tickets(): TLS 1.3 only. */
static void num_tickets(void)
{
    static const struct { size_t n; const char *full; } rows[] = {
        { 0, "full, 0 tickets" }, { 1, "full, 1 ticket" },
        { 2, "full, 2 tickets" }, { 5, "full, 5 tickets" },
    };
    SSL_SESSION *ss, *spare;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    spare = ts_fresh_session(r.srv, r.cli);
    ts_expect_core(2, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SSL_CTX_set_num_tickets(r.srv, rows[i].n);
        ss = connect_is(&r, NULL, rows[i].full, (int)rows[i].n,
                        "set_num_tickets");
        SSL_SESSION_free(ss);
    }
    /* However many for a full handshake, a resumption brings one … */
    ss = connect_is(&r, spare, "resumed, 1 ticket", 1,
                    "resumption after set_num_tickets(5)");
    SSL_SESSION_free(ss);
    /* … or none, after SSL_CTX_set_num_tickets(0). */
    SSL_CTX_set_num_tickets(r.srv, 0);
    ss = connect_is(&r, spare, "resumed, 0 tickets", 0,
                    "resumption after set_num_tickets(0)");
    SSL_SESSION_free(ss);
    SSL_SESSION_free(spare);
    ts_rig_down(&r);
}

/* "A return of 0 will terminate the connection with an INTERNAL_ERROR alert." */
static void returns(ts_proto proto)
{
    static const int others[] = { 2, -1 };
    SSL_SESSION *ss;
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    r.cb.gen_return = 0;
    c = ts_connect(r.srv, r.cli, NULL);
    ts_is_str(ts_outcome(c), "failed, server sent internal_error",
              "%s: gen_cb returns 0: the connection ends", r.name);
    ts_is_str(ts_alert_name(c->client.alert_received), "internal_error",
              "%s: gen_cb returns 0: the client is told", r.name);
    ts_is_int(r.cb.gen_calls, 1, "%s: gen_cb returns 0: called once", r.name);
    ts_is_int(ERR_GET_LIB(c->server.last_err), ERR_LIB_SSL,
              "%s: gen_cb returns 0: an SSL error for the server", r.name);
    ts_conn_free(c);

    /* The page asks for 1; libssl goes on after anything but 0. */
    for (int i = 0; i < 2; i++) {
        r.cb.gen_return = others[i];
        ss = connect_is(&r, NULL, proto == TS_TLS13 ? "full, 2 tickets"
                        : "full, 1 ticket", ts_full_tickets(proto),
                        others[i] > 0 ? "gen_cb returns 2" : "gen_cb returns -1");
        SSL_SESSION_free(ss);
    }
    ts_rig_down(&r);
}

/* "Either callback function may be set to NULL." */
static void null_callbacks(ts_proto proto)
{
    const char *full = proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
    const char *again = proto == TS_TLS13 ? "resumed, 1 ticket"
        : "resumed, 0 tickets";
    SSL_SESSION *ss;
    ts_rig r;

    ts_rig_up(&r, proto);
    ts_is_int(SSL_CTX_set_session_ticket_cb(r.srv, NULL, ts_dec_cb, &r.cb), 1,
              "%s: NULL gen_cb is accepted", r.name);
    ss = connect_is(&r, NULL, full, 0, "NULL gen_cb");
    SSL_SESSION_free(connect_is(&r, ss, again, 0, "NULL gen_cb, resumption"));
    ts_is_int(r.cb.dec_calls, 1, "%s: NULL gen_cb: dec_cb is called", r.name);

    ts_is_int(SSL_CTX_set_session_ticket_cb(r.srv, ts_gen_cb, NULL, &r.cb), 1,
              "%s: NULL dec_cb is accepted", r.name);
    SSL_SESSION_free(connect_is(&r, NULL, full, ts_full_tickets(proto),
                                "NULL dec_cb"));
    SSL_SESSION_free(connect_is(&r, ss, again, proto == TS_TLS13,
                                "NULL dec_cb, resumption"));
    ts_is_int(r.cb.dec_calls, 0, "%s: NULL dec_cb: none is called", r.name);

    ts_is_int(SSL_CTX_set_session_ticket_cb(r.srv, NULL, NULL, NULL), 1,
              "%s: both NULL is accepted", r.name);
    SSL_SESSION_free(connect_is(&r, NULL, full, 0, "both NULL"));
    SSL_SESSION_free(connect_is(&r, ss, again, 0, "both NULL, resumption"));
    ts_is_int(r.cb.dec_calls, 0, "%s: both NULL: none is called", r.name);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* Setting again replaces callbacks and arg; arg belongs to one context. */
static void replaced_and_arg(ts_proto proto)
{
    ts_cb second = TS_CB_INIT;
    int before;
    ts_rig r, other;
    ts_conn *c;

    ts_rig_up(&r, proto);
    ts_rig_up(&other, proto);
    c = ts_connect(r.srv, r.cli, NULL);
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    ts_ok(r.cb.gen_calls > 0 && other.cb.gen_calls == 0,
          "%s: each context has its own arg", r.name);

    before = r.cb.gen_calls;
    ts_cb_install(r.srv, &second);
    c = ts_connect(r.srv, r.cli, NULL);
    ts_expect_core(c->tickets, 0);
    ts_is_int(r.cb.gen_calls, before, "%s: the replaced arg is not used", r.name);
    ts_is_int(second.gen_calls, ts_full_tickets(proto),
              "%s: the new arg is used", r.name);
    ts_conn_free(c);
    ts_cb_reset(&second);
    ts_rig_down(&other);
    ts_rig_down(&r);
}

/* An SSL that exists already sees callbacks that its context gets later. */
static void set_after_ssl_new(ts_proto proto)
{
    ts_cb late = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_conn *c = ts_conn_new(srv, cli, NULL);

    ts_cb_install(srv, &late);
    ts_conn_handshake(c);
    ts_expect_core(c->tickets, 0);
    ts_is_int(late.gen_calls, ts_full_tickets(proto),
              "%s: set after SSL_new(): called", ts_proto_name(proto));
    ts_conn_free(c);
    ts_cb_reset(&late);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

static int refuse_third(SSL *s, ts_cb *cb)
{
    (void)s;
    return cb->gen_calls < 3;
}

/* SSL_new_session_ticket(3): one more, whenever the server likes. */
static void new_session_ticket(void)
{
    ts_conn *c;
    SSL_SESSION *extra;
    ts_rig r;

    if (!ts_have_new_session_ticket()) {
        ts_note("n/a: this OpenSSL has no SSL_new_session_ticket()");
        return;
    }
    ts_rig_up(&r, TS_TLS13);
    c = ts_connect(r.srv, r.cli, NULL);
    ts_is_int(ts_new_session_ticket(c->server.ssl), 1,
              "SSL_new_session_ticket() returns 1");
    ts_is_int(r.cb.gen_calls, 2, "… and only asks for a ticket");
    ts_conn_pump(c);
    ts_is_int(r.cb.gen_calls, 3, "… with the next write gen_cb is called");
    ts_is_int(c->tickets, 3, "… and the client has a third ticket");
    ts_new_session_ticket(c->server.ssl);
    ts_new_session_ticket(c->server.ssl);
    ts_conn_pump(c);
    ts_is_int(r.cb.gen_calls, 5, "asking twice calls gen_cb twice");
    ts_is_int(c->tickets, 5, "… for two more tickets");
    ts_expect_core(c->tickets, 0);
    extra = ts_session(c);
    ts_conn_free(c);
    SSL_SESSION_free(connect_is(&r, extra, "resumed, 1 ticket", 1,
                                "a ticket asked for"));
    SSL_SESSION_free(extra);

    ts_cb_reset(&r.cb);
    r.cb.on_gen = refuse_third;
    c = ts_connect(r.srv, r.cli, NULL);
    ts_new_session_ticket(c->server.ssl);
    ts_conn_pump(c);
    ts_is_str(ts_outcome(c), "failed, server sent internal_error",
              "gen_cb returns 0 for an extra ticket: the connection ends");
    ts_is_int(c->tickets, 2, "… and no third ticket was sent");
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    ts_rig_down(&r);
}

static const char *const words[] = { "first", "second" };

static int number_the_tickets(SSL *s, ts_cb *cb)
{
    const char *w = words[(cb->gen_calls - 1) % 2];

    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(s), w, strlen(w));
}

/* Two calls, two tickets: what each call sets goes into its own ticket. */
static void one_call_one_ticket(void)
{
    ts_conn *c, *again;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    r.cb.on_gen = number_the_tickets;
    c = ts_connect(r.srv, r.cli, NULL);
    ts_is_int(c->n_sessions, 2, "two sessions for two tickets");
    ts_expect_core(2, 0);
    for (int i = 0; i < c->n_sessions; i++) {
        again = ts_connect(r.srv, r.cli, c->session[i]);
        ts_is_mem(r.cb.seen, r.cb.seen_len, words[i], strlen(words[i]),
                  "ticket %d carries what call %d set", i + 1, i + 1);
        ts_expect_core(again->tickets, again->server.resumed);
        ts_conn_free(again);
    }
    ts_conn_free(c);
    ts_rig_down(&r);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        once_per_ticket(*p);
        returns(*p);
        null_callbacks(*p);
        replaced_and_arg(*p);
        set_after_ssl_new(*p);
    }
    num_tickets();
    new_session_ticket();
    one_call_one_ticket();
    return ts_done();
}
