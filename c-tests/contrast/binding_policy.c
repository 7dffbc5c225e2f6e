/*
 * binding_policy.c: who may come in changes, and no old ticket gets past it.
 *
 * The policy that matters is the one a connection ends under: that of the
 * context it was switched to, of the SSL itself, of the CAs that are trusted
 * and not only named. Each test is two servers, or one before and after, that
 * differ in it alone.
 */
#include <string.h>

#include "ts.h"

#define NAME "shop.example"

static ts_cert *ca[2], *client[2];

/* As seen by the server: nobody's certificate, or one of the wrong CA. */
static void past(ts_conn *c, int stage, void *arg)
{
    (void)arg;
    if (stage == 1 && c->established && c->server.resumed)
        ts_diag("  the server takes its peer for %s",
                ts_shows_certificate(c->server.ssl)
                ? "a verified client" : "nobody in particular");
}

/*
 * Two listeners (or one before and after a reload) whose first contexts are the
 * same, and whose virtual hosts of one name are not.
 */
static void behind_the_first_context(ts_proto p, ts_switch where)
{
    const ts_place one = { .client_ca = ca[0] }, two = { .client_ca = ca[1] };
    SSL_CTX *first = ts_server_ctx(p), *second = ts_server_ctx(p),
        *open = ts_server_ctx(p), *of_one = ts_place_new(p, &one),
        *of_two = ts_place_new(p, &two), *guest = ts_client_with(p, client[0]);
    ts_vhost here[] = { { NAME, open }, { NULL, NULL } };
    const ts_vhost there[] = { { NAME, of_two }, { NULL, NULL } };
    ts_journey j = { .proto = p, .from = first, .to = second,
        .from_name = NAME, .to_name = NAME, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "same name and first context, virtual host that demands a certificate" };

    ts_note("switched in the %s", ts_switch_name(where));
    ts_vhosts(first, where, here);
    ts_vhosts(second, where, there);
    ts_travel(&j);
    here[0].ctx = of_one;
    j.cli = guest;
    j.what = "same name and first context, virtual host of another client CA";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(open);
    SSL_CTX_free(of_one);
    SSL_CTX_free(of_two);
    SSL_CTX_free(guest);
}

/* The client CA of another tenant has the same name, and another key. */
static void namesakes(ts_proto p)
{
    ts_cert *twin = ts_cert_new("client CA one", NULL, TS_CERT_CA);
    const ts_place one = { .client_ca = ca[0] }, two = { .client_ca = twin };
    SSL_CTX *first = ts_place_new(p, &one), *second = ts_place_new(p, &two),
        *guest = ts_client_with(p, client[0]);
    const ts_journey j = { .proto = p, .from = first, .to = second,
        .from_name = NAME, .to_name = NAME, .cli = guest, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "client CA of the same name, with another key" };

    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(guest);
    ts_cert_free(twin);
}

/* The next process, or the one after a reload, knows that it was revoked. */
static void revoked(ts_proto p)
{
    const ts_place one = { .client_ca = ca[0] };
    SSL_CTX *first = ts_place_new(p, &one), *second = ts_place_new(p, &one),
        *guest = ts_client_with(p, client[0]);
    const ts_journey j = { .proto = p, .from = first, .to = second,
        .from_name = NAME, .to_name = NAME, .cli = guest, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "to a context that knows the client's certificate as revoked" };

    ts_revoke(second, ca[0], client[0]);
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(guest);
}

