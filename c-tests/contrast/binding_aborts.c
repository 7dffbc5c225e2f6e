/*
 * binding_aborts.c: tickets over which stock libssl ends the handshake. With
 * keys that outlive the process these would be every returning client's, so
 * under the shim such a ticket is unknown: a full handshake, and counted.
 */
#include <string.h>

#include "ts.h"

#define NAME "mail.example"

static ts_cert *ca, *client;

static SSL_CTX *new_ctx(ts_proto p, const char *sid, int verify)
{
    const ts_place place = { .sid = sid, .client_ca = verify ? ca : NULL,
        .optional = 1 };

    return ts_place_new(p, &place);
}

/* Stock again, with a key callback of the application's: the same for both. */
static void with_key_callback(ts_proto p, const char *name, SSL_CTX *cli)
{
    SSL_CTX *first = new_ctx(p, "", 1), *twin = new_ctx(p, "", 1);
    ts_own_keys own = { .open_return = 1 };
    const ts_journey j = { .proto = p, .from = first, .to = twin, .cli = cli,
        .from_name = name, .to_name = name, .stock = TS_ABORTS,
        .what = "verifies, no session id context: with a key callback" };

    if (!ts_shim_expected() && ts_have_door(TS_DOOR_EVP_CB)) {
        ts_raw_keys_make(&own.keys, 3);
        ts_use_own_keys(first, TS_DOOR_EVP_CB, &own);
        ts_use_own_keys(twin, TS_DOOR_EVP_CB, &own);
        ts_travel(&j);
    }
    SSL_CTX_free(first);
    SSL_CTX_free(twin);
}

static void verify_on_ssl(ts_conn *c, int stage, void *arg)
{
    (void)stage;
    (void)arg;
    SSL_set_verify(c->server.ssl, SSL_VERIFY_PEER, NULL);
}

/*
 * SSL_VERIFY_PEER and no session id context: "session id context uninitialized"
 * (ssl_get_prev_session in ssl/ssl_sess.c), an internal_error alert.
 */
static void no_session_id_context(ts_proto p, const char *name)
{
    SSL_CTX *first = new_ctx(p, "", 1), *twin = new_ctx(p, "", 1),
        *plain = new_ctx(p, "", 0), *with = new_ctx(p, "with", 1),
        *with_twin = new_ctx(p, "with", 1), *cli = ts_client_with(p, client);
    ts_journey j = { .proto = p, .from = first, .to = first, .cli = cli,
        .from_name = name, .to_name = name, .stock = TS_ABORTS,
        .shim = TS_RESUMES, .counted = 1, .count = TS_COUNT_OPENED,
        .what = "verifies, no session id context: the same context" };

    ts_travel(&j);
    /* It opens there, and then libssl sees another session id context. */
    j.shim = TS_ASKED;
    j.to = twin;
    j.stock = TS_ASKED;
    j.shared = TS_ABORTS;
    j.what = "verifies, no session id context: a context configured alike";
    ts_travel(&j);
    with_key_callback(p, name, cli);

    j.counted = 0;
    j.from = plain;
    j.what = "verifies, no session id context: a ticket of one that does not verify";
    ts_travel(&j);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(plain), ca->x509) != 1)
        ts_bail("cannot trust a CA");
    j.to = NULL;
    j.before = verify_on_ssl;
    j.stock = TS_ABORTS;
    j.shim = TS_RESUMES;
    j.shared = TS_NOT_RUN;
    j.counted = 1;
    j.what = "verifies by SSL_set_verify(), no session id context";
    ts_travel(&j);
    j.shim = TS_ASKED;
    j.before = NULL;

    j.from = with;
    j.to = with_twin;
    j.stock = TS_ASKED;
    j.shared = TS_RESUMES;
    j.shim = TS_RESUMES;
    j.counted = 0;
    j.what = "verifies, with a session id context";
    ts_travel(&j);
    j.from = plain;
    j.to = NULL;
    j.stock = TS_RESUMES;
    j.shared = TS_NOT_RUN;
    j.what = "does not verify, no session id context";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(twin);
    SSL_CTX_free(plain);
    SSL_CTX_free(with);
    SSL_CTX_free(with_twin);
    SSL_CTX_free(cli);
}

