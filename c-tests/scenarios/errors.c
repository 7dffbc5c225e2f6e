/*
 * errors.c: a success leaves nothing on OpenSSL's error queue, and what was on
 * it stays. A program that finds an old entry there takes a later, harmless
 * SSL_ERROR_WANT_READ for a failure.
 */
#include "ts.h"

/* How many entries are on the queue? Empties it. */
static int entries(void)
{
    int n = 0;

    while (ERR_get_error() != 0)
        n++;
    return n;
}

/* The three functions themselves. */
static void functions(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13);
    SSL_SESSION *ss = SSL_SESSION_new();
    void *data = NULL;
    size_t len = 0;

    entries();
    ts_is_int(SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, ts_dec_cb, NULL), 1,
              "SSL_CTX_set_session_ticket_cb() returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");
    ts_is_int(SSL_CTX_set_session_ticket_cb(ctx, NULL, NULL, NULL), 1,
              "SSL_CTX_set_session_ticket_cb() with NULLs returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");
    ts_is_int(SSL_SESSION_get0_ticket_appdata(ss, &data, &len), 1,
              "SSL_SESSION_get0_ticket_appdata() of none returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");
    ts_is_int(SSL_SESSION_set1_ticket_appdata(ss, "data", 4), 1,
              "SSL_SESSION_set1_ticket_appdata() returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");
    ts_is_int(SSL_SESSION_get0_ticket_appdata(ss, &data, &len), 1,
              "SSL_SESSION_get0_ticket_appdata() of some returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");
    ts_is_int(SSL_SESSION_set1_ticket_appdata(ss, NULL, 0), 1,
              "SSL_SESSION_set1_ticket_appdata() with NULL returns 1");
    ts_is_int(entries(), 0, "… and leaves no error");

    /* Somebody else's entry is none of their business. */
    ts_raise_foreign_error();
    SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, ts_dec_cb, NULL);
    SSL_SESSION_set1_ticket_appdata(ss, "data", 4);
    SSL_SESSION_get0_ticket_appdata(ss, &data, &len);
    ts_is_int(entries(), 1, "an entry that was there before stays");
    SSL_SESSION_free(ss);
    SSL_CTX_free(ctx);
}

/* Making and freeing contexts, and asking for what is not there. */
static void contexts(void)
{
    SSL_CTX *ctx;

    entries();
    ctx = SSL_CTX_new(TLS_method());
    ts_ok(ctx != NULL, "SSL_CTX_new() returns a context");
    ts_is_int(entries(), 0, "… and leaves no error");
    SSL_CTX_free(ctx);
    ts_is_int(entries(), 0, "SSL_CTX_free() leaves no error");
    ts_ok(SSL_CTX_new(NULL) == NULL, "SSL_CTX_new(NULL) returns NULL");
    ts_is_int(entries(), 1, "… and leaves one error");
    /* A NULL context is how libssl (until 3.1) lets a list be checked. */
    if (ts_null_ctx_checks_lists()) {
        ts_is_int(SSL_CTX_set1_sigalgs_list(NULL, "ECDSA+SHA256"), 1,
                  "a NULL context checks a list of signature algorithms");
        ts_is_int(entries(), 0, "… and leaves no error");
    }
}

/* ---- handshakes ---------------------------------------------------------------- */

typedef struct rig {
    const char *name;
    SSL_CTX *srv, *cli;
    ts_cb cb;
} rig;

static void clean_is(rig *r, SSL_SESSION *offer, const char *outcome,
                     long opened, const char *what)
{
    ts_conn *c;

    ts_cb_reset(&r->cb);
    c = ts_connect(r->srv, r->cli, offer);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    ts_is_int(r->cb.queue_not_empty, 0,
              "%s: … nor did the callbacks find one", r->name);
    ts_expect_core(c->tickets, opened);
    ts_conn_free(c);
}

static void handshakes(ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;
    const char *full = proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
    rig r = { .name = ts_proto_name(proto), .cb = init };
    SSL_SESSION *good, *bad;
    size_t len;

    r.srv = ts_server_ctx(proto);
    r.cli = ts_client_ctx(proto);
    ts_cb_install(r.srv, &r.cb);
    r.cb.appdata = "some";
    r.cb.appdata_len = 4;
    good = ts_fresh_session(r.srv, r.cli);
    ts_expect_core(ts_full_tickets(proto), 0);
    ts_ticket(good, &len);

    clean_is(&r, NULL, full, 0, "full handshake");
    clean_is(&r, good, proto == TS_TLS13 ? "resumed, 1 ticket"
             : "resumed, 0 tickets", 1, "resumption");
    bad = ts_with_flip(good, 5, 1);
    clean_is(&r, bad, full, 0, "unknown key");
    SSL_SESSION_free(bad);
    bad = ts_with_flip(good, 20, 1);
    clean_is(&r, bad, full, 0, "another IV");
    SSL_SESSION_free(bad);
    bad = ts_with_flip(good, len / 2, 1);
    clean_is(&r, bad, full, 0, "altered ciphertext");
    SSL_SESSION_free(bad);
    bad = ts_with_flip(good, len - 1, 1);
    clean_is(&r, bad, full, 0, "altered MAC");
    SSL_SESSION_free(bad);
    bad = ts_with_cut(good, len - 1);
    clean_is(&r, bad, full, 0, "a byte short");
    SSL_SESSION_free(bad);
    bad = ts_with_cut(good, 7);
    clean_is(&r, bad, full, 0, "seven bytes");
    SSL_SESSION_free(bad);
    r.cb.dec_return = SSL_TICKET_RETURN_IGNORE;
    clean_is(&r, good, "full, 0 tickets", 1, "IGNORE");
    r.cb.dec_return = SSL_TICKET_RETURN_IGNORE_RENEW;
    clean_is(&r, good, full, 1, "IGNORE_RENEW");
    r.cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;
    clean_is(&r, good, "resumed, 1 ticket", 1, "USE_RENEW");
    ts_expect_refused(1, 4, 1);

    SSL_SESSION_free(good);
    SSL_CTX_free(r.srv);
    SSL_CTX_free(r.cli);
    ts_cb_reset(&r.cb);
}

int main(void)
{
    functions();
    contexts();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        handshakes(*p);
    return ts_done();
}
