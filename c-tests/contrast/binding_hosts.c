/*
 * binding_hosts.c: virtual hosts whose policy the servername callback decides,
 * after libssl has opened the ticket. What a name leads to is known once somebody
 * was there; a ticket that comes before that, to a server that asks for client
 * certificates somewhere, is a full handshake.
 */
#include <string.h>

#include "ts.h"

#define OPEN "open.example"
#define SHOP "shop.example"

static ts_cert *ca[2], *guest;

/* A server with an open host and one that demands certificates. */
typedef struct site {
    SSL_CTX *first, *open, *shop;
    ts_vhost hosts[3];
} site;

static void site_up(site *s, ts_proto p, ts_cert *client_ca)
{
    const ts_place demands = { .client_ca = client_ca };

    s->first = ts_server_ctx(p);
    s->open = ts_server_ctx(p);
    s->shop = ts_place_new(p, &demands);
    s->hosts[0] = (ts_vhost){ OPEN, s->open };
    s->hosts[1] = (ts_vhost){ SHOP, s->shop };
    s->hosts[2] = (ts_vhost){ NULL, NULL };
    ts_vhosts(s->first, TS_IN_SERVERNAME, s->hosts);
}

static void site_down(site *s)
{
    SSL_CTX_free(s->first);
    SSL_CTX_free(s->open);
    SSL_CTX_free(s->shop);
}

/* The same site after a reload or a restart: other contexts, the same facts. */
static void again(ts_proto p, const char *name)
{
    site before, after;
    SSL_CTX *cli = ts_client_with(p, guest);
    ts_fate first = strcmp(name, SHOP) == 0 ? TS_ASKED : TS_FULL;
    ts_journey j = { .proto = p, .from_name = name, .to_name = name, .cli = cli };
    SSL_SESSION *ss;

    ts_note("%s after a reload", name);
    site_up(&before, p, ca[0]);
    j.from = before.first;
    ss = ts_depart(&j);
    j.shim = TS_RESUMES;
    j.what = "before it";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));

    site_up(&after, p, ca[0]);
    j.to = after.first;
    j.shim = first;
    j.what = "the first that asks for this host";
    SSL_SESSION_free(ts_arrive(&j, ss, first));
    /* The ticket of before: the host is known now. */
    j.shim = TS_RESUMES;
    j.what = "the old ticket, after that";
    SSL_SESSION_free(ts_arrive(&j, ss, first));
    SSL_SESSION_free(ss);
    site_down(&before);
    site_down(&after);
    SSL_CTX_free(cli);
}

/* What one name has shown says nothing about another, nor about no name. */
static void names_apart(ts_proto p)
{
    site s;
    SSL_CTX *cli = ts_client_with(p, guest);
    struct ticketshim_stats old, now;
    ts_journey j = { .proto = p, .from_name = OPEN, .to_name = SHOP, .cli = cli,
        .shim = TS_ASKED, .counted = 1, .count = TS_COUNT_ELSEWHERE };
    SSL_SESSION *ss;

    site_up(&s, p, ca[0]);
    j.from = s.first;
    ss = ts_depart(&j);
    ts_stats(&old);
    j.what = "from the open host to one that nobody asked for yet";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    ts_stats(&now);
    if (ts_shim_expected())
        ts_ok(now.refused_policy == old.refused_policy + 1
              && now.refused_binding == old.refused_binding,
              "… its policy was not known");
    j.what = "the same again";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    ts_stats(&old);
    if (ts_shim_expected())
        ts_ok(now.refused_policy == old.refused_policy
              && now.refused_binding + 1 == old.refused_binding,
              "… it is known, and the ticket is not for it");
    SSL_SESSION_free(ss);
    site_down(&s);
    SSL_CTX_free(cli);
}

/*
 * A server that leads a name to another policy than before, from the same
 * context. The ticket has been opened by then, and nothing but the end of the
 * handshake keeps its holder out. Stock lets it in.
 */
