/*
 * appdata_size.c: how much application data fits, and what one byte more does.
 *
 * Two limits, both of libssl (measured on 1.1.1w, 3.0.19, 3.5.7 and 4.0.2):
 *
 *  - Server: a session whose DER is longer than 0xFF00 bytes is no ticket
 *    (construct_stateless_ticket() in ssl/statem/statem_srvr.c: "Some length
 *    values are 16 bits, so forget it if session is too long"). The handshake
 *    ends with the alert internal_error and SSL:ERR_R_INTERNAL_ERROR on the
 *    queue. In TLS 1.3 the client has by then finished its handshake and gets
 *    the alert when it reads. Neither SSL_SESSION_set1_ticket_appdata(), which
 *    returns 1, nor gen_cb is told. The check is before any key is asked for,
 *    so no ticket key callback can do better.
 *  - Client: a ticket has to fit into a ClientHello, whose extensions are at
 *    most 65535 bytes together. A ticket that the server could make and the
 *    client could store may so be one that the client can never offer: it fails
 *    with internal_error before it has said hello. How large that is depends on
 *    the client's other extensions, and on the ticket's overhead over the DER.
 */
#include <string.h>

#include "ts.h"

static unsigned char filler[80000];

typedef struct rig {
    const char *name;
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_cb cb;
    long der;              /* the DER that gen_cb has to make of the session */
    size_t appdata_len;    /* what that took */
    size_t offered_len;    /* … in the ticket that offer() offers */
    int missed;            /* it could not */
} rig;

/* Sets as much appdata as makes the session's DER cb->user's `der` bytes. */
static int fill_up(SSL *s, ts_cb *cb)
{
    SSL_SESSION *ss = SSL_get_session(s);
    rig *r = cb->user;
    long n = r->der - 200, now = 0;

    /* The lengths inside the DER grow too, so it takes a second try or third. */
    for (int i = 0; i < 4; i++) {
        if (SSL_SESSION_set1_ticket_appdata(ss, filler, (size_t)n) != 1)
            return 0;
        now = i2d_SSL_SESSION(ss, NULL);
        if (now == r->der)
            break;
        n += r->der - now;
    }
    r->missed += now != r->der;
    r->appdata_len = (size_t)n;
    return 1;
}

/* With SNI, as real clients have it; it takes its part of the space. */
static const char sni[] = "a.rather.long.name.for.a.server.that.someone."
    "gave.to.it.without.a.thought.of.how.long.a.client.hello.may.be.test";

static ts_conn *full_handshake(rig *r, long der)
{
    ts_conn *c;

    r->der = der;
    c = ts_connect_to(r->srv, r->cli, NULL, sni);
    ts_expect_core(c->tickets, 0);
    return c;
}

static int server_can(rig *r, long der)
{
    ts_conn *c = full_handshake(r, der);
    int yes = c->established;

    ts_conn_free(c);
    return yes;
}

/* A full handshake with such a ticket, then the client offers it. */
static ts_conn *offer(rig *r, long der)
{
    ts_conn *c = full_handshake(r, der);
    SSL_SESSION *ss = ts_session(c);

    if (ss == NULL)
        ts_bail("%s: no session for a DER of %ld", r->name, der);
    r->offered_len = r->appdata_len;
    ts_conn_free(c);
    r->der = 1000; /* for the ticket that TLS 1.3 sends on resumption */
    c = ts_connect_to(r->srv, r->cli, ss, sni);
    ts_expect_core(c->tickets, c->server.resumed);
    SSL_SESSION_free(ss);
    return c;
}

static int client_can(rig *r, long der)
{
    ts_conn *c = offer(r, der);
    int yes = c->established && c->server.resumed;

    ts_conn_free(c);
    return yes;
}

/* The largest DER for which `can` says yes; it does at `low`, not at `high`. */
static long search(rig *r, int (*can)(rig *, long), long low, long high)
{
    if (!can(r, low) || can(r, high))
        ts_bail("%s: no limit between %ld and %ld", r->name, low, high);
    while (high - low > 1) {
        long middle = low + (high - low) / 2;

        if (can(r, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void limits(ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;
    int tls13 = proto == TS_TLS13;
    rig r = { .cb = init };
    long server, client;
    ts_conn *c;

    r.proto = proto;
    r.name = ts_proto_name(proto);
    r.srv = ts_server_ctx(proto);
    r.cli = ts_client_ctx(proto);
    ts_cb_install(r.srv, &r.cb);
    r.cb.on_gen = fill_up;
    r.cb.user = &r;

    server = search(&r, server_can, 60000, 70000);
    ts_is_int(server, 0xFF00, "%s: a server makes tickets of up to 0xFF00 bytes "
              "of DER", r.name);
    c = full_handshake(&r, server);
    ts_is_str(ts_outcome(c), tls13 ? "full, 2 tickets" : "full, 1 ticket",
              "%s: the largest", r.name);
    ts_diag("%s: largest appdata: %zu bytes", r.name, r.appdata_len);
    ts_conn_free(c);

    c = full_handshake(&r, server + 1);
    ts_is_str(ts_outcome(c), "failed, server sent internal_error",
              "%s: one byte more: the handshake fails", r.name);
    ts_ok(ERR_GET_LIB(c->server.last_err) == ERR_LIB_SSL
          && ERR_GET_REASON(c->server.last_err) == ERR_R_INTERNAL_ERROR,
          "%s: … with an internal error of libssl", r.name);
    ts_is_int(c->client.done, tls13, "%s: … when the client %s finished",
              r.name, tls13 ? "had already" : "had not yet");
    ts_is_str(ts_alert_name(c->client.alert_received), "internal_error",
              "%s: … and the client is told", r.name);
    ts_is_int(c->tickets, 0, "%s: … and got no ticket", r.name);
    ts_conn_free(c);

    client = search(&r, client_can, 60000, 0xFF00);
    ts_diag("%s: largest DER that the client can offer: %ld", r.name, client);
    c = offer(&r, client);
    ts_is_str(ts_outcome(c), tls13 ? "resumed, 1 ticket" : "resumed, 0 tickets",
              "%s: the largest that the client can offer", r.name);
    ts_is_mem(r.cb.seen, r.cb.seen_len, filler, r.offered_len,
              "%s: … comes back byte for byte", r.name);
    ts_conn_free(c);
    c = offer(&r, client + 1);
    ts_is_str(ts_outcome(c), "failed, client sent internal_error",
              "%s: one byte more: the client can't say hello", r.name);
    ts_conn_free(c);

    /* The server is none the worse for any of it. */
    c = full_handshake(&r, 1000);
    ts_is_str(ts_outcome(c), tls13 ? "full, 2 tickets" : "full, 1 ticket",
              "%s: the next one is as ever", r.name);
    ts_conn_free(c);
    ts_is_int(r.missed, 0, "%s: every DER was of the size it should be", r.name);
    SSL_CTX_free(r.srv);
    SSL_CTX_free(r.cli);
    ts_cb_reset(&r.cb);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(filler); i++)
        filler[i] = (unsigned char)(i * 31 + i / 251);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        limits(*p);
    return ts_done();
}
