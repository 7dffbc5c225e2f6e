/*
 * panic.c: troubles inside the shim itself. A library built with fault injection
 * panics at a named place, or cannot get its cipher: the host lives, each
 * connection is a full handshake or has no ticket, nothing is left on the error
 * queue, and the counter `failures` says that there was something.
 *
 * ts-run: lib=fault
 */
#define _GNU_SOURCE /* setenv */
#include <stdlib.h>
#include <string.h>

#include "ts.h"

#define PANIC "TICKETSHIM_TEST_PANIC"

typedef struct rig {
    const char *name;
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_cb cb;
} rig;

/* Nothing of the shim's troubles reaches the program. */
static SSL_SESSION *outcome_is(rig *r, SSL_SESSION *offer, const char *outcome,
                               const char *what)
{
    ts_conn *c = ts_connect(r->srv, r->cli, offer);
    SSL_SESSION *ss = ts_session(c);

    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    ts_conn_free(c);
    return ss;
}

static long failures(void)
{
    struct ticketshim_stats s;

    ts_stats(&s);
    return (long)s.failures;
}

static void rig_up(rig *r, ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;

    r->proto = proto;
    r->name = ts_proto_name(proto);
    r->srv = ts_server_ctx(proto);
    r->cli = ts_client_ctx(proto);
    r->cb = init;
    ts_cb_install(r->srv, &r->cb);
}

static void rig_down(rig *r)
{
    SSL_CTX_free(r->srv);
    SSL_CTX_free(r->cli);
    ts_is_int(r->cb.queue_not_empty, 0,
              "%s: … no callback found an error on the queue", r->name);
    ts_cb_reset(&r->cb);
}

/* ---- a panic on the way out: no ticket, or one that is good for nothing ---------- */

/*
 * Where the key callback itself panics libssl is told "no ticket": an empty one
 * before TLS 1.3, none in it. Later there is no way back, so something is sent,
 * which may open or not.
 */
static void sealing(ts_proto proto, const char *place, int no_ticket)
{
    const char *want = !no_ticket ? ts_full(proto) : proto == TS_TLS13
        ? "full, 0 tickets" : "full, 0 tickets and an empty one";
    SSL_SESSION *ss, *good, *next;
    long before = failures();
    ts_conn *c;
    rig r;

    rig_up(&r, proto);
    good = ts_fresh_session(r.srv, r.cli);
    setenv(PANIC, place, 1);
    ss = outcome_is(&r, NULL, want, place);
    ts_ok(failures() > before, "%s: … it is counted", r.name);
    /* A resumption that would bring a new ticket (TLS 1.3, or asked for). */
    r.cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;
    c = ts_connect(r.srv, r.cli, good);
    ts_ok(c->established && c->server.resumed,
          "%s: %s: a good ticket still resumes", r.name, place);
    ts_is_int(c->tickets, !no_ticket, "%s: … new tickets: %d", r.name,
              !no_ticket);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r.name);
    ts_conn_free(c);
    r.cb.dec_return = TS_DEC_DEFAULT;
    unsetenv(PANIC);

    if (ss != NULL && SSL_SESSION_has_ticket(ss)) {
        c = ts_connect(r.srv, r.cli, ss);
        ts_ok(c->established, "%s: … what it got may be offered", r.name);
        ts_conn_free(c);
    }
    next = outcome_is(&r, NULL, ts_full(proto), "the next one");
    SSL_SESSION_free(outcome_is(&r, next, ts_resumed(proto), "… resumes"));
    SSL_SESSION_free(next);
    SSL_SESSION_free(good);
    SSL_SESSION_free(ss);
    rig_down(&r);
}

/* ---- a panic on the way in: the ticket is not known ------------------------------ */

static void opening(ts_proto proto, const char *place)
{
    const char *log = proto == TS_TLS13 ? "dec:NO_DECRYPT gen gen"
        : "dec:NO_DECRYPT gen";
    SSL_SESSION *good;
    long before = failures();
    rig r;

    rig_up(&r, proto);
    good = ts_fresh_session(r.srv, r.cli);
    setenv(PANIC, place, 1);
    ts_cb_reset(&r.cb);
    SSL_SESSION_free(outcome_is(&r, good, ts_full(proto), place));
    ts_is_str(r.cb.log, log, "%s: … callbacks: %s", r.name, log);
    ts_ok(failures() > before, "%s: … it is counted", r.name);
    unsetenv(PANIC);
    SSL_SESSION_free(outcome_is(&r, good, ts_resumed(proto),
                                "the ticket, once more"));
    SSL_SESSION_free(good);
    rig_down(&r);
}

/* ---- no cipher to be had: the contexts are stock's ------------------------------- */

/* In a process of its own, where the cipher was never fetched. */
static int without_provider(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        SSL_SESSION *ss;
        rig r;

        rig_up(&r, *p);
        ts_is_int(ERR_peek_error() != 0, 0, "%s: no cipher: no error", r.name);
        ss = outcome_is(&r, NULL, ts_full(*p), "no cipher");
        SSL_SESSION_free(outcome_is(&r, ss, ts_resumed(*p), "… resumes"));
        SSL_SESSION_free(ss);
        rig_down(&r);
    }
    ts_expect_contexts(0, 0, "no cipher");
    ts_expect_core_unused();
    ts_expect_failures(6);
    return ts_done();
}

static void provider(void)
{
    static const char *const env[] = { "TICKETSHIM_TEST_FAIL=provider", NULL };
    ts_child child = { .role = "without-provider", .env = env };

    ts_child_run(&child);
    ts_is_int(child.exit_code, 0, "no provider cipher: stock's own tickets");
    if (child.exit_code != 0)
        ts_diag("%s", (char *)child.out);
    ts_child_free(&child);
}

int main(int argc, char **argv)
{
    static const char *const open_places[] = { "open", "open-update",
                                               "open-final" };

    if (argc > 1 && strcmp(argv[1], "without-provider") == 0)
        return without_provider();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        /* Where TLS 1.3 cannot do without a ticket, one that nobody opens. */
        sealing(*p, "seal", *p != TS_TLS13
                || ts_version_has(TS_CAN_SEND_NO_TICKET));
        sealing(*p, "seal-update", 0);
        sealing(*p, "seal-final", 0);
        for (size_t i = 0; i < 3; i++)
            opening(*p, open_places[i]);
    }
    provider();
    ts_expect_core_min(1, 1);
    ts_expect_failures(1);
    return ts_done();
}