static void led_elsewhere(ts_proto p)
{
    site s;
    struct ticketshim_stats old, now;
    ts_journey j = { .proto = p, .from_name = OPEN, .to_name = OPEN,
        .counted = 1, .count = TS_COUNT_ELSEWHERE };
    SSL_SESSION *ss;

    site_up(&s, p, ca[0]);
    j.from = s.first;
    ss = ts_depart(&j);
    j.shim = TS_RESUMES;
    j.what = "at the open host";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    s.hosts[0].ctx = s.shop;
    ts_stats(&old);
    j.shim = TS_ABORTS;
    j.what = "which demands a certificate all at once";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    ts_stats(&now);
    if (ts_shim_expected())
        ts_is_int((int)(now.ended - old.ended), 1, "… one handshake was ended");
    old = now;
    j.shim = TS_DENIED;
    j.what = "the same again";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    ts_stats(&now);
    if (ts_shim_expected())
        ts_is_int((int)(now.ended - old.ended), 0, "… and none after that");
    SSL_SESSION_free(ss);
    site_down(&s);
}

/*
 * What is trusted changes while the server runs. Behind a servername callback
 * that shows only after the ticket was opened: one handshake is ended.
 */
static void later_list(ts_proto p, int behind)
{
    site s;
    SSL_CTX *cli = ts_client_with(p, guest), *ctx;
    ts_journey j = { .proto = p, .from_name = SHOP, .to_name = SHOP, .cli = cli };
    SSL_SESSION *ss;
    X509_STORE *store;

    ts_note("trust changes %s", behind ? "behind a servername callback"
            : "at the first context");
    site_up(&s, p, ca[0]);
    ctx = s.shop;
    store = SSL_CTX_get_cert_store(ctx);
    j.from = behind ? s.first : ctx;
    ss = ts_depart(&j);

    j.shim = TS_RESUMES;
    j.what = "before a list is loaded";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    if (X509_STORE_add_cert(store, ca[1]->x509) != 1)
        ts_bail("cannot trust another CA");
    if (behind) {
        j.shim = TS_ABORTS;
        j.what = "the first after another CA was trusted as well";
        j.counted = 1;
        j.count = TS_COUNT_ELSEWHERE;
        SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
        j.counted = 0;
    }
    j.shim = TS_ASKED;
    j.what = "after another CA was trusted as well";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    ts_revoke(ctx, ca[0], guest);
    j.shim = TS_DENIED;
    j.what = "after a list that revokes the client";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    SSL_SESSION_free(ss);
    site_down(&s);
    SSL_CTX_free(cli);
}

/*
 * A host that is known by more than its name (two ports, one context to start
 * on): tickets of the one never open at the other, and nobody is cut off more
 * than once.
 */
