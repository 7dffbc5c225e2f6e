/*
 * defaults.c: what happens when nobody asks for anything special: no callbacks,
 * or callbacks that "do not wish to change the default ticket behaviour". And
 * several PSK identities in one ClientHello: dec_cb is asked for one after the
 * other until one is taken.
 */
#include <string.h>

#include "ts.h"

/* "In TLSv1.2 and below, a new session ticket is not issued on a successful
   resumption … In TLSv1.3 the default behaviour is to always issue a new
   ticket on resumption." */
static void no_callbacks(ts_proto proto, int with_default_callbacks)
{
    const char *name = ts_proto_name(proto);
    const char *how = with_default_callbacks ? "default answers"
        : "no callbacks";
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss, *next;
    ts_conn *c;

    if (with_default_callbacks)
        ts_cb_install(srv, &cb);
    c = ts_connect(srv, cli, NULL);
    ts_is_str(ts_outcome(c), proto == TS_TLS13 ? "full, 2 tickets"
              : "full, 1 ticket", "%s: %s: full handshake", name, how);
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    ts_conn_free(c);
    /* Three in a row, each with what the one before left at the client. */
    for (int i = 1; i <= 3; i++) {
        c = ts_connect(srv, cli, ss);
        ts_is_str(ts_outcome(c), proto == TS_TLS13 ? "resumed, 1 ticket"
                  : "resumed, 0 tickets", "%s: %s: resumption %d", name, how, i);
        ts_expect_core(c->tickets, 1);
        next = ts_session(c);
        SSL_SESSION_free(ss);
        ss = next;
        ts_conn_free(c);
    }
    if (with_default_callbacks)
        ts_is_str(cb.log, proto == TS_TLS13
                  ? "gen gen dec:SUCCESS_RENEW gen dec:SUCCESS_RENEW gen "
                    "dec:SUCCESS_RENEW gen"
                  : "dec:EMPTY gen dec:SUCCESS dec:SUCCESS dec:SUCCESS",
                  "%s: %s: the callbacks, in order", name, how);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

/* A client that never heard of tickets: nobody is asked, nothing is made. */
static void client_without_tickets(ts_proto proto)
{
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_conn *c;

    ts_cb_install(srv, &cb);
    SSL_CTX_set_options(cli, SSL_OP_NO_TICKET);
    c = ts_connect(srv, cli, NULL);
    ts_is_str(ts_outcome(c), "full, 0 tickets",
              "%s: a client without tickets gets none", ts_proto_name(proto));
    ts_is_str(cb.log, "", "%s: … and no callback is called",
              ts_proto_name(proto));
    ts_conn_free(c);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- several identities (TLS 1.3) -------------------------------------------- */

static const unsigned char psk_id[] = "an external PSK's identity, of more than 32";
static const unsigned char psk_key[] = "thirty-two bytes of external key";

/* The server's side of the external PSK. */
static int find_session(SSL *ssl, const unsigned char *id, size_t len,
                        SSL_SESSION **session)
{
    (void)ssl;
    *session = NULL;
    if (len == sizeof(psk_id) && memcmp(id, psk_id, len) == 0)
        *session = ts_psk_session(psk_key, sizeof(psk_key) - 1);
    return 1;
}

static int ignore_the_first(SSL *s, SSL_SESSION *ss, int status, ts_cb *cb)
{
    (void)s;
    (void)ss;
    if (status == SSL_TICKET_NO_DECRYPT)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return cb->dec_calls == 1 ? SSL_TICKET_RETURN_IGNORE
        : SSL_TICKET_RETURN_USE_RENEW;
}

static int abort_the_first(SSL *s, SSL_SESSION *ss, int status, ts_cb *cb)
{
    (void)s;
    (void)ss;
    (void)status;
    return cb->dec_calls == 1 ? SSL_TICKET_RETURN_ABORT
        : SSL_TICKET_RETURN_USE_RENEW;
}

typedef struct rig {
    SSL_CTX *srv, *cli;
    ts_cb cb;
    SSL_SESSION *a, *b;        /* two good tickets */
    SSL_SESSION *unknown;      /* one that nobody knows */
    SSL_SESSION *psk;
} rig;

/* Ticket `first`, then the external PSK. What came of it, what was asked? */
static void ticket_then_psk(rig *r, SSL_SESSION *first, const char *outcome,
                            const char *log, long opened, const char *what)
{
    ts_conn *c = ts_conn_new(r->srv, r->cli, first);

    ts_cb_reset(&r->cb);
    ts_offer_psk(c, psk_id, sizeof(psk_id), r->psk);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), outcome, "%s: %s", what, outcome);
    ts_is_str(r->cb.log, log, "%s: callbacks: %s", what, log);
    ts_expect_core(c->tickets, opened);
    ts_conn_free(c);
}

