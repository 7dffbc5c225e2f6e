/*
 * ssl_reuse.c: SSLs that were not made by SSL_new() for one connection: copies
 * by SSL_dup(), and ones that serve again after SSL_clear(). What the shim
 * knows of an SSL must neither be lost nor be left over from before.
 */
#include <string.h>

#include "ts.h"

/* The handshake of `c`, set up by the caller, and what the core has of it. */
static SSL_SESSION *outcome_is(const ts_rig *r, ts_conn *c, const char *outcome,
                               const char *what)
{
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    ts_expect_core(c->tickets, c->server.resumed);
    return ts_session(c);
}

/* ---- SSL_dup() ------------------------------------------------------------------- */

/* A server SSL that is a copy of one that was made and never used. */
static SSL *copy_of_new(SSL_CTX *ctx)
{
    SSL *model = SSL_new(ctx), *copy;

    if (model == NULL)
        ts_bail("cannot make an SSL");
    SSL_set_accept_state(model);
    copy = SSL_dup(model);
    if (copy == NULL || copy == model)
        ts_bail("SSL_dup() made no copy");
    SSL_free(model); /* first: the copy must not need it */
    return copy;
}

static void copies(ts_proto proto)
{
    SSL_SESSION *ss;
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    c = ts_conn_new(r.srv, r.cli, NULL);
    ts_conn_server_is(c, copy_of_new(r.srv));
    ss = outcome_is(&r, c, ts_full(proto), "a copy of an SSL");
    ts_conn_free(c);
    c = ts_conn_new(r.srv, r.cli, ss);
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "the copy's ticket at another SSL"));
    ts_conn_free(c);
    c = ts_conn_new(r.srv, r.cli, ss);
    ts_conn_server_is(c, copy_of_new(r.srv));
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "a ticket at a copy"));
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* Once it is in use SSL_dup() only counts a reference: the same SSL. */
static void copy_in_use(ts_proto proto)
{
    SSL_SESSION *ss;
    SSL *copy;
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    c = ts_conn_new(r.srv, r.cli, NULL);
    ss = outcome_is(&r, c, ts_full(proto), "an SSL in use");
    copy = SSL_dup(c->server.ssl);
    ts_ok(copy == c->server.ssl, "%s: … its copy is itself", r.name);
    SSL_free(copy);
    ts_conn_pump(c);
    ts_ok(c->established, "%s: … and it goes on", r.name);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* ---- SSL_clear() ----------------------------------------------------------------- */

/*
 * Up to 3.0.8 and some, a server that was resumed in TLS 1.3 and cleared selects
 * a PSK in the next full handshake too, where the client has offered none.
 */
static int can_be_cleared(ts_proto proto)
{
    SSL_SESSION *ss;
    ts_conn *c;
    int works;
    ts_rig r;

    ts_rig_up(&r, proto);
    c = ts_connect(r.srv, r.cli, NULL);
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    for (int i = 0; i < 2; i++) { /* resumed, then full */
        ts_conn_next(c, r.cli, i == 0 ? ss : NULL);
        ts_conn_handshake(c);
        ts_expect_core(c->tickets, c->server.resumed);
    }
    works = c->established;
    if (!works)
        ts_note("n/a: %s: this OpenSSL cannot clear an SSL that was resumed",
                r.name);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
    return works;
}

/* full, resumed, full, resumed, an unknown ticket: all on one server SSL. */
static void cleared(ts_proto proto)
{
    SSL_SESSION *first, *second, *bad;
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    c = ts_conn_new(r.srv, r.cli, NULL);
    first = outcome_is(&r, c, ts_full(proto), "the first of one SSL");
    ts_conn_next(c, r.cli, first);
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "cleared, its own ticket"));
    ts_conn_next(c, r.cli, NULL);
    second = outcome_is(&r, c, ts_full(proto), "cleared, no ticket");
    ts_conn_next(c, r.cli, first);
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "cleared, the first ticket"));
    ts_conn_next(c, r.cli, second);
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "cleared, the second ticket"));
    bad = ts_with_flip(first, 0, 1);
    ts_conn_next(c, r.cli, bad);
    SSL_SESSION_free(outcome_is(&r, c, ts_full(proto),
                                "cleared, an unknown ticket"));
    ts_expect_refused(1, 0, 0);
    ts_conn_free(c);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_SESSION_free(bad);
    ts_rig_down(&r);
}

/* After a handshake that was given up half way. */
static void cleared_half_way(ts_proto proto)
{
    SSL_SESSION *ss;
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, proto);
    ss = ts_fresh_session(r.srv, r.cli);
    ts_expect_core(ts_full_tickets(proto), 0);
    c = ts_conn_new(r.srv, r.cli, ss);
    SSL_do_handshake(c->client.ssl);
    SSL_do_handshake(c->server.ssl); /* has seen the ticket, and answered */
    ERR_clear_error();
    /* In TLS 1.2 a resumption ends with the client's Finished. */
    ts_expect_core(0, 1);
    ts_conn_next(c, r.cli, NULL);
    SSL_SESSION_free(outcome_is(&r, c, ts_full(proto),
                                "cleared half way, no ticket"));
    ts_conn_next(c, r.cli, ss);
    SSL_SESSION_free(outcome_is(&r, c, ts_resumed(proto),
                                "cleared half way, the ticket"));
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* ---- SSL_clear(), and resumed by something that is no ticket --------------------- */

static const unsigned char psk_id[] = "the identity of an external PSK, and long";
static const unsigned char psk_key[] = "thirty-two bytes of external key";

static int find_session(SSL *ssl, const unsigned char *id, size_t len,
                        SSL_SESSION **session)
{
    (void)ssl;
    *session = NULL;
    if (len == sizeof(psk_id) && memcmp(id, psk_id, len) == 0)
        *session = ts_psk_session(psk_key, sizeof(psk_key) - 1);
    return 1;
}

/*
 * The first connection is resumed by a ticket under one name; the second, on
 * the same SSL, by an external PSK under another. The ticket that comes of it
 * belongs to the second name, not to the one before.
 */
static void cleared_then_psk(void)
{
    SSL_SESSION *ss, *psk = ts_psk_session(psk_key, sizeof(psk_key) - 1);
    ts_conn *c;
    ts_rig r;

    ts_rig_up(&r, TS_TLS13);
    SSL_CTX_set_psk_find_session_callback(r.srv, find_session);
    c = ts_connect_to(r.srv, r.cli, NULL, "one.test");
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    ts_conn_next(c, r.cli, ss);
    SSL_set_tlsext_host_name(c->client.ssl, "one.test");
    SSL_SESSION_free(outcome_is(&r, c, "resumed, 1 ticket", "by a ticket"));
    SSL_SESSION_free(ss);

    ts_conn_next(c, r.cli, NULL);
    SSL_set_tlsext_host_name(c->client.ssl, "two.test");
    ts_offer_psk(c, psk_id, sizeof(psk_id), psk);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), "resumed, 1 ticket",
              "TLS 1.3: cleared, by an external PSK under another name");
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    ts_conn_free(c);
    c = ts_connect_to(r.srv, r.cli, ss, "two.test");
    ts_is_str(ts_outcome(c), "resumed, 1 ticket",
              "TLS 1.3: … its ticket resumes under that name");
    ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_SESSION_free(psk);
    ts_rig_down(&r);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        copies(*p);
        copy_in_use(*p);
        if (can_be_cleared(*p)) {
            cleared(*p);
            cleared_half_way(*p);
        }
    }
    cleared_then_psk();
    return ts_done();
}
