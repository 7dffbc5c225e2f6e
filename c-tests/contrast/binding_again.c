/*
 * binding_again.c: one SSL, more than one handshake or more than one ticket.
 * What a connection was before says nothing about the tickets it gives later.
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* A ticket that is for B: it resumes there, and is refused under A. */
static void is_for_b(ts_journey j, SSL_SESSION *ss, const char *what)
{
    if (!ts_ok(ss != NULL && SSL_SESSION_has_ticket(ss), "%s: brings a ticket",
               what))
        return;
    j.to = NULL;
    j.before = NULL;
    j.what = what;
    j.to_name = A;
    j.shim = TS_FULL;
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    j.to_name = B;
    j.shim = TS_RESUMES;
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
}

static void named(ts_conn *c, const char *name)
{
    if (SSL_set_tlsext_host_name(c->client.ssl, name) != 1)
        ts_bail("cannot set the server's name");
}

static void count_tickets(const ts_conn *c)
{
    ts_expect_core(c->tickets, c->server.resumed);
}

/*
 * Up to 3.0.8 and some, a server that was resumed in TLS 1.3 and cleared selects
 * a PSK in the next handshake too, and the client ends that (unsupported_extension).
 */
#define SELECTS_A_PSK "failed, client sent another alert"

/* SSL_clear(), and another client on the same SSL. */
static void cleared(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p), *cli = ts_client_ctx(p);
    const ts_journey j = { .proto = p, .from = ctx, .cli = cli, .from_name = A,
        .what = "a ticket of A" };
    SSL_SESSION *of_a = ts_depart(&j), *next;
    ts_conn *c = ts_connect_to(ctx, cli, of_a, A);

    ts_is_str(ts_outcome(c), ts_resumed(p), "%s: resumed under A",
              ts_proto_name(p));
    count_tickets(c);
    ts_conn_next(c, cli, NULL);
    named(c, B);
    ts_conn_handshake(c);
    count_tickets(c);
    if (p == TS_TLS13 && strcmp(ts_outcome(c), SELECTS_A_PSK) == 0) {
        ts_note("n/a: this OpenSSL cannot clear an SSL that was resumed");
    } else {
        ts_is_str(ts_outcome(c), ts_full(p), "… SSL_clear(), and in full under B");
        next = ts_session(c);
        is_for_b(j, next, "… the ticket that B gave");
        SSL_SESSION_free(next);
    }
    SSL_SESSION_free(of_a);
    ts_conn_free(c);
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
}

/*
 * SSL_clear(), and then a session that B's server kept is resumed by its id, and
 * a ticket asked for: the connection is resumed as the one before it was, and
 * not by that one's ticket.
 */
static void cleared_then_by_id(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p), *cli = ts_client_ctx(p), *a = ts_server_ctx(p),
        *b = ts_server_ctx(p);
    const ts_vhost hosts[] = { { A, a }, { B, b }, { NULL, NULL } };
    const ts_journey j = { .proto = p, .from = ctx, .cli = cli, .from_name = A,
        .what = "a ticket of A" };
    SSL_SESSION *of_a, *of_b, *next;
    ts_conn *c;

    ts_vhosts(ctx, TS_IN_SERVERNAME, hosts);
    of_a = ts_depart(&j);
    c = ts_conn_new(ctx, cli, NULL);
    SSL_set_options(c->client.ssl, SSL_OP_NO_TICKET);
    named(c, B);
    ts_conn_handshake(c);
    of_b = ts_session(c);
    ts_conn_free(c);

    c = ts_connect_to(ctx, cli, of_a, A);
    ts_is_str(ts_outcome(c), ts_resumed(p), "%s: resumed under A",
              ts_proto_name(p));
    count_tickets(c);
    ts_conn_next(c, cli, of_b);
    named(c, B);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), "resumed, 1 ticket",
              "… SSL_clear(), and resumed under B by a session id");
    ts_expect_core(c->tickets, 0);
    next = ts_session(c);
    is_for_b(j, next, "… the ticket that B gave");
    SSL_SESSION_free(next);
    SSL_SESSION_free(of_a);
    SSL_SESSION_free(of_b);
    ts_conn_free(c);
    SSL_CTX_free(ctx);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
    SSL_CTX_free(cli);
}

