/*
 * late_demands.c: an ALPN callback that demands a certificate of a client which
 * was resumed. In the context that the ticket is from it is as in stock; one
 * from elsewhere is turned away once, and from then on makes full handshakes.
 */
#include <string.h>

#include "ts.h"

#define NAME "shop.example"

/* What the callback is to do, and what it saw. */
struct alpn {
    const char *admin;            /* with this protocol it demands a certificate */
    SSL_CTX *switch_to;           /* … and of this context */
    int calls, is_arg;
};

static struct alpn *expected;
static ts_cert *ca, *member;

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    struct alpn *alpn = arg;

    (void)in_len;
    alpn->calls++;
    alpn->is_arg = alpn == expected;
    *out = in + 1;
    *len = in[0];
    if (alpn->admin != NULL && in[0] == strlen(alpn->admin)
        && memcmp(in + 1, alpn->admin, in[0]) == 0) {
        if (alpn->switch_to != NULL)
            SSL_set_SSL_CTX(ssl, alpn->switch_to);
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
    }
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server(ts_proto p, struct alpn *alpn)
{
    SSL_CTX *ctx = ts_server_ctx(p);

    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->x509) != 1)
        ts_bail("cannot trust a CA");
    if (alpn != NULL)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, alpn);
    return ctx;
}

/* With a certificate of the CA; it asks for this protocol. */
static ts_conn *connect_for(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, const char *protocol)
{
    unsigned char wire[16];
    ts_conn *c = ts_conn_new(srv, cli, offer);

    wire[0] = (unsigned char)strlen(protocol);
    memcpy(wire + 1, protocol, wire[0]);
    if (SSL_set_alpn_protos(c->client.ssl, wire, wire[0] + 1u) != 0
        || SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set up a client");
    ts_conn_handshake(c);
    return c;
}

static SSL_SESSION *outcome(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, const char *protocol,
                            const char *want, const char *what)
{
    ts_conn *c = connect_for(srv, cli, offer, protocol);
    SSL_SESSION *session = c->n_sessions > 0 ? ts_session(c) : NULL;

    ts_is_str(ts_outcome(c), want, "%s", what);
    ts_conn_free(c);
    return session;
}

static void drop(SSL_SESSION *session)
{
    SSL_SESSION_free(session);
}

static void of(ts_proto p)
{
    const char *refused = "failed, server sent no_application_protocol";
    int shim = ts_shim_expected();
    struct alpn plain = { 0 }, asks = { .admin = "admin" };
    SSL_CTX *elsewhere = server(p, &plain), *here = server(p, &asks),
        *cli = ts_client_with(p, member);
    SSL_SESSION *from_there, *own, *web;

    ts_diag("%s", ts_proto_name(p));
    expected = &plain;
    from_there = outcome(elsewhere, cli, NULL, "web", ts_full(p), "full elsewhere");
    ts_ok(plain.calls == 1 && plain.is_arg, "its callback was called with its argument");
    expected = &asks;
    web = outcome(here, cli, from_there, "web", shim ? ts_resumed(p) : ts_full(p),
                  "its ticket, and nothing demanded");
    ts_ok(asks.calls == 1 && asks.is_arg, "the other's callback was called with the other's");

    drop(outcome(here, cli, from_there, "admin", shim ? refused : ts_full(p),
                 "from elsewhere, and then a demand"));
    for (int i = 0; i < 2; i++)
        drop(outcome(here, cli, from_there, "admin", ts_full(p), "and again: full"));
    drop(outcome(here, cli, web, "admin", shim ? ts_full(p) : ts_resumed(p),
                 "so is its renewed one"));

    own = outcome(here, cli, NULL, "admin", ts_full(p), "full in the context that demands");
    for (int i = 0; i < 3; i++) {
        SSL_SESSION *next = outcome(here, cli, own, "admin", ts_resumed(p), "its own ticket resumes");

        if (next != NULL) {
            drop(own);
            own = next;
        }
    }
    drop(outcome(elsewhere, cli, own, "web", ts_full(p), "and nowhere else"));
    ts_ok(asks.is_arg, "the argument was always the context's");
    drop(from_there);
    drop(own);
    drop(web);

    /* Taken back, set again, and of the context that the connection has by then. */
    SSL_CTX_set_alpn_select_cb(here, NULL, NULL);
    asks.calls = plain.calls = 0;
    drop(outcome(here, cli, NULL, "admin", ts_full(p), "no callback any more"));
    ts_is_int(asks.calls, 0, "it is not called");
    SSL_CTX_set_alpn_select_cb(here, select_alpn, &plain);
    expected = &plain;
    drop(outcome(here, cli, NULL, "admin", ts_full(p), "another argument"));
    ts_ok(plain.calls == 1 && plain.is_arg, "is the one that it gets");
    SSL_CTX_free(elsewhere);
    SSL_CTX_free(here);
    SSL_CTX_free(cli);
}

/* The callback of the virtual host is called, with its argument. */
static void of_virtual_host(ts_proto p)
{
    struct alpn first_alpn = { 0 }, host_alpn = { 0 };
    SSL_CTX *first = server(p, &first_alpn), *host = server(p, &host_alpn), *none = server(p, NULL),
        *cli = ts_client_ctx(p);
    ts_vhost hosts[] = { { NAME, host }, { NULL, NULL } };

    ts_vhosts(first, TS_IN_SERVERNAME, hosts);
    expected = &host_alpn;
    drop(outcome(first, cli, NULL, "web", ts_full(p), "switched to a virtual host"));
    ts_ok(host_alpn.calls == 1 && host_alpn.is_arg && first_alpn.calls == 0, "whose callback is called");
    hosts[0].ctx = none;
    drop(outcome(first, cli, NULL, "web", ts_full(p), "to one that has none"));
    ts_ok(first_alpn.calls == 0, "that of the first context is not called");
    SSL_CTX_free(first);
    SSL_CTX_free(host);
    SSL_CTX_free(none);
    SSL_CTX_free(cli);
}

/* It switches to a context of another CA: its demand is another. */
static void that_switches(ts_proto p)
{
    const char *refused = "failed, server sent no_application_protocol";
    int shim = ts_shim_expected();
    struct alpn asks = { .admin = "admin" };
    SSL_CTX *elsewhere = server(p, NULL), *other = server(p, NULL), *here,
        *cli = ts_client_with(p, member);
    SSL_SESSION *from_there;

    asks.switch_to = other;
    here = server(p, &asks);
    expected = &asks;
    from_there = outcome(elsewhere, cli, NULL, "web", ts_full(p), "full elsewhere");
    drop(outcome(here, cli, from_there, "admin", shim ? refused : ts_full(p), "a callback that switches"));
    drop(outcome(here, cli, from_there, "admin", ts_full(p), "and again: full"));
    drop(from_there);
    SSL_CTX_free(elsewhere);
    SSL_CTX_free(here);
    SSL_CTX_free(other);
    SSL_CTX_free(cli);
}

int main(void)
{
    ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    member = ts_cert_new("member", ca, 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        of(*p);
        of_virtual_host(*p);
        /* Before TLS 1.3 libssl itself cannot go on after that. */
        if (*p == TS_TLS13)
            that_switches(*p);
    }
    ts_cert_free(ca);
    ts_cert_free(member);
    ts_expect_core_min(9, 9);
    return ts_done();
}
