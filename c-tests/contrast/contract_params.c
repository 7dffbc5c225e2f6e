/*
 * contract_params.c: the contract (harness/contract.h), where the parameters of a verification decide: names, purpose, trust
 * and policies, set by each of the functions that there are.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SSL_set1_host() and SSL_add1_host(), since 4.0 */
#include <string.h>

#include <openssl/x509v3.h>

#include "ts.h"

#define POLICY "1.3.6.1.4.1.55555.1"        /* the member's; the guest has the next one */
#define OTHER_POLICY "1.3.6.1.4.1.55555.2"  /* both have it */

/* ---- parameters, however one gets at them ------------------------------------------------ */

static void host(X509_VERIFY_PARAM *param, int strict)
{
    if (strict && X509_VERIFY_PARAM_set1_host(param, "member.example", 0) != 1)
        ts_bail("cannot set a host");
}

static void more_hosts(X509_VERIFY_PARAM *param, int strict)
{
    host(param, 1);
    if (!strict && X509_VERIFY_PARAM_add1_host(param, "guest.example", 0) != 1)
        ts_bail("cannot add a host");
}

static void email(X509_VERIFY_PARAM *param, int strict)
{
    if (strict && X509_VERIFY_PARAM_set1_email(param, "member@x.example", 0) != 1)
        ts_bail("cannot set an e-mail address");
}

static void ip(X509_VERIFY_PARAM *param, int strict)
{
    if (strict && X509_VERIFY_PARAM_set1_ip_asc(param, "192.0.2.1") != 1)
        ts_bail("cannot set an IP address");
}

static void purpose(X509_VERIFY_PARAM *param, int strict)
{
    if (strict && X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SMIME_SIGN) != 1)
        ts_bail("cannot set a purpose");
}

static void policy(X509_VERIFY_PARAM *param, int strict)
{
    ASN1_OBJECT *object = OBJ_txt2obj(strict ? POLICY : OTHER_POLICY, 1);

    if (object == NULL || X509_VERIFY_PARAM_add0_policy(param, object) != 1
        || X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_POLICY_CHECK
                                       | X509_V_FLAG_EXPLICIT_POLICY) != 1)
        ts_bail("cannot set a policy");
}

/* By the context's own parameters, by a copy for the context, and the same for the connection. */
#define IN_CONTEXT(what) \
    static void what##_in_context(SSL_CTX *ctx, int strict) \
    { \
        ts_demand(ctx, ts_client_ca(), NULL); \
        what(SSL_CTX_get0_param(ctx), strict); \
    }
#define ON_CONNECTION(what) \
    static void what##_on_connection(ts_conn *c, int strict) \
    { \
        what(SSL_get0_param(c->server.ssl), strict); \
    }
#define COPIED(what) \
    static void what##_copied(SSL_CTX *ctx, int strict) \
    { \
        X509_VERIFY_PARAM *param = X509_VERIFY_PARAM_new(); \
        ts_demand(ctx, ts_client_ca(), NULL); \
        what(param, strict); \
        if (SSL_CTX_set1_param(ctx, param) != 1) \
            ts_bail("cannot set parameters"); \
        X509_VERIFY_PARAM_free(param); \
    } \
    static void what##_copied_to_connection(ts_conn *c, int strict) \
    { \
        X509_VERIFY_PARAM *param = X509_VERIFY_PARAM_new(); \
        what(param, strict); \
        if (SSL_set1_param(c->server.ssl, param) != 1) \
            ts_bail("cannot set parameters"); \
        X509_VERIFY_PARAM_free(param); \
    }
#define IN_STORE(what) \
    static void what##_in_store(SSL_CTX *ctx, int strict) \
    { \
        ts_demand(ctx, ts_client_ca(), NULL); \
        what(X509_STORE_get0_param(SSL_CTX_get_cert_store(ctx)), strict); \
    }

IN_CONTEXT(host) ON_CONNECTION(host) COPIED(host) IN_STORE(host)
IN_CONTEXT(more_hosts)
IN_CONTEXT(email) ON_CONNECTION(email)
IN_CONTEXT(ip) ON_CONNECTION(ip)
IN_CONTEXT(purpose) ON_CONNECTION(purpose) IN_STORE(purpose)
IN_CONTEXT(policy) ON_CONNECTION(policy)

/* ---- functions of SSL_CTX and SSL ----------------------------------------------------------- */

static void both_demand(SSL_CTX *ctx, int strict)
{
    (void)strict;
    ts_demand(ctx, ts_client_ca(), NULL);
}

static void set1_host(ts_conn *c, int strict)
{
    if (strict && SSL_set1_host(c->server.ssl, "member.example") != 1)
        ts_bail("cannot set a host");
}

static void add1_host(ts_conn *c, int strict)
{
    if (SSL_set1_host(c->server.ssl, "member.example") != 1
        || (!strict && SSL_add1_host(c->server.ssl, "guest.example") != 1))
        ts_bail("cannot add a host");
}