/* Ticket `first`, then ticket `second`: which one does the server take? */
static void two_tickets(rig *r, SSL_SESSION *first, SSL_SESSION *second,
                        int taken, const char *log, long opened,
                        const char *what)
{
    ts_conn *c = ts_conn_new(r->srv, r->cli, first);
    size_t len;
    const unsigned char *ticket = ts_ticket(second, &len);

    ts_cb_reset(&r->cb);
    ts_offer_psk(c, ticket, len, second);
    ts_is_int(ts_hello_with_second_ticket(c, second), taken,
              "%s: the server takes identity %d", what, taken);
    ts_is_str(r->cb.log, log, "%s: callbacks: %s", what, log);
    ts_is_int(SSL_session_reused(c->server.ssl), taken >= 0,
              "%s: … and %s", what, taken >= 0 ? "resumes" : "does not resume");
    /* The hello is all there was: no ticket has been sealed. */
    ts_expect_core(0, opened);
    ts_conn_free(c);
}

/* By this name for valgrind.supp; see ts_connect_aborting(). */
static TS_NOINLINE void two_tickets_aborting(rig *r)
{
    r->cb.on_dec = abort_the_first;
    two_tickets(r, r->a, r->b, -1, "dec:SUCCESS_RENEW", 1,
                "ABORT at the first one ends it");
}

static void identities(void)
{
    static const ts_cb init = TS_CB_INIT;
    rig r = { .cb = init };

    r.srv = ts_server_ctx(TS_TLS13);
    r.cli = ts_client_ctx(TS_TLS13);
    r.a = ts_fresh_session(r.srv, r.cli);
    r.b = ts_fresh_session(r.srv, r.cli);
    r.unknown = ts_with_flip(r.a, 3, 0x40);
    r.psk = ts_psk_session(psk_key, sizeof(psk_key) - 1);
    ts_expect_core(4, 0);
    ts_cb_install(r.srv, &r.cb);

    ts_note("the server knows no external PSK: every identity may be a ticket");
    ticket_then_psk(&r, r.a, "resumed, 1 ticket", "dec:SUCCESS_RENEW gen", 1,
                    "good ticket, then a PSK");
    ticket_then_psk(&r, r.unknown, "full, 2 tickets",
                    "dec:NO_DECRYPT dec:NO_DECRYPT gen gen", 0,
                    "unknown ticket, then a PSK");
    ticket_then_psk(&r, NULL, "full, 2 tickets", "dec:NO_DECRYPT gen gen", 0,
                    "only a PSK");

    ts_note("the server knows it: then dec_cb is only asked about tickets");
    SSL_CTX_set_psk_find_session_callback(r.srv, find_session);
    /* From before it knew any, a ticket need not be its own (docs/binding.md). */
    SSL_SESSION_free(r.a);
    r.a = ts_fresh_session(r.srv, r.cli);
    ts_expect_core(2, 0);
    ts_cb_reset(&r.cb);
    ticket_then_psk(&r, r.a, "resumed, 1 ticket", "dec:SUCCESS_RENEW gen", 1,
                    "good ticket, then a known PSK");
    ticket_then_psk(&r, r.unknown, "resumed, 1 ticket", "dec:NO_DECRYPT gen", 0,
                    "unknown ticket, then a known PSK");
    ticket_then_psk(&r, NULL, "resumed, 1 ticket", "gen", 0, "only a known PSK");
    SSL_CTX_set_psk_find_session_callback(r.srv, NULL);

    ts_note("two tickets");
    two_tickets(&r, r.a, r.b, 0, "dec:SUCCESS_RENEW", 1, "two good ones");
    two_tickets(&r, r.unknown, r.b, 1, "dec:NO_DECRYPT dec:SUCCESS_RENEW", 1,
                "an unknown one, then a good one");
    two_tickets(&r, r.b, r.unknown, 0, "dec:SUCCESS_RENEW", 1,
                "a good one, then an unknown one");
    two_tickets(&r, r.unknown, r.unknown, -1, "dec:NO_DECRYPT dec:NO_DECRYPT",
                0, "two unknown ones");
    r.cb.on_dec = ignore_the_first;
    two_tickets(&r, r.a, r.b, 1, "dec:SUCCESS_RENEW dec:SUCCESS_RENEW", 2,
                "the first one ignored");
    two_tickets_aborting(&r);
    r.cb.on_dec = NULL;
    /* Unknown: twice next to a PSK, then once, and twice two in a row; and the
       PSK's own identity, where libssl took it for a ticket: twice. */
    ts_expect_refused(7, 0, 0);

    SSL_SESSION_free(r.a);
    SSL_SESSION_free(r.b);
    SSL_SESSION_free(r.unknown);
    SSL_SESSION_free(r.psk);
    SSL_CTX_free(r.srv);
    SSL_CTX_free(r.cli);
    ts_cb_reset(&r.cb);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        no_callbacks(*p, 0);
        no_callbacks(*p, 1);
        if (*p != TS_TLS13)
            client_without_tickets(*p);
    }
    identities();
    return ts_done();
}
