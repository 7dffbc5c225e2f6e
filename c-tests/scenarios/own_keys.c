/*
 * own_keys.c: an application that brings its own ticket keys, through each of
 * the three doors, gets exactly what it gets of libssl alone: its tickets open
 * by hand with its keys. The core keeps out of such a context, and comes back
 * when callbacks are taken out again. See own_keys_order.c for what happens
 * when several doors are used, own_keys_process.c for a second process.
 */
#include <string.h>

#include "ts.h"

typedef struct rig {
    const char *name;
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_own_keys own;
} rig;

static void rig_up(rig *r, ts_proto proto)
{
    memset(r, 0, sizeof(*r));
    r->proto = proto;
    r->name = ts_proto_name(proto);
    r->srv = ts_server_ctx(proto);
    r->cli = ts_client_ctx(proto);
    r->own.open_return = 1;
    ts_raw_keys_make(&r->own.keys, (unsigned char)proto);
    ts_expect_contexts(2, 0, "two new contexts");
}

static void rig_down(rig *r)
{
    SSL_CTX_free(r->srv);
    SSL_CTX_free(r->cli);
    ts_expect_contexts(0, 0, "all freed");
}

/* With a callback that answers 1 ("as it is"), TLS 1.3 does not renew. */
static const char *resumed_by(ts_door door, ts_proto proto)
{
    return door == TS_DOOR_RAW ? ts_resumed(proto) : "resumed, 0 tickets";
}

/* A connection, and what the core has of it. */
static SSL_SESSION *outcome_is(rig *r, SSL_SESSION *offer, int core,
                               const char *outcome, const char *what)
{
    ts_conn *c = ts_connect(r->srv, r->cli, offer);
    SSL_SESSION *ss = ts_session(c);

    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    if (core)
        ts_expect_core(c->tickets, c->server.resumed);
    ts_conn_free(c);
    return ss;
}

/* Full handshake and resumption, by the keys of the application. */
static void own_tickets(rig *r, ts_door door, const char *what)
{
    const char *resumed = resumed_by(door, r->proto);
    SSL_SESSION *ss = outcome_is(r, NULL, 0, ts_full(r->proto), what);
    int calls = r->own.sealed + r->own.opened;

    ts_ok(ts_opens_by_hand(&r->own.keys, ss),
          "%s: … the ticket opens by hand with its keys", r->name);
    SSL_SESSION_free(outcome_is(r, ss, 0, resumed, what));
    ts_is_int(r->own.sealed + r->own.opened - calls, door != TS_DOOR_RAW,
              "%s: … callbacks called for it", r->name);
    SSL_SESSION_free(ss);
}

/* ---- each door ---------------------------------------------------------------- */

static void set_before(ts_proto proto, ts_door door)
{
    rig r;

    rig_up(&r, proto);
    ts_use_own_keys(r.srv, door, &r.own);
    ts_expect_contexts(1, 1, "own keys set");
    own_tickets(&r, door, ts_door_name(door));
    rig_down(&r);
}

/* What was sealed before is unknown after, as in stock. */
static void set_after(ts_proto proto, ts_door door)
{
    SSL_SESSION *before;
    rig r;

    rig_up(&r, proto);
    before = outcome_is(&r, NULL, 1, ts_full(proto), "before");
    ts_use_own_keys(r.srv, door, &r.own);
    ts_expect_contexts(1, 1, "own keys set after a handshake");
    SSL_SESSION_free(outcome_is(&r, before, 0, ts_full(proto),
                                "a ticket from before"));
    ts_is_int(r.own.unknown > 0, door != TS_DOOR_RAW,
              "%s: … of which a callback is asked", r.name);
    own_tickets(&r, door, "set after a handshake");
    SSL_SESSION_free(before);
    rig_down(&r);
}

/* A connection that is under way when the keys come: made before, used after. */
static void set_after_ssl_new(ts_proto proto, ts_door door)
{
    ts_conn *c;
    SSL_SESSION *ss;
    rig r;

    rig_up(&r, proto);
    c = ts_conn_new(r.srv, r.cli, NULL);
    ts_use_own_keys(r.srv, door, &r.own);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), ts_full(proto), "%s: %s set after SSL_new()",
              r.name, ts_door_name(door));
    ss = ts_session(c);
    ts_ok(ts_opens_by_hand(&r.own.keys, ss), "%s: … its keys are used", r.name);
    SSL_SESSION_free(ss);
    ts_conn_free(c);
    rig_down(&r);
}

/* ---- a callback taken out again ------------------------------------------------- */

