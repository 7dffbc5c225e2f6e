/*
 * binding_clients.c: no ticket leads past the demand for a client certificate.
 *
 * The attacks of CVE-2025-23419 (nginx), CVE-2025-23048 (httpd) and "STEK
 * Sharing is Not Caring" (USENIX Security 2025): a session that was made where
 * no certificate, or another one, was demanded is resumed where it is. See
 * docs/attacks.md. "shared" is what stock libssl does when an operator gives
 * both contexts the same ticket keys.
 */
#include <string.h>

#include "ts.h"

#define A "open.example"
#define B "private.example"

/* Two CAs for clients, of one tenant each, and a client's certificate of each. */
static ts_cert *ca[2], *client[2];

/* Where the second connection ended, and as whom the server takes its peer. */
static void at_private(ts_conn *c, int stage, void *private)
{
    int peer;

    if (stage == 0 || ts_shim_expected() || !c->established)
        return;
    peer = ts_shows_certificate(c->server.ssl);
    ts_ok(SSL_get_SSL_CTX(c->server.ssl) == private
          && SSL_get_verify_mode(c->server.ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT
          && SSL_get_verify_result(c->server.ssl) == X509_V_OK,
          "… it is past the demand for a certificate, verified as %s",
          peer ? "a client of another CA" : "nobody");
}

/* Virtual hosts on one port: every connection starts on `first`. */
static void virtual_hosts(ts_proto p, ts_switch where)
{
    const ts_place one = { .client_ca = ca[0] }, two = { .client_ca = ca[1] };
    SSL_CTX *first = ts_server_ctx(p), *open = ts_server_ctx(p),
        *private = ts_place_new(p, &two), *other = ts_place_new(p, &one),
        *stranger = ts_client_with(p, NULL), *guest = ts_client_with(p, client[0]),
        *member = ts_client_with(p, client[1]);
    const ts_vhost hosts[] = {
        { A, open }, { B, private }, { "other.example", other }, { NULL, NULL }
    };
    ts_journey j = { .proto = p, .from = first, .from_name = A, .to_name = B,
        .cli = stranger, .stock = TS_RESUMES, .shim = TS_DENIED,
        .what = "virtual host without client certificates to one that demands them" };

    ts_vhosts(first, where, hosts);
    ts_note("switched in the %s", ts_switch_name(where));
    /*
     * In TLS 1.2 SSL_get_servername() is the old name while a session resumes:
     * a servername callback stays with the old virtual host.
     */
    if (p == TS_TLS13 || where == TS_IN_CLIENT_HELLO) {
        j.after = at_private;
        j.arg = private;
    }
    ts_travel(&j);
    j.from_name = NULL;
    j.what = "no name to a virtual host that demands client certificates";
    if (p != TS_TLS13 && where == TS_IN_SERVERNAME)
        j.after = NULL;
    ts_travel(&j);
    j.from_name = "other.example";
    j.cli = guest;
    j.what = "virtual host of one client CA to that of another";
    ts_travel(&j);
    j.from_name = A;
    j.cli = member;
    j.shim = TS_ASKED;
    j.what = "to the demanding one, by a client that has what it demands";
    ts_travel(&j);
    j.from_name = B;
    j.shim = TS_RESUMES;
    j.after = NULL;
    j.what = "the demanding virtual host again";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(open);
    SSL_CTX_free(private);
    SSL_CTX_free(other);
    SSL_CTX_free(stranger);
    SSL_CTX_free(guest);
    SSL_CTX_free(member);
}

/* Two ports of one process: two contexts, each connection starts on its own. */
static void two_ports(ts_proto p, const char *name)
{
    const ts_place one = { .client_ca = ca[0] }, two = { .client_ca = ca[1] },
        lax = { .client_ca = ca[1], .optional = 1 };
    SSL_CTX *open = ts_server_ctx(p), *tenant1 = ts_place_new(p, &one),
        *tenant2 = ts_place_new(p, &two), *asks = ts_place_new(p, &lax),
        *stranger = ts_client_with(p, NULL), *guest = ts_client_with(p, client[0]),
        *member = ts_client_with(p, client[1]);
    ts_journey j = { .proto = p, .from = open, .to = tenant2, .from_name = name,
        .to_name = name, .cli = stranger, .stock = TS_DENIED,
        .shared = TS_RESUMES, .shim = TS_DENIED, .after = at_private,
        .arg = tenant2, .what = "port without client certificates to one that demands them" };

    ts_note("by %s", name != NULL ? "the same name" : "no name");
    ts_travel(&j);
    j.from = asks;
    j.what = "port that only asks for a certificate to one that demands it";
    ts_travel(&j);
    j.from = tenant1;
    j.cli = guest;
    j.what = "one tenant's port to another tenant's, each with a client CA";
    ts_travel(&j);
    j.cli = member;
    j.from = open;
    j.stock = TS_ASKED;
    j.shim = TS_ASKED;
    j.after = NULL;
    j.what = "to the demanding port, by a client that has what it demands";
    ts_travel(&j);
    j.from = tenant2;
    j.to = open;
    j.stock = TS_FULL;
    j.shim = TS_FULL;
    j.what = "back, from the demanding port to the open one";
    ts_travel(&j);
    SSL_CTX_free(open);
    SSL_CTX_free(tenant1);
    SSL_CTX_free(tenant2);
    SSL_CTX_free(asks);
    SSL_CTX_free(stranger);
    SSL_CTX_free(guest);
    SSL_CTX_free(member);
}

static void own_sid_context(ts_conn *c, int stage, void *arg)
{
    (void)arg;
    if (stage == 1
        && SSL_set_session_id_context(c->server.ssl, (const void *)"own", 3) != 1)
        ts_bail("cannot set the session id context of an SSL");
}

/* libssl itself compares these; under the shim such a ticket does not even open. */
static void session_id_contexts(ts_proto p)
{
    const ts_place one = { .sid = "one" }, two = { .sid = "two" },
        none = { .sid = "" };
    SSL_CTX *first = ts_place_new(p, &one), *second = ts_place_new(p, &two),
        *without = ts_place_new(p, &none);
    ts_journey j = { .proto = p, .from = first, .to = second, .from_name = A,
        .to_name = A, .stock = TS_FULL, .shared = TS_FULL, .shim = TS_FULL,
        .what = "another session id context" };

    ts_travel(&j);
    j.to = without;
    j.what = "to a context without a session id context";
    ts_travel(&j);
    j.from = without;
    j.to = second;
    j.what = "from a context without a session id context";
    ts_travel(&j);
    j.from = first;
    j.to = NULL;
    j.before = own_sid_context;
    j.shared = TS_NOT_RUN;
    j.counted = 1;
    j.count = TS_COUNT_OPENED;
    j.what = "another session id context, set on the SSL: opened, and libssl declines it";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(without);
}

int main(void)
{
    for (int i = 0; i < 2; i++) {
        ca[i] = ts_cert_new(i == 0 ? "client CA one" : "client CA two", NULL,
                            TS_CERT_CA);
        client[i] = ts_cert_new(i == 0 ? "guest" : "member", ca[i], 0);
    }
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        virtual_hosts(*p, TS_IN_SERVERNAME);
        virtual_hosts(*p, TS_IN_CLIENT_HELLO);
        two_ports(*p, A);
        two_ports(*p, NULL);
        session_id_contexts(*p);
    }
    for (int i = 0; i < 2; i++) {
        ts_cert_free(ca[i]);
        ts_cert_free(client[i]);
    }
    return ts_done();
}
