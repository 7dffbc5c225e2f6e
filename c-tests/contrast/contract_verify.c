/*
 * contract_verify.c: the contract (harness/contract.h), where certificates are verified: by libssl, by callbacks, by what
 * parameters, stores and CAs say.
 */
#include <string.h>

#include <openssl/x509v3.h>

#include "ts.h"

/* ---- verify mode and CAs ------------------------------------------------------------ */

static void nothing(SSL_CTX *ctx, int strict)
{
    (void)ctx;
    (void)strict;
}

static void demands(SSL_CTX *ctx, int strict)
{
    if (strict)
        ts_demand(ctx, ts_client_ca(), NULL);
}

static void both_demand(SSL_CTX *ctx, int strict)
{
    (void)strict;
    ts_demand(ctx, ts_client_ca(), NULL);
}

static void asks_or_demands(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_verify(ctx, strict ? TS_DEMANDS : SSL_VERIFY_PEER, NULL);
}

/* Lax: the other CA, too. */
static void two_cas_or_one(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (!strict)
        ts_demand(ctx, ts_other_ca(), NULL);
}

static void demands_on_connection(ts_conn *c, int strict)
{
    if (strict)
        SSL_set_verify(c->server.ssl, TS_DEMANDS, NULL);
}

static void trusts(SSL_CTX *ctx, int strict)
{
    demands(ctx, 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    (void)strict;
}

static void by_conf(SSL_CTX *ctx, int strict)
{
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();

    SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER
                           | SSL_CONF_FLAG_CERTIFICATE);
    SSL_CONF_CTX_set_ssl_ctx(conf, ctx);
    trusts(ctx, strict);
    if (strict && SSL_CONF_cmd(conf, "VerifyMode", "Require") != 2)
        ts_bail("SSL_CONF_cmd() failed");
    SSL_CONF_CTX_free(conf);
}

static void connection_by_conf(ts_conn *c, int strict)
{
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();

    SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER
                           | SSL_CONF_FLAG_CERTIFICATE);
    SSL_CONF_CTX_set_ssl(conf, c->server.ssl);
    if (strict && SSL_CONF_cmd(conf, "VerifyMode", "Require") != 2)
        ts_bail("SSL_CONF_cmd() failed");
    SSL_CONF_CTX_free(conf);
}

static void depth(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_verify_depth(ctx, strict ? 0 : 5);
}

static void depth_on_connection(ts_conn *c, int strict)
{
    SSL_set_verify_depth(c->server.ssl, strict ? 0 : 5);
}

static void level(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_security_level(ctx, strict ? 2 : 1);
}

static void level_on_connection(ts_conn *c, int strict)
{
    SSL_set_security_level(c->server.ssl, strict ? 2 : 1);
}

static void auth_level(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_security_level(ctx, 1);
    X509_VERIFY_PARAM_set_auth_level(SSL_CTX_get0_param(ctx), strict ? 2 : 1);
}

static void revokes(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (strict)
        ts_use_crl(ctx, ts_guest_crl());
}

static void no_sid_context(SSL_CTX *ctx, int strict)
{
    (void)strict;
    ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_session_id_context(ctx, (const void *)"", 0);
}

static void no_sid_context_lax(SSL_CTX *ctx, int strict)
{
    if (strict)
        ts_demand(ctx, ts_client_ca(), NULL);
    SSL_CTX_set_session_id_context(ctx, (const void *)"", 0);
}

static void no_sid_context_trusts(SSL_CTX *ctx, int strict)
{
    trusts(ctx, strict);
    SSL_CTX_set_session_id_context(ctx, (const void *)"", 0);
}

/* ---- callbacks that decide about certificates -------------------------------------------- */

static int takes_all(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int as_it_is(int ok, X509_STORE_CTX *store)
{
    (void)store;
    return ok;
}

static int takes_no_guest(int ok, X509_STORE_CTX *store)
{
    if (ts_is_guest(X509_STORE_CTX_get_current_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return ok;
}

static int verifies_nothing(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int verifies_no_guest(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    if (!ts_is_guest(X509_STORE_CTX_get0_cert(store)))
        return X509_verify_cert(store);
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static void lax_callback(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), strict ? NULL : takes_all);
}

static void strict_callback(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), strict ? takes_no_guest : NULL);
}

static void two_callbacks(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), strict ? takes_no_guest : as_it_is);
}

static void lax_on_connection(ts_conn *c, int strict)
{
    SSL_set_verify(c->server.ssl, TS_DEMANDS, strict ? NULL : takes_all);
}

static void strict_on_connection(ts_conn *c, int strict)
{
    SSL_set_verify(c->server.ssl, TS_DEMANDS, strict ? takes_no_guest : as_it_is);
}

static void lax_cert_verify(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (!strict)
        SSL_CTX_set_cert_verify_callback(ctx, verifies_nothing, NULL);
}

static void strict_cert_verify(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (strict)
        SSL_CTX_set_cert_verify_callback(ctx, verifies_no_guest, NULL);
}

static void lax_store_callback(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (!strict)
        X509_STORE_set_verify_cb(SSL_CTX_get_cert_store(ctx), takes_all);
}

static void strict_store_callback(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (strict)
        X509_STORE_set_verify_cb(SSL_CTX_get_cert_store(ctx), takes_no_guest);
}

/* ---- stores, and what CAs are trusted for --------------------------------------------------- */