static void set_purpose(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (strict && SSL_CTX_set_purpose(ctx, X509_PURPOSE_SMIME_SIGN) != 1)
        ts_bail("cannot set a purpose");
}

static void set_purpose_of_connection(ts_conn *c, int strict)
{
    if (strict && SSL_set_purpose(c->server.ssl, X509_PURPOSE_SMIME_SIGN) != 1)
        ts_bail("cannot set a purpose");
}

static void store_purpose(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (strict && X509_STORE_set_purpose(SSL_CTX_get_cert_store(ctx),
                                         X509_PURPOSE_SMIME_SIGN) != 1)
        ts_bail("cannot set a purpose");
}

/* One CA is trusted for clients, the other for e-mail, too. */
static void two_trusts(SSL_CTX *ctx, int strict)
{
    X509 *ca = X509_dup(ts_client_ca()->x509), *other = X509_dup(ts_other_ca()->x509);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    (void)strict;
    if (X509_add1_trust_object(ca, OBJ_nid2obj(NID_client_auth)) != 1
        || X509_add1_trust_object(other, OBJ_nid2obj(NID_client_auth)) != 1
        || X509_add1_trust_object(other, OBJ_nid2obj(NID_email_protect)) != 1
        || X509_STORE_add_cert(store, ca) != 1 || X509_STORE_add_cert(store, other) != 1)
        ts_bail("cannot add CAs");
    X509_free(ca);
    X509_free(other);
    SSL_CTX_set_verify(ctx, TS_DEMANDS, NULL);
}

static void set_trust(SSL_CTX *ctx, int strict)
{
    two_trusts(ctx, strict);
    if (strict && SSL_CTX_set_trust(ctx, X509_TRUST_EMAIL) != 1)
        ts_bail("cannot set a trust");
}

static void set_trust_of_connection(ts_conn *c, int strict)
{
    if (strict && SSL_set_trust(c->server.ssl, X509_TRUST_EMAIL) != 1)
        ts_bail("cannot set a trust");
}

static void store_trust(SSL_CTX *ctx, int strict)
{
    two_trusts(ctx, strict);
    if (strict && X509_STORE_set_trust(SSL_CTX_get_cert_store(ctx), X509_TRUST_EMAIL) != 1)
        ts_bail("cannot set a trust");
}

/* ---- the table ----------------------------------------------------------------------------------- */

#define OF_GUEST .intruder = TS_GUEST, .twin = TS_EITHER
#define OF_TRUST .intruder = TS_GUEST, .member = TS_OTHER, .twin = TS_EITHER

static const ts_way ways[] = {
    { .name = "nobody is asked", .plain = 1, .nobody_is_member = 1 },
    { .name = "host, in the context", .ctx = host_in_context, OF_GUEST },
    { .name = "host, one of two, in the context", .ctx = more_hosts_in_context, OF_GUEST },
    { .name = "host, in parameters for the context", .ctx = host_copied, OF_GUEST },
    { .name = "host, in the store", .ctx = host_in_store, OF_GUEST },
    { .name = "host, on the connection", .ctx = both_demand, .server = host_on_connection, OF_GUEST },
    { .name = "host, in parameters for the connection", .ctx = both_demand, .server = host_copied_to_connection,
      OF_GUEST },
    { .name = "host, SSL_set1_host()", .ctx = both_demand, .server = set1_host, OF_GUEST },
    { .name = "host, SSL_add1_host()", .ctx = both_demand, .server = add1_host, OF_GUEST },
    { .name = "e-mail, in the context", .ctx = email_in_context, OF_GUEST },
    { .name = "e-mail, on the connection", .ctx = both_demand, .server = email_on_connection, OF_GUEST },
    { .name = "IP address, in the context", .ctx = ip_in_context, OF_GUEST },
    { .name = "IP address, on the connection", .ctx = both_demand, .server = ip_on_connection, OF_GUEST },
    { .name = "purpose, in the context", .ctx = purpose_in_context, OF_GUEST },
    { .name = "purpose, on the connection", .ctx = both_demand, .server = purpose_on_connection, OF_GUEST },
    { .name = "purpose, in the store", .ctx = purpose_in_store, OF_GUEST },
    { .name = "purpose, X509_STORE_set_purpose()", .ctx = store_purpose, OF_GUEST },
    { .name = "purpose, SSL_CTX_set_purpose()", .ctx = set_purpose, OF_GUEST },
    { .name = "purpose, SSL_set_purpose()", .ctx = both_demand, .server = set_purpose_of_connection, OF_GUEST },
    { .name = "trust, SSL_CTX_set_trust()", .ctx = set_trust, OF_TRUST },
    { .name = "trust, SSL_set_trust()", .ctx = two_trusts, .server = set_trust_of_connection, OF_TRUST },
    { .name = "trust, X509_STORE_set_trust()", .ctx = store_trust, OF_TRUST },
    { .name = "policies, in the context", .ctx = policy_in_context, OF_GUEST },
    { .name = "policies, on the connection", .ctx = both_demand, .server = policy_on_connection, OF_GUEST },
};

int main(int argc, char **argv)
{
    return ts_contract(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