/* TLS 1.2: a connection that was resumed under A is renegotiated under B. */
static void renegotiated(void)
{
#ifdef SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    SSL_CTX *ctx = ts_server_ctx(TS_TLS12), *cli = ts_client_ctx(TS_TLS12);
    const ts_journey j = { .proto = TS_TLS12, .from = ctx, .cli = cli,
        .from_name = A, .what = "a ticket of A" };
    SSL_SESSION *of_a = ts_depart(&j), *next;
    ts_conn *c;

    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    c = ts_connect_to(ctx, cli, of_a, A);
    ts_is_str(ts_outcome(c), "resumed, 0 tickets", "TLS 1.2: resumed under A");
    ts_expect_core(0, 1);
    named(c, B);
    if (SSL_renegotiate(c->client.ssl) != 1)
        ts_bail("cannot renegotiate");
    for (int i = 0; i < 4; i++)
        ts_conn_pump(c);
    ts_ok(c->established && !SSL_session_reused(c->server.ssl) && c->tickets == 1,
          "… renegotiated in full under B");
    ts_expect_core(c->tickets, 0);
    next = SSL_get1_session(c->client.ssl);
    is_for_b(j, next, "… the ticket of the renegotiation");
    SSL_SESSION_free(next);
    SSL_SESSION_free(of_a);
    ts_conn_free(c);
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
#endif
}

/* ---- TLS 1.3: certificates after the handshake --------------------------------------- */

typedef struct hall {
    SSL_CTX *ctx, *cli, *at_once;
} hall;

static SSL_CTX *asks(ts_cert *ca, int mode)
{
    const ts_place place = { .client_ca = ca };
    SSL_CTX *ctx = ts_place_new(TS_TLS13, &place);

    SSL_CTX_set_verify(ctx, mode, NULL);
    return ctx;
}

/* Connect, then let the server ask. The tickets of before and of after that. */
static void ask_later(const hall *h, SSL_SESSION **before, SSL_SESSION **after)
{
    ts_conn *c = ts_conn_new(h->ctx, h->cli, NULL);
    int first;

    SSL_set_post_handshake_auth(c->client.ssl, 1);
    named(c, A);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), "full, 2 tickets",
              "TLS 1.3, post-handshake authentication: at first without");
    *before = ts_session(c);
    first = c->n_sessions;
    if (SSL_verify_client_post_handshake(c->server.ssl) != 1
        || SSL_do_handshake(c->server.ssl) != 1)
        ts_bail("cannot ask for a certificate");
    ts_conn_pump(c);
    ts_conn_pump(c);
    ts_ok(c->established && ts_shows_certificate(c->server.ssl),
          "… then the client shows its certificate");
    ts_is_int(c->n_sessions > first, 1, "… and gets another ticket");
    *after = ts_session(c);
    count_tickets(c);
    ts_conn_free(c);
}

/* As whom the server takes a client that resumed. */
static void known(ts_conn *c, int stage, void *want)
{
    if (stage == 1 && c->established)
        ts_is_int(ts_shows_certificate(c->server.ssl),
                  *(int *)want, "… known by a certificate: %s",
                  *(int *)want ? "yes" : "no");
}

static void later(void)
{
    static const int later_mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        | SSL_VERIFY_POST_HANDSHAKE;
    static int yes = 1, no = 0;
    ts_cert *ca = ts_cert_new("client CA", NULL, TS_CERT_CA),
        *client = ts_cert_new("client", ca, 0);
    hall h = { .ctx = asks(ca, later_mode), .cli = ts_client_with(TS_TLS13, client),
        .at_once = asks(ca, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT) };
    SSL_SESSION *before, *after;
    ts_journey j = { .proto = TS_TLS13, .from = h.ctx, .cli = h.cli,
        .to_name = A, .after = known, .arg = &no, .shim = TS_RESUMES,
        .what = "a ticket from before the certificate" };

    ask_later(&h, &before, &after);
    SSL_SESSION_free(ts_arrive(&j, before, TS_RESUMES));
    j.to = h.at_once;
    j.arg = &yes;
    j.shim = TS_ASKED;
    j.what = "a ticket from before the certificate, where it is demanded at once";
    SSL_SESSION_free(ts_arrive(&j, before, TS_ASKED));
    j.what = "a ticket from after it, where it is demanded at once";
    SSL_SESSION_free(ts_arrive(&j, after, TS_ASKED));
    j.to = NULL;
    j.shim = TS_RESUMES;
    j.what = "a ticket from after the certificate";
    SSL_SESSION_free(ts_arrive(&j, after, TS_RESUMES));
    j.to_name = B;
    j.arg = ts_shim_expected() ? &no : &yes;
    j.shim = TS_FULL;
    j.what = "a ticket from after the certificate, under another name";
    SSL_SESSION_free(ts_arrive(&j, after, TS_RESUMES));
    SSL_SESSION_free(before);
    SSL_SESSION_free(after);
    SSL_CTX_free(h.ctx);
    SSL_CTX_free(h.at_once);
    SSL_CTX_free(h.cli);
    ts_cert_free(ca);
    ts_cert_free(client);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        cleared(*p);
    cleared_then_by_id(TS_TLS12);
    renegotiated();
    later();
    return ts_done();
}