static void reset_callback(ts_proto proto, ts_door door)
{
    const char *what = ts_door_name(door);
    SSL_SESSION *before, *with, *after;
    int calls;
    rig r;

    rig_up(&r, proto);
    before = outcome_is(&r, NULL, 1, ts_full(proto), "before");
    ts_use_own_keys(r.srv, door, &r.own);
    with = outcome_is(&r, NULL, 0, ts_full(proto), what);
    ts_is_int(ts_key_cb_set(r.srv, door, 0), 1, "%s: %s taken out: NULL",
              r.name, what);
    ts_expect_contexts(2, 0, "callback taken out");
    calls = r.own.sealed + r.own.opened + r.own.unknown;
    after = outcome_is(&r, with, 1, ts_full(proto), "its ticket after that");
    ts_ok(!ts_opens_by_hand(&r.own.keys, after),
          "%s: … the new ticket does not open with its keys", r.name);
    SSL_SESSION_free(outcome_is(&r, after, 1, ts_resumed(proto),
                                "a ticket from after"));
    SSL_SESSION_free(outcome_is(&r, before, 1, ts_resumed(proto),
                                "a ticket from before"));
    ts_is_int(r.own.sealed + r.own.opened + r.own.unknown, calls,
              "%s: … the callback is called no more", r.name);
    ts_expect_refused(1, 0, 0);

    /* And once more: in, out, in. */
    ts_use_own_keys(r.srv, door, &r.own);
    ts_expect_contexts(1, 1, "callback in again");
    own_tickets(&r, door, "in again");
    SSL_SESSION_free(before);
    SSL_SESSION_free(with);
    SSL_SESSION_free(after);
    rig_down(&r);
}

/* NULL where there was no callback changes nothing. */
static void null_at_first(ts_proto proto, ts_door door)
{
    SSL_SESSION *ss;
    rig r;

    rig_up(&r, proto);
    ts_is_int(ts_key_cb_set(r.srv, door, 0), 1, "%s: %s: NULL at first",
              r.name, ts_door_name(door));
    ts_expect_contexts(2, 0, "NULL callback at first");
    ss = outcome_is(&r, NULL, 1, ts_full(proto), "after it");
    SSL_SESSION_free(outcome_is(&r, ss, 1, ts_resumed(proto), "after it"));
    SSL_SESSION_free(ss);
    rig_down(&r);
}

/* ---- libssl's own keys, read and shared -------------------------------------------- */

/* GET from one context, SET on another: each takes the other's tickets. */
static void get_then_set(ts_proto proto)
{
    SSL_CTX *second = ts_server_ctx(proto);
    SSL_SESSION *ss;
    ts_conn *c;
    rig r;

    ts_expect_contexts(1, 0, "a second server");
    memset(&r, 0, sizeof(r));
    r.proto = proto;
    r.name = ts_proto_name(proto);
    r.srv = ts_server_ctx(proto);
    r.cli = ts_client_ctx(proto);
    ts_is_int(ts_get_raw_keys(r.srv, &r.own.keys), 1, "%s: GET returns 1",
              r.name);
    ts_expect_contexts(2, 1, "raw keys read");
    ts_is_int(ts_set_raw_keys(second, &r.own.keys), 1, "%s: SET returns 1",
              r.name);
    ts_expect_contexts(1, 2, "… and set on a second context");
    own_tickets(&r, TS_DOOR_RAW, "keys read");
    for (int i = 0; i < 2; i++) {
        ss = ts_fresh_session(i == 0 ? r.srv : second, r.cli);
        ts_ok(ts_opens_by_hand(&r.own.keys, ss),
              "%s: context %d's ticket opens by hand", r.name, i + 1);
        c = ts_connect(i == 0 ? second : r.srv, r.cli, ss);
        ts_is_str(ts_outcome(c), ts_resumed(proto),
                  "%s: … and resumes at the other", r.name);
        ts_conn_free(c);
        SSL_SESSION_free(ss);
    }
    SSL_CTX_free(second);
    ts_expect_contexts(1, 1, "the second freed");
    rig_down(&r);
}

/*
 * Read after tickets were made: in stock those are under the keys just read, so
 * they resume; under the shim they are the core's, which has left. That costs a
 * full handshake, once, and is the one outcome here that is not the same.
 */