static void demand_on_ssl(ts_conn *c, int stage, void *arg)
{
    (void)arg;
    if (stage == 1)
        SSL_set_verify(c->server.ssl, SSL_VERIFY_PEER
                       | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/* The server demands the certificate on the connection, not on the context. */
static void on_the_connection(ts_proto p)
{
    SSL_CTX *first = ts_server_ctx(p), *second = ts_server_ctx(p);
    const ts_journey j = { .proto = p, .from = first, .to = second,
        .from_name = NAME, .to_name = NAME, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .before = demand_on_ssl,
        .after = past, .what = "SSL_set_verify() before the second handshake" };

    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
}

static void demand_on_ctx(ts_conn *c, int stage, void *ctx)
{
    (void)c;
    if (stage == 0)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER
                           | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/*
 * SSL_new() takes the verify mode over from the context. One that is set on the
 * context after that does not hold for this connection, nor may its ticket say
 * that it did.
 */
static void after_ssl_new(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p);
    const ts_journey j = { .proto = p, .from = ctx, .from_name = NAME,
        .to_name = NAME, .stock = TS_RESUMES, .shim = TS_DENIED,
        .before = demand_on_ctx, .arg = ctx, .after = past,
        .what = "SSL_CTX_set_verify() between SSL_new() and the handshake" };

    ts_travel(&j);
    SSL_CTX_free(ctx);
}

/* A server that knows its hosts by their very bytes has another one for "b.". */
static void spellings(ts_proto p, ts_switch where)
{
    const ts_place one = { .client_ca = ca[0] };
    SSL_CTX *first = ts_server_ctx(p), *of_one = ts_place_new(p, &one);
    const ts_vhost hosts[] = { { NAME, of_one }, { NULL, NULL } };
    ts_journey j = { .proto = p, .from = first, .from_name = NAME ".",
        .to_name = NAME, .stock = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "from a name with a dot, which is no virtual host, to the one without" };

    ts_vhosts(first, where, hosts);
    ts_note("switched in the %s", ts_switch_name(where));
    ts_travel(&j);
    j.from_name = "SHOP.example";
    j.what = "from a name in capitals, which is no virtual host, to the one in small letters";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(of_one);
}

/* SSL_CTX_set0_CA_list(): the names that are sent if there is no client CA list. */
static void name_ca(SSL_CTX *ctx, const ts_cert *cert)
{
    if (SSL_CTX_add1_to_CA_list(ctx, cert->x509) != 1
        || X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert->x509) != 1)
        ts_bail("cannot name a CA");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
}

static void the_other_list(ts_proto p)
{
    SSL_CTX *first = ts_server_ctx(p), *second = ts_server_ctx(p),
        *guest = ts_client_with(p, client[0]);
    const ts_journey j = { .proto = p, .from = first, .to = second,
        .from_name = NAME, .to_name = NAME, .cli = guest, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "client CAs that are named with SSL_CTX_add1_to_CA_list()" };

    name_ca(first, ca[0]);
    name_ca(second, ca[1]);
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(guest);
}

/* Each port switches to its own context before the handshake even begins. */
static void switch_at_once(ts_conn *c, int stage, void *ctx)
{
    SSL_CTX *to = ((SSL_CTX **)ctx)[stage];

    if (SSL_set_SSL_CTX(c->server.ssl, to) != to)
        ts_bail("cannot switch");
    SSL_set_verify(c->server.ssl, SSL_CTX_get_verify_mode(to), NULL);
}

static void before_the_handshake(ts_proto p)
{
    const ts_place one = { .client_ca = ca[0] }, two = { .client_ca = ca[1] };
    SSL_CTX *first = ts_server_ctx(p), *guest = ts_client_with(p, client[0]),
        *to[2] = { ts_place_new(p, &one), ts_place_new(p, &two) };
    const ts_journey j = { .proto = p, .from = first, .from_name = NAME,
        .to_name = NAME, .cli = guest, .before = switch_at_once, .arg = to,
        .stock = TS_RESUMES, .shim = TS_DENIED, .after = past,
        .what = "another client CA, by SSL_set_SSL_CTX() before the handshake" };

    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(to[0]);
    SSL_CTX_free(to[1]);
    SSL_CTX_free(guest);
}

/* SSL_new_session_ticket() on a connection that is older than the policy. */
static void old_connection(void)
{
    const ts_place one = { .client_ca = ca[0] };
    SSL_CTX *ctx = ts_place_new(TS_TLS13, &one),
        *guest = ts_client_with(TS_TLS13, client[0]);
    const ts_journey j = { .proto = TS_TLS13, .from = ctx, .to_name = NAME,
        .cli = guest, .shim = TS_DENIED, .after = past,
        .what = "a ticket that an old connection gives after the client CA changed" };
    STACK_OF(X509_NAME) *names;
    X509_STORE *store;
    SSL_SESSION *ss;
    ts_conn *c;

    if (!ts_have_new_session_ticket()) {
        ts_note("n/a: %s: no SSL_new_session_ticket()", j.what);
        goto end;
    }
    c = ts_connect_to(ctx, guest, NULL, NAME);
    names = sk_X509_NAME_new_null();
    store = X509_STORE_new();
    if (names == NULL || store == NULL
        || X509_STORE_add_cert(store, ca[1]->x509) != 1
        || sk_X509_NAME_push(names, X509_NAME_dup(
               X509_get_subject_name(ca[1]->x509))) != 1)
        ts_bail("cannot make a list of CAs");
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_cert_store(ctx, store);
    if (ts_new_session_ticket(c->server.ssl) != 1)
        ts_bail("cannot ask for another ticket");
    ts_conn_pump(c);
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    SSL_SESSION_free(ss);
    ts_conn_free(c);
end:
    SSL_CTX_free(ctx);
    SSL_CTX_free(guest);
}

int main(void)
{
    for (int i = 0; i < 2; i++) {
        ca[i] = ts_cert_new(i == 0 ? "client CA one" : "client CA two", NULL,
                            TS_CERT_CA);
        client[i] = ts_cert_new(i == 0 ? "guest" : "member", ca[i], 0);
    }
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        behind_the_first_context(*p, TS_IN_SERVERNAME);
        behind_the_first_context(*p, TS_IN_CLIENT_HELLO);
        namesakes(*p);
        revoked(*p);
        on_the_connection(*p);
        after_ssl_new(*p);
        spellings(*p, TS_IN_SERVERNAME);
        spellings(*p, TS_IN_CLIENT_HELLO);
        the_other_list(*p);
        before_the_handshake(*p);
    }
    old_connection();
    for (int i = 0; i < 2; i++) {
        ts_cert_free(ca[i]);
        ts_cert_free(client[i]);
    }
    return ts_done();
}