static void by_more_than_the_name(ts_proto p)
{
    site s;
    struct ticketshim_stats old, now;
    ts_journey j = { .proto = p, .from_name = SHOP, .to_name = SHOP,
        .counted = 1, .count = TS_COUNT_ELSEWHERE };
    SSL_SESSION *ss;

    if (!ts_shim_expected())
        return;
    site_up(&s, p, ca[0]);
    j.from = s.first;
    s.hosts[1].ctx = s.open;
    ss = ts_depart(&j);
    ts_stats(&old);
    for (int i = 0; i < 6; i++) {
        s.hosts[1].ctx = i % 2 == 0 ? s.shop : s.open;
        j.what = i % 2 == 0 ? "the port that demands a certificate"
            : "the port that does not";
        j.shim = i == 0 ? TS_ABORTS : i % 2 == 0 ? TS_DENIED : TS_FULL;
        SSL_SESSION_free(ts_arrive(&j, ss, TS_FULL));
    }
    ts_stats(&now);
    ts_is_int((int)(now.ended - old.ended), 1, "… one handshake was ended");
    SSL_SESSION_free(ss);
    site_down(&s);
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
/*
 * A handshake that ends after its ticket was opened and before the servername
 * callback; then SSL_clear(), and another client under another name on the same
 * SSL. What that name led to says nothing about the one before.
 */
static int refuse_now;

static int parse(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in,
                 size_t len, X509 *x, size_t chain, int *al, void *arg)
{
    (void)ssl, (void)type, (void)context, (void)in, (void)len, (void)x, (void)chain, (void)arg;
    *al = SSL_AD_DECODE_ERROR;
    return !refuse_now;
}

static void cleared_midway(ts_proto p)
{
    const unsigned int type = 65280;
    site s;
    SSL_CTX *cli = ts_client_with(p, guest);
    ts_journey j = { .proto = p, .from_name = OPEN, .to_name = OPEN, .cli = cli,
        .counted = 1, .count = TS_COUNT_ELSEWHERE, .shim = TS_RESUMES };
    SSL_SESSION *ss;
    ts_conn *c;

    site_up(&s, p, ca[0]);
    if (SSL_CTX_add_custom_ext(s.first, type, SSL_EXT_CLIENT_HELLO, NULL, NULL, NULL, parse, NULL) != 1
        || SSL_CTX_add_custom_ext(cli, type, SSL_EXT_CLIENT_HELLO, NULL, NULL, NULL, NULL, NULL) != 1)
        ts_bail("cannot add an extension");
    j.from = s.first;
    ss = ts_depart(&j);
    j.what = "at the open host";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    refuse_now = 1;
    c = ts_connect_to(s.first, cli, ss, OPEN);
    refuse_now = 0;
    ts_ok(!c->established, "%s: a handshake ends between its ticket and its name", ts_proto_name(p));
    ts_expect_core(0, 1);
    ts_conn_next(c, cli, NULL);
    SSL_set_tlsext_host_name(c->client.ssl, SHOP);
    ts_conn_handshake(c);
    ts_ok(c->established && !c->server.resumed, "… SSL_clear(), and in full at another host");
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    j.what = "at the open host again";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    SSL_SESSION_free(ss);
    site_down(&s);
    SSL_CTX_free(cli);
}

#endif

/*
 * A callback that goes by the name and never acknowledges it. Up to TLS 1.2
 * libssl shows it no name when it resumes, so there it would decide otherwise.
 */
static int no_ack(SSL *ssl, int *al, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    site *s = arg;

    (void)al;
    if (name != NULL && strcmp(name, SHOP) == 0) {
        SSL_set_SSL_CTX(ssl, s->shop);
        SSL_set_verify(ssl, SSL_CTX_get_verify_mode(s->shop), NULL);
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static void unacknowledged(ts_proto p)
{
    site s;
    SSL_CTX *cli = ts_client_with(p, guest);
    struct ticketshim_stats old, now;
    ts_journey j = { .proto = p, .from_name = SHOP, .to_name = SHOP, .cli = cli,
        .counted = 1, .count = TS_COUNT_ELSEWHERE };
    SSL_SESSION *ss;

    site_up(&s, p, ca[0]);
    SSL_CTX_set_tlsext_servername_callback(s.first, no_ack);
    SSL_CTX_set_tlsext_servername_arg(s.first, &s);
    j.from = s.first;
    ss = ts_depart(&j);
    ts_stats(&old);
    for (int i = 0; i < 4; i++) {
        j.what = "names that are not acknowledged";
        j.shim = p == TS_TLS13 ? TS_RESUMES : TS_ASKED;
        SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    }
    ts_stats(&now);
    if (ts_shim_expected())
        ts_is_int((int)(now.ended - old.ended), 0, "… nobody was cut off");
    SSL_SESSION_free(ss);
    site_down(&s);
    SSL_CTX_free(cli);
}

int main(void)
{
    ca[0] = ts_cert_new("client CA one", NULL, TS_CERT_CA);
    ca[1] = ts_cert_new("client CA two", NULL, TS_CERT_CA);
    guest = ts_cert_new("guest", ca[0], 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        again(*p, SHOP);
        again(*p, OPEN);
        names_apart(*p);
        led_elsewhere(*p);
        later_list(*p, 0);
        later_list(*p, 1);
        by_more_than_the_name(*p);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L /* 1.1.1 does not go on with an SSL whose handshake ended there */
        cleared_midway(*p);
#endif
        unacknowledged(*p);
    }
    ts_cert_free(ca[0]);
    ts_cert_free(ca[1]);
    ts_cert_free(guest);
    return ts_done();
}