/* The client CA with auxiliary settings; i2d_X509() leaves them out. */
static void add_ca(SSL_CTX *ctx, int reject, int trust)
{
    X509 *ca = X509_dup(ts_client_ca()->x509);
    ASN1_OBJECT *object = OBJ_nid2obj(reject ? reject : trust);

    if ((reject && X509_add1_reject_object(ca, object) != 1)
        || (trust && X509_add1_trust_object(ca, object) != 1)
        || X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1
        || SSL_CTX_add_client_CA(ctx, ca) != 1)
        ts_bail("cannot add a CA");
    X509_free(ca);
    ts_demand(ctx, ts_other_ca(), NULL);
}

static void ca_rejects(SSL_CTX *ctx, int strict)
{
    add_ca(ctx, strict ? NID_client_auth : 0, 0);
}

static void ca_trusts(SSL_CTX *ctx, int strict)
{
    add_ca(ctx, 0, strict ? NID_email_protect : NID_client_auth);
}

static X509_STORE *store_of(int strict)
{
    X509_STORE *store = X509_STORE_new();

    if (store == NULL || X509_STORE_add_cert(store, ts_client_ca()->x509) != 1
        || (!strict && X509_STORE_add_cert(store, ts_other_ca()->x509) != 1))
        ts_bail("cannot make a store");
    return store;
}

static void store_of_context(SSL_CTX *ctx, int strict)
{
    two_cas_or_one(ctx, 0);
    SSL_CTX_set0_verify_cert_store(ctx, store_of(strict));
}

static void two_cas(SSL_CTX *ctx, int strict)
{
    (void)strict;
    two_cas_or_one(ctx, 0);
}

static void store_of_connection(ts_conn *c, int strict)
{
    SSL_set0_verify_cert_store(c->server.ssl, store_of(strict));
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const ts_way ways[] = {
    { .name = "nobody is asked", .ctx = nothing, .plain = 1, .nobody_is_member = 1 },
    { .name = "verify mode", .ctx = demands },
    { .name = "verify mode that only asks", .ctx = asks_or_demands },
    { .name = "verify mode of the connection", .ctx = trusts, .server = demands_on_connection },
    { .name = "verify mode by SSL_CONF", .ctx = by_conf },
    { .name = "verify mode of the connection by SSL_CONF", .ctx = trusts, .server = connection_by_conf },
    { .name = "client CA", .ctx = two_cas_or_one, .intruder = TS_OTHER },
    { .name = "depth", .ctx = depth, .intruder = TS_DEEP },
    { .name = "depth of the connection", .ctx = both_demand, .server = depth_on_connection, .intruder = TS_DEEP },
    { .name = "security level", .ctx = level, .intruder = TS_SMALL },
    { .name = "security level of the connection", .ctx = both_demand, .server = level_on_connection, .intruder = TS_SMALL },
    { .name = "level in the parameters", .ctx = auth_level, .intruder = TS_SMALL, .twin = TS_EITHER },
    { .name = "revocation list", .ctx = revokes, .intruder = TS_GUEST },
    { .name = "no session id context", .ctx = no_sid_context, .intruder = TS_GUEST, .harmless = 1,
      .twin = TS_ISOLATED, .within = "resumed", .within_lax = "resumed",
      .exception = "stock ends these handshakes (session id context uninitialized)" },
    { .name = "no session id context, and nobody is asked where the ticket is from", .ctx = no_sid_context_lax,
      .twin = TS_ISOLATED, .within = "resumed",
      .exception = "stock ends these handshakes (session id context uninitialized)" },
    { .name = "no session id context, and the connection demands", .ctx = no_sid_context_trusts,
      .server = demands_on_connection, .twin = TS_ISOLATED, .within = "resumed",
      .exception = "stock ends these handshakes (session id context uninitialized)" },
    { .name = "lax verify callback", .ctx = lax_callback, .intruder = TS_EVIL },
    { .name = "strict verify callback", .ctx = strict_callback, .intruder = TS_GUEST, .twin = TS_ISOLATED },
    { .name = "one verify callback or another", .ctx = two_callbacks, .intruder = TS_GUEST, .twin = TS_ISOLATED },
    { .name = "lax verify callback of the connection", .ctx = both_demand, .server = lax_on_connection,
      .intruder = TS_EVIL },
    { .name = "strict verify callback of the connection", .ctx = both_demand, .server = strict_on_connection,
      .intruder = TS_GUEST, .twin = TS_ISOLATED },
    { .name = "lax cert_verify_callback", .ctx = lax_cert_verify, .intruder = TS_EVIL },
    { .name = "strict cert_verify_callback", .ctx = strict_cert_verify, .intruder = TS_GUEST, .twin = TS_ISOLATED },
    { .name = "lax callback of the store", .ctx = lax_store_callback, .intruder = TS_EVIL },
    { .name = "strict callback of the store", .ctx = strict_store_callback, .intruder = TS_GUEST, .twin = TS_ISOLATED },
    { .name = "CA that is rejected for clients", .ctx = ca_rejects, .intruder = TS_GUEST, .member = TS_OTHER },
    { .name = "CA that is trusted for e-mail", .ctx = ca_trusts, .intruder = TS_GUEST, .member = TS_OTHER },
    { .name = "store of the context", .ctx = store_of_context, .intruder = TS_OTHER },
    { .name = "store of the connection", .ctx = two_cas, .server = store_of_connection, .intruder = TS_OTHER },
};

int main(int argc, char **argv)
{
    return ts_contract(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