static void get_after(ts_proto proto)
{
    SSL_SESSION *before;
    ts_conn *c;
    rig r;

    rig_up(&r, proto);
    before = outcome_is(&r, NULL, 1, ts_full(proto), "before");
    ts_is_int(ts_get_raw_keys(r.srv, &r.own.keys), 1,
              "%s: GET after a handshake", r.name);
    ts_expect_contexts(1, 1, "raw keys read after a handshake");
    c = ts_connect(r.srv, r.cli, before);
    ts_diag("%s: a ticket from before GET: %s", r.name, ts_outcome(c));
    ts_ok(c->established && c->server.resumed == !ts_shim_expected(),
          "%s: … a ticket from before is answered", r.name);
    ts_conn_free(c);
    own_tickets(&r, TS_DOOR_RAW, "read after a handshake");
    SSL_SESSION_free(before);
    rig_down(&r);
}

/* The keys that GET gives are the ones that were SET, and stay so. */
static void get_what_was_set(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13), *other = ts_server_ctx(TS_TLS13);
    ts_raw_keys keys, got, again;

    ts_raw_keys_make(&keys, 99);
    ts_is_int(ts_get_raw_keys(ctx, &got), 1, "GET of a new context");
    ts_is_int(ts_get_raw_keys(ctx, &again), 1, "… and again");
    ts_is_mem(&again, sizeof(again), &got, sizeof(got), "… gives the same");
    ts_is_int(ts_get_raw_keys(other, &again), 1, "GET of another context");
    ts_ok(memcmp(&again, &got, sizeof(got)) != 0, "… gives other keys");
    ts_is_int(ts_set_raw_keys(ctx, &keys), 1, "SET");
    ts_is_int(ts_get_raw_keys(ctx, &got), 1, "… and GET");
    ts_is_mem(&got, sizeof(got), &keys, sizeof(keys), "… gives what was set");
    SSL_CTX_free(ctx);
    SSL_CTX_free(other);
}

/* ---- what opens no door -------------------------------------------------------------- */

/* One entry on the error queue, libssl's; empties it. */
static void one_error(int reason, const char *what)
{
    unsigned long e = ERR_get_error();

    ts_ok(ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == reason,
          "%s: … with libssl's reason", what);
    ts_is_int(ERR_get_error() != 0, 0, "%s: … and no more", what);
    ERR_clear_error();
}

/* Asking for the length, or giving a wrong one, leaves all as it was. */
static void no_door(ts_proto proto)
{
    static const long lengths[] = { 0, 1, 48, 79, 81, 96 };
    unsigned char buf[96] = { 0 };
    SSL_SESSION *before, *ss;
    char what[64];
    rig r;

    rig_up(&r, proto);
    before = outcome_is(&r, NULL, 1, ts_full(proto), "before");
    ts_is_int(SSL_CTX_get_tlsext_ticket_keys(r.srv, NULL, 0), 80,
              "%s: GET with NULL asks for the length", r.name);
    ts_is_int(SSL_CTX_set_tlsext_ticket_keys(r.srv, NULL, 0), 80,
              "%s: … and so does SET", r.name);
    ts_is_int(ERR_peek_error() != 0, 0, "%s: … without an error", r.name);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        BIO_snprintf(what, sizeof(what), "%s: %ld bytes", r.name, lengths[i]);
        ts_is_int(SSL_CTX_get_tlsext_ticket_keys(r.srv, buf, lengths[i]), 0,
                  "%s: GET refuses", what);
        one_error(SSL_R_INVALID_TICKET_KEYS_LENGTH, what);
        ts_is_int(SSL_CTX_set_tlsext_ticket_keys(r.srv, buf, lengths[i]), 0,
                  "%s: SET refuses", what);
        one_error(SSL_R_INVALID_TICKET_KEYS_LENGTH, what);
    }
    ts_expect_contexts(2, 0, "nothing was set or read");
    SSL_SESSION_free(outcome_is(&r, before, 1, ts_resumed(proto),
                                "a ticket from before"));
    ss = outcome_is(&r, NULL, 1, ts_full(proto), "a new one");
    SSL_SESSION_free(outcome_is(&r, ss, 1, ts_resumed(proto), "resumed"));
    SSL_SESSION_free(before);
    SSL_SESSION_free(ss);
    rig_down(&r);
}

int main(void)
{
    static const ts_door doors[] = { TS_DOOR_EVP_CB, TS_DOOR_OLD_CB,
                                     TS_DOOR_RAW };

    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
            if (!ts_have_door(doors[i])) {
                ts_note("n/a: no %s in this OpenSSL", ts_door_name(doors[i]));
                continue;
            }
            set_before(*p, doors[i]);
            set_after(*p, doors[i]);
            set_after_ssl_new(*p, doors[i]);
            if (doors[i] != TS_DOOR_RAW) {
                reset_callback(*p, doors[i]);
                null_at_first(*p, doors[i]);
            }
        }
        get_then_set(*p);
        get_after(*p);
        no_door(*p);
    }
    get_what_was_set();
    return ts_done();
}