/* ---- a ticket of another version ------------------------------------------------ */

static void offer_as_psk(ts_conn *c, int stage, void *ticket)
{
    static const unsigned char key[48] = "a key that is not the master secret";
    SSL_SESSION *psk;
    const unsigned char *bytes;
    size_t len;

    if (stage == 0)
        return;
    psk = ts_psk_session(key, sizeof(key));
    bytes = ts_ticket(ticket, &len);
    ts_offer_psk(c, bytes, len, psk);
    SSL_SESSION_free(psk);
}

/* A server that speaks both versions; each client only one. */
static void between_versions(const char *name)
{
    SSL_CTX *srv = ts_server_ctx(TS_TLS12), *v12 = ts_client_ctx(TS_TLS12),
        *v13 = ts_client_ctx(TS_TLS13);
    ts_journey j = { .proto = TS_TLS12, .from = srv, .from_name = name,
        .to_name = name, .cli = v12, .what = "a ticket" };
    SSL_SESSION *ss12, *ss13, *mixed;
    const unsigned char *bytes;
    size_t len;

    ts_note("between versions, %s", name != NULL ? "named" : "no name");
    if (SSL_CTX_set_max_proto_version(srv, TLS1_3_VERSION) != 1)
        ts_bail("cannot allow TLS 1.3");
    ss12 = ts_depart(&j);
    j.proto = TS_TLS13;
    j.cli = v13;
    ss13 = ts_depart(&j);

    j.before = offer_as_psk;
    j.arg = ss12;
    j.shim = TS_FULL;
    j.what = "a TLS 1.2 ticket as the identity of a TLS 1.3 PSK";
    SSL_SESSION_free(ts_arrive(&j, NULL, TS_ABORTS));

    j.proto = TS_TLS12;
    j.before = NULL;
    j.cli = v12;
    j.what = "a TLS 1.3 ticket in TLS 1.2";
    bytes = ts_ticket(ss13, &len);
    mixed = ts_with_ticket(ss12, bytes, len);
    SSL_SESSION_free(ts_arrive(&j, mixed, TS_FULL));
    SSL_SESSION_free(mixed);
    SSL_SESSION_free(ss12);
    SSL_SESSION_free(ss13);
    SSL_CTX_free(srv);
    SSL_CTX_free(v12);
    SSL_CTX_free(v13);
}

/* A ticket of one family in the other: its bytes in a session of this one. */
static void between_families(ts_proto p, ts_proto other)
{
    SSL_CTX *from = ts_server_ctx(other), *to = ts_server_ctx(p);
    ts_journey issue = { .proto = other, .from = from, .from_name = NAME,
        .what = "a ticket" }, own = { .proto = p, .from = to,
        .from_name = NAME, .to_name = NAME, .shim = TS_FULL,
        .what = p == TS_TLS12 ? "a ticket of DTLS 1.2" : "a ticket of TLS 1.2" };
    SSL_SESSION *foreign, *ss, *mixed;
    const unsigned char *bytes;
    ts_raw_keys keys;
    size_t len;

    if (!ts_shim_expected()) {
        ts_raw_keys_make(&keys, 5);
        if (ts_set_raw_keys(from, &keys) != 1 || ts_set_raw_keys(to, &keys) != 1)
            ts_bail("cannot set raw ticket keys");
    }
    foreign = ts_depart(&issue);
    ss = ts_depart(&own);
    bytes = ts_ticket(foreign, &len);
    mixed = ts_with_ticket(ss, bytes, len);
    SSL_SESSION_free(ts_arrive(&own, mixed, TS_FULL));
    SSL_SESSION_free(mixed);
    SSL_SESSION_free(ss);
    SSL_SESSION_free(foreign);
    SSL_CTX_free(from);
    SSL_CTX_free(to);
}

int main(void)
{
    ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    client = ts_cert_new("client", ca, 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        no_session_id_context(*p, NAME);
        no_session_id_context(*p, NULL);
    }
    between_versions(NAME);
    between_versions(NULL);
    between_families(TS_TLS12, TS_DTLS12);
    between_families(TS_DTLS12, TS_TLS12);
    ts_cert_free(ca);
    ts_cert_free(client);
    return ts_done();
}
