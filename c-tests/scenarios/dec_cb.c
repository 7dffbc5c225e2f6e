/*
 * dec_cb.c: every status that dec_cb can be told, times every answer it can
 * give, and what the client sees of it.
 *
 * SSL_TICKET_SUCCESS is what TLS 1.2 says of a good ticket and
 * SSL_TICKET_SUCCESS_RENEW what TLS 1.3 says (libssl's default is to renew
 * always there). The other way round it takes a key callback of the
 * application's own that returns 2 or 1; those rows run with own keys, of
 * which the shim keeps its hands off.
 */
#include <string.h>

#include "ts.h"

#define OUT_OF_RANGE 99
#define ABORTED "failed, server sent internal_error"

typedef struct row {
    int ret;
    const char *good;        /* outcome for SUCCESS and SUCCESS_RENEW */
    const char *bad;         /* … for EMPTY and NO_DECRYPT */
} row;

/* "full, N tickets": 1 before TLS 1.3, 2 in it. */
static const row rows[] = {
    { SSL_TICKET_RETURN_ABORT,        ABORTED,              ABORTED },
    { SSL_TICKET_RETURN_IGNORE,       "full, 0 tickets",    "full, 0 tickets" },
    { SSL_TICKET_RETURN_IGNORE_RENEW, "full, N tickets",    "full, N tickets" },
    { SSL_TICKET_RETURN_USE,          "resumed, 0 tickets", ABORTED },
    { SSL_TICKET_RETURN_USE_RENEW,    "resumed, 1 ticket",  ABORTED },
    { OUT_OF_RANGE,                   ABORTED,              ABORTED },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static int is_success(int status)
{
    return status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
}

/* One status, all answers. `offer` is what the client offers. */
static void one_status(ts_proto proto, SSL_CTX *srv, SSL_CTX *cli, ts_cb *cb,
                       SSL_SESSION *offer, int status, int own_keys)
{
    const char *name = ts_proto_name(proto), *want;
    const unsigned char *ticket = NULL;
    size_t len = 0;

    if (offer != NULL)
        ticket = ts_ticket(offer, &len);
    for (size_t i = 0; i < N_ROWS; i++) {
        ts_conn *c;

        want = is_success(status) ? rows[i].good : rows[i].bad;
        if (strcmp(want, "full, N tickets") == 0)
            want = proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
        ts_cb_reset(cb);
        cb->dec_return = rows[i].ret;
        c = is_success(status) && strcmp(want, ABORTED) == 0
            ? ts_connect_aborting(srv, cli, offer)
            : ts_connect(srv, cli, offer);
        ts_is_str(ts_outcome(c), want, "%s: %s%s, dec_cb returns %s: %s", name,
                  ts_status_name(status), own_keys ? " (own keys)" : "",
                  ts_return_name(rows[i].ret), want);
        ts_ok(cb->dec_calls == 1 && cb->dec_status == status,
              "%s: … called once, with that status", name);
        ts_is_mem(cb->keyname, cb->keyname_len, ticket, len < 16 ? len : 16,
                  "%s: … keyname is how the ticket begins", name);
        ts_is_int(cb->dec_ss_null, !is_success(status),
                  "%s: … a session %s", name,
                  is_success(status) ? "is there" : "is not");
        ts_is_str(ts_alert_name(c->client.alert_received),
                  strcmp(want, ABORTED) == 0 ? "internal_error" : "none",
                  "%s: … the client gets the alert, or none", name);
        if (!own_keys)
            ts_expect_core(c->tickets, is_success(status));
        ts_conn_free(c);
    }
    cb->dec_return = TS_DEC_DEFAULT;
}

static void every_status(ts_proto proto)
{
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *good, *unknown, *tampered;
    size_t len;

    good = ts_fresh_session(srv, cli);
    ts_expect_core(ts_full_tickets(proto), 0);
    unknown = ts_with_flip(good, 0, 0x80);
    ts_ticket(good, &len);
    tampered = ts_with_flip(good, len - 1, 0x01);
    ts_cb_install(srv, &cb);

    if (proto != TS_TLS13) /* "This only occurs in TLSv1.2 or below." */
        one_status(proto, srv, cli, &cb, NULL, SSL_TICKET_EMPTY, 0);
    ts_note("%s: a key name that nobody knows", ts_proto_name(proto));
    one_status(proto, srv, cli, &cb, unknown, SSL_TICKET_NO_DECRYPT, 0);
    ts_note("%s: a known key name and a wrong MAC", ts_proto_name(proto));
    one_status(proto, srv, cli, &cb, tampered, SSL_TICKET_NO_DECRYPT, 0);
    one_status(proto, srv, cli, &cb, good, proto == TS_TLS13
               ? SSL_TICKET_SUCCESS_RENEW : SSL_TICKET_SUCCESS, 0);
    ts_expect_refused(N_ROWS, N_ROWS, 0);

    SSL_SESSION_free(good);
    SSL_SESSION_free(unknown);
    SSL_SESSION_free(tampered);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

/* The status is the key callback's return value, when there is one. */
static void own_keys(ts_proto proto)
{
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *good;
    ts_own_keys own = { .open_return = 1 };

    ts_raw_keys_make(&own.keys, 1);
    ts_use_own_keys(srv, ts_have_door(TS_DOOR_EVP_CB) ? TS_DOOR_EVP_CB
                    : TS_DOOR_OLD_CB, &own);
    ts_cb_install(srv, &cb);
    good = ts_fresh_session(srv, cli);
    one_status(proto, srv, cli, &cb, good, SSL_TICKET_SUCCESS, 1);
    own.open_return = 2;
    one_status(proto, srv, cli, &cb, good, SSL_TICKET_SUCCESS_RENEW, 1);
    own.open_return = 0;
    one_status(proto, srv, cli, &cb, good, SSL_TICKET_NO_DECRYPT, 1);
    SSL_SESSION_free(good);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

/* ---- sweeps: every byte wrong, every length too short ------------------------ */

typedef struct sweep {
    SSL_CTX *srv, *cli;
    ts_cb cb;
    const char *full;
    int bad;
} sweep;

/* A ticket that must not open: full handshake, NO_DECRYPT, the right keyname. */
static void must_refuse(sweep *w, SSL_SESSION *offer, const char *what, size_t n)
{
    size_t len;
    const unsigned char *ticket = ts_ticket(offer, &len);
    size_t keyname_len = len < 16 ? len : 16;
    ts_conn *c;

    ts_cb_reset(&w->cb);
    c = ts_connect(w->srv, w->cli, offer);
    if (strcmp(ts_outcome(c), w->full) != 0 || w->cb.dec_calls != 1
        || w->cb.dec_status != SSL_TICKET_NO_DECRYPT
        || w->cb.keyname_len != keyname_len
        || memcmp(w->cb.keyname, ticket, keyname_len) != 0
        || c->server.err != 0 || c->client.err != 0) {
        w->bad++;
        ts_diag("%s %zu: %s, callbacks: %s, keyname of %zu, errors %lx %lx",
                what, n, ts_outcome(c), w->cb.log, w->cb.keyname_len,
                c->server.err, c->client.err);
    }
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
}

/* Every TS_STRIDE-th position; always the edges of key name, IV and MAC. */
static int in_sweep(size_t pos, size_t len)
{
    return pos % ts_stride() == 0 || pos == 1 || pos == 15 || pos == 16
        || pos == 31 || pos == 32 || pos == 64 || pos == 65 || pos == len - 33
        || pos == len - 32 || pos == len - 1;
}

static void sweeps(ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;
    sweep w = { .cb = init };
    const char *name = ts_proto_name(proto);
    SSL_SESSION *good, *offer;
    size_t len;
    long unknown = 0, tampered = 0, maybe = 0;

    w.srv = ts_server_ctx(proto);
    w.cli = ts_client_ctx(proto);
    w.full = proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
    ts_cb_install(w.srv, &w.cb);
    good = ts_fresh_session(w.srv, w.cli);
    ts_expect_core(ts_full_tickets(proto), 0);
    ts_ticket(good, &len);
    ts_diag("%s: a ticket of %zu bytes", name, len);

    for (size_t pos = 0; pos < len; pos++) {
        if (!in_sweep(pos, len))
            continue;
        offer = ts_with_flip(good, pos, (unsigned char)(1u << (pos % 8)));
        must_refuse(&w, offer, "flipped byte", pos);
        SSL_SESSION_free(offer);
        *(pos < 16 ? &unknown : &tampered) += 1;
    }
    ts_is_int(w.bad, 0, "%s: one bit flipped in any byte: NO_DECRYPT, full", name);

    w.bad = 0;
    for (size_t cut = 1; cut < len; cut++) {
        if (!in_sweep(cut, len))
            continue;
        offer = ts_with_cut(good, cut);
        must_refuse(&w, offer, "cut to", cut);
        SSL_SESSION_free(offer);
        /* Name, IV and MAC are 64: libssl computes no MAC for less than 65. */
        *(cut > 64 ? &tampered : &maybe) += 1;
    }
    ts_is_int(w.bad, 0, "%s: cut to any length: NO_DECRYPT, full", name);
    ts_expect_refused(unknown, tampered, maybe);

    SSL_SESSION_free(good);
    SSL_CTX_free(w.srv);
    SSL_CTX_free(w.cli);
    ts_cb_reset(&w.cb);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        every_status(*p);
        own_keys(*p);
        sweeps(*p);
    }
    return ts_done();
}
