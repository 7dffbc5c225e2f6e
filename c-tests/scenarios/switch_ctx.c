/*
 * switch_ctx.c: servers of several names, which switch to another SSL_CTX with
 * SSL_set_SSL_CTX() when they know the name: in the servername callback, or in
 * the ClientHello callback. libssl goes on with the ticket callbacks of the
 * context that the connection started on. A ticket resumes under its name.
 */
#include <string.h>

#include "ts.h"

/* A server that starts on `first` and switches to the site of the name. */
typedef struct host {
    ts_proto proto;
    const char *label;
    SSL_CTX *first, *cli;
    ts_vhost site[3];         /* two, and the end */
    ts_cert *cert[2];
    ts_cb cb_first, cb_site;
} host;

static void site_up(host *h, int i, const char *name, int own_sid_ctx)
{
    SSL_CTX *ctx = ts_server_ctx(h->proto);

    h->site[i].name = name;
    h->site[i].ctx = ctx;
    h->cert[i] = ts_cert_new(name, ts_ca(), 0);
    ts_use_cert(ctx, h->cert[i], NULL, 0);
    ts_cb_install(ctx, &h->cb_site);
    if (own_sid_ctx
        && SSL_CTX_set_session_id_context(ctx, (const void *)name,
                                          (unsigned)strlen(name)) != 1)
        ts_bail("cannot set the session id context");
}

/* `own_sid_ctx`: each site has a session id context of its own. */
static void host_up(host *h, ts_proto proto, ts_switch where, int own_sid_ctx)
{
    static const ts_cb init = TS_CB_INIT;

    memset(h, 0, sizeof(*h));
    h->proto = proto;
    h->label = ts_switch_name(where);
    h->cb_first = h->cb_site = init;
    h->first = ts_server_ctx(proto);
    h->cli = ts_client_ctx(proto);
    ts_cb_install(h->first, &h->cb_first);
    site_up(h, 0, "one.test", own_sid_ctx);
    site_up(h, 1, "two.test", own_sid_ctx);
    ts_vhosts(h->first, where, h->site);
}

static void host_down(host *h)
{
    for (int i = 0; i < 2; i++) {
        SSL_CTX_free(h->site[i].ctx);
        ts_cert_free(h->cert[i]);
    }
    SSL_CTX_free(h->first);
    SSL_CTX_free(h->cli);
    ts_cb_reset(&h->cb_first);
    ts_cb_reset(&h->cb_site);
}

/* One connection to a name; `to` is the site that must have answered, or -1. */
static ts_conn *visit(host *h, const char *name, SSL_SESSION *offer, int to,
                      const char *outcome, const char *what)
{
    SSL_CTX *want = to < 0 ? h->first : h->site[to].ctx;
    ts_conn *c;

    ts_cb_reset(&h->cb_first);
    ts_cb_reset(&h->cb_site);
    c = name != NULL ? ts_connect_to(h->first, h->cli, offer, name)
        : ts_connect(h->first, h->cli, offer);
    ts_is_str(ts_outcome(c), outcome, "%s, %s: %s: %s: %s",
              ts_proto_name(h->proto), h->label, name != NULL ? name : "no name",
              what, outcome);
    ts_ok(SSL_get_SSL_CTX(c->server.ssl) == want,
          "… answered by the context of that name");
    ts_is_int(h->cb_site.gen_calls + h->cb_site.dec_calls, 0,
              "… no ticket callback of the context switched to is called");
    ts_expect_core(c->tickets, c->server.resumed);
    return c;
}

/* Full and resumed under one name, twice. */
static void under_one_name(host *h, const char *name, int to)
{
    const char *log = h->proto == TS_TLS13 ? "gen gen" : "dec:EMPTY gen";
    const char *again = h->proto == TS_TLS13 ? "dec:SUCCESS_RENEW gen"
        : "dec:SUCCESS";
    ts_conn *c = visit(h, name, NULL, to, ts_full(h->proto), "full handshake");
    SSL_SESSION *ss = ts_session(c), *next;
    X509 *cert = SSL_SESSION_get0_peer(ss);

    ts_ok(X509_cmp(cert, to < 0 ? ts_server_cert()->x509
                   : h->cert[to]->x509) == 0, "… with its certificate");
    ts_is_str(h->cb_first.log, log, "… callbacks of the first context: %s", log);
    ts_conn_free(c);
    for (int i = 0; i < 2; i++) {
        c = visit(h, name, ss, to, ts_resumed(h->proto), "its ticket");
        ts_is_str(h->cb_first.log, again,
                  "… callbacks of the first context: %s", again);
        next = ts_session(c);
        SSL_SESSION_free(ss);
        ss = next;
        ts_conn_free(c);
    }
    SSL_SESSION_free(ss);
}

static void hosts(ts_proto proto, ts_switch w)
{
    host h;

    host_up(&h, proto, w, 0);
    under_one_name(&h, "one.test", 0);
    under_one_name(&h, "two.test", 1);
    under_one_name(&h, "nobody.test", -1);
    under_one_name(&h, NULL, -1);
    host_down(&h);
}

/*
 * Each site with a session id context of its own. SSL_set_SSL_CTX() takes it
 * over; in TLS 1.2 and the servername callback that is after the session was
 * looked up, so that the ticket is for one and the look-up in the other.
 */
static void own_session_id_contexts(ts_proto proto, ts_switch w)
{
    ts_conn *c;
    SSL_SESSION *ss;
    host h;

    host_up(&h, proto, w, 1);
    c = visit(&h, "one.test", NULL, 0, ts_full(proto), "own session id context");
    ss = ts_session(c);
    ts_conn_free(c);
    c = visit(&h, "one.test", ss, 0, ts_resumed(proto), "own session id context");
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    host_down(&h);
}

/* A site that was switched to may be freed while the connection lives. */
static void site_freed(ts_proto proto, ts_switch w)
{
    ts_conn *c;
    SSL_SESSION *ss;
    host h;

    host_up(&h, proto, w, 0);
    c = visit(&h, "two.test", NULL, 1, ts_full(proto), "a site to be freed");
    SSL_CTX_free(h.first);
    SSL_CTX_free(h.site[1].ctx);
    h.first = h.site[1].ctx = NULL;
    ts_expect_contexts(4, 0, "both alive by the connection's references");
    ts_conn_pump(c);
    ts_ok(c->established, "… the connection goes on without its contexts");
    ss = ts_session(c);
    ts_ok(ss != NULL, "… and its session can be had");
    SSL_SESSION_free(ss);
    ts_conn_free(c);
    host_down(&h);
    ts_expect_contexts(0, 0, "all freed");
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        for (int w = TS_IN_SERVERNAME; w <= TS_IN_CLIENT_HELLO; w++) {
            hosts(*p, (ts_switch)w);
            own_session_id_contexts(*p, (ts_switch)w);
            site_freed(*p, (ts_switch)w);
        }
    }
    return ts_done();
}
