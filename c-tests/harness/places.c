/* places.c: tickets carried from one place to another. */
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "internal.h"

/* ---- contexts that differ ----------------------------------------------------- */

static void set_sid(SSL_CTX *ctx, const char *sid)
{
    if (SSL_CTX_set_session_id_context(ctx, (const unsigned char *)sid,
                                       (unsigned)strlen(sid)) != 1)
        ts_bail("cannot set the session id context");
}

SSL_CTX *ts_place_new(ts_proto proto, const ts_place *place)
{
    SSL_CTX *ctx = ts_server_ctx(proto);

    if (place->sid != NULL)
        set_sid(ctx, place->sid);
    if (place->cert != NULL)
        ts_use_cert(ctx, place->cert, NULL, 0);
    if (place->client_ca == NULL)
        return ctx;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx),
                            place->client_ca->x509) != 1
        || SSL_CTX_add_client_CA(ctx, place->client_ca->x509) != 1)
        ts_bail("cannot name a client CA");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER
                       | (place->optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
                       NULL);
    return ctx;
}

SSL_CTX *ts_client_with(ts_proto proto, const ts_cert *cert)
{
    SSL_CTX *ctx = ts_client_ctx(proto);

    if (cert != NULL)
        ts_use_cert(ctx, cert, NULL, 0);
    return ctx;
}

/* ---- virtual hosts ---------------------------------------------------------------- */

const char *ts_switch_name(ts_switch where)
{
    return where == TS_IN_SERVERNAME ? "servername callback"
        : "ClientHello callback";
}

/* 1 unless the switch was tried and failed. */
static int switch_to(SSL *ssl, const ts_vhost *hosts, const char *name,
                     size_t len)
{
    for (; hosts->name != NULL; hosts++) {
        if (strlen(hosts->name) != len || memcmp(hosts->name, name, len) != 0)
            continue;
        if (SSL_set_SSL_CTX(ssl, hosts->ctx) != hosts->ctx)
            return 0;
        SSL_set_verify(ssl, SSL_CTX_get_verify_mode(hosts->ctx),
                       SSL_CTX_get_verify_callback(hosts->ctx));
        return 1;
    }
    return 1;
}

static int on_servername(SSL *ssl, int *alert, void *hosts)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    if (name == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    return switch_to(ssl, hosts, name, strlen(name)) ? SSL_TLSEXT_ERR_OK
        : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* server_name of RFC 6066: length of the list, type, length of the name, name. */
static int on_client_hello(SSL *ssl, int *alert, void *hosts)
{
    const unsigned char *ext;
    size_t len;

    (void)alert;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1
        || len <= 5)
        return SSL_CLIENT_HELLO_SUCCESS;
    return switch_to(ssl, hosts, (const char *)ext + 5, len - 5)
        ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

void ts_vhosts(SSL_CTX *first, ts_switch where, const ts_vhost *hosts)
{
    if (where == TS_IN_CLIENT_HELLO) {
        SSL_CTX_set_client_hello_cb(first, on_client_hello, (void *)hosts);
        return;
    }
    SSL_CTX_set_tlsext_servername_callback(first, on_servername);
    SSL_CTX_set_tlsext_servername_arg(first, (void *)hosts);
}

X509_CRL *ts_crl_new(const ts_cert *issuer, const ts_cert *cert)
{
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *before = X509_gmtime_adj(NULL, -3600),
        *after = X509_gmtime_adj(NULL, 3600);

    if (crl == NULL || revoked == NULL || before == NULL || after == NULL
        || X509_CRL_set_version(crl, 1) != 1
        || X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509)) != 1
        || X509_CRL_set1_lastUpdate(crl, before) != 1
        || X509_CRL_set1_nextUpdate(crl, after) != 1
        || X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(cert->x509))
           != 1
        || X509_REVOKED_set_revocationDate(revoked, before) != 1
        || X509_CRL_add0_revoked(crl, revoked) != 1
        || X509_CRL_sign(crl, issuer->key, EVP_sha256()) == 0)
        ts_bail("cannot revoke a certificate");
    ASN1_TIME_free(before);
    ASN1_TIME_free(after);
    return crl;
}

void ts_use_crl(SSL_CTX *ctx, X509_CRL *crl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    if (X509_STORE_add_crl(store, crl) != 1
        || X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) != 1)
        ts_bail("cannot use a revocation list");
}

void ts_revoke(SSL_CTX *ctx, const ts_cert *issuer, const ts_cert *cert)
{
    X509_CRL *crl = ts_crl_new(issuer, cert);

    ts_use_crl(ctx, crl);
    X509_CRL_free(crl);
}

/* ---- the journey of a ticket --------------------------------------------------------- */

const char *ts_bind(void)
{
    const char *mode = getenv("TICKETSHIM_BIND");

    return mode != NULL && *mode != '\0' ? mode : "strict";
}

int ts_bind_is(const char *mode)
{
    return strcmp(ts_bind(), mode) == 0;
}

static const char *fate_name(ts_fate fate)
{
    switch (fate) {
    case TS_NOT_RUN: break;
    case TS_RESUMES: return "resumes";
    case TS_FULL: return "full handshake";
    case TS_ASKED: return "full handshake with a client certificate";
    case TS_DENIED: return "asked for a client certificate and turned away";
    case TS_ABORTS: return "aborted";
    }
    return "?";
}

static ts_fate fate_of(const ts_conn *c, int asked)
{
    if (!c->established)
        return asked ? TS_DENIED : TS_ABORTS;
    if (c->client.resumed || c->server.resumed)
        return TS_RESUMES;
    return asked ? TS_ASKED : TS_FULL;
}

/* SSL_set_cert_cb() at the client: called when the server asks for one. */
static int on_asked(SSL *ssl, void *asked)
{
    (void)ssl;
    ++*(int *)asked;
    return 1;
}

static ts_conn *handshake(const ts_journey *j, int stage, SSL_SESSION *offer,
                          int *asked)
{
    SSL_CTX *srv = stage > 0 && j->to != NULL ? j->to : j->from,
        *own = stage > 0 && j->to_cli != NULL ? j->to_cli : j->cli,
        *cli = own != NULL ? own : ts_client_ctx(j->proto);
    const char *name = stage > 0 ? j->to_name : j->from_name;
    ts_conn *c = ts_conn_new(srv, cli, offer);

    *asked = 0;
    SSL_set_cert_cb(c->client.ssl, on_asked, asked);
    if (name != NULL && SSL_set_tlsext_host_name(c->client.ssl, name) != 1)
        ts_bail("cannot set the server's name");
    if (j->before != NULL)
        j->before(c, stage, j->arg);
    ts_conn_handshake(c);
    if (own == NULL)
        SSL_CTX_free(cli);
    return c;
}

SSL_SESSION *ts_depart(const ts_journey *j)
{
    int asked;
    ts_conn *c = handshake(j, 0, NULL, &asked);
    SSL_SESSION *ss = ts_session(c);

    if (ss == NULL || !SSL_SESSION_has_ticket(ss))
        ts_bail("%s: %s: no ticket to begin with: %s",
                ts_proto_name(j->proto), j->what, ts_outcome(c));
    ts_expect_core(c->tickets, 0);
    if (j->after != NULL)
        j->after(c, 0, j->arg);
    ts_conn_free(c);
    return ss;
}

/* The core's counters since `old`: one line for all of them. */
static void check_counts(const ts_journey *j, const struct ticketshim_stats *old,
                         const ts_conn *c)
{
    struct ticketshim_stats now;
    ts_count count = j->counted ? j->count
        : j->shim == TS_RESUMES ? TS_COUNT_OPENED : TS_COUNT_BINDING;
    long opened, binding, no_sid, sealed, other;

    ts_stats(&now);
    opened = (long)(now.opened - old->opened);
    /* Not for here, or not known yet for where. */
    binding = (long)(now.refused_binding + now.refused_policy)
        - (long)(old->refused_binding + old->refused_policy);
    no_sid = (long)(now.refused_no_sid_ctx - old->refused_no_sid_ctx);
    sealed = (long)(now.sealed - old->sealed);
    /* Every other reason that there is. */
    other = (long)(ts_refused(&now) + now.failures + now.ended)
        - (long)(ts_refused(old) + old->failures + old->ended) - binding - no_sid;
    ts_expect_core(sealed, opened);
    if (count == TS_COUNT_ELSEWHERE)
        return;
    if (!ts_ok(opened == (count == TS_COUNT_OPENED)
               && binding == (count == TS_COUNT_BINDING)
               && no_sid == (count == TS_COUNT_NO_SID)
               && sealed == (count == TS_COUNT_KEPT ? 0 : c->tickets)
               && other == 0,
               "… opened %d, refused: binding %d, no session id context %d",
               count == TS_COUNT_OPENED, count == TS_COUNT_BINDING,
               count == TS_COUNT_NO_SID))
        ts_diag("  got opened %ld, binding %ld, no_sid_ctx %ld, other %ld; "
                "sealed %ld of %d", opened, binding, no_sid, other, sealed,
                c->tickets);
}

SSL_SESSION *ts_arrive(const ts_journey *j, SSL_SESSION *ticket, ts_fate stock)
{
    ts_fate want = ts_shim_expected() ? j->shim : stock, got;
    struct ticketshim_stats old;
    SSL_SESSION *next;
    ts_conn *c;
    int asked;

    ts_stats(&old);
    c = handshake(j, 1, ticket, &asked);
    got = fate_of(c, asked);
    if (!ts_ok(got == want, "%s: %s: %s", ts_proto_name(j->proto), j->what,
               fate_name(want)))
        ts_diag("  got: %s (%s)", fate_name(got), ts_outcome(c));
    if (ts_shim_expected())
        check_counts(j, &old, c);
    if (j->after != NULL)
        j->after(c, 1, j->arg);
    next = ts_session(c);
    ts_conn_free(c);
    return next;
}

/* Raw keys of its own for a context that shared some, as libssl makes them. */
static void give_keys(SSL_CTX *ctx, ts_raw_keys *keys, int new)
{
    if (ctx == NULL)
        return;
    if ((new && RAND_bytes((unsigned char *)keys, sizeof(*keys)) != 1)
        || ts_set_raw_keys(ctx, keys) != 1)
        ts_bail("cannot set raw ticket keys");
}

static void once(const ts_journey *j, ts_fate stock)
{
    SSL_SESSION *ticket = ts_depart(j);

    SSL_SESSION_free(ts_arrive(j, ticket, stock));
    SSL_SESSION_free(ticket);
}

void ts_travel(const ts_journey *j)
{
    ts_raw_keys keys;

    once(j, j->stock);
    if (ts_shim_expected() || j->shared == TS_NOT_RUN)
        return;
    ts_note("the same, with ticket keys that were shared by hand:");
    give_keys(j->from, &keys, 1);
    give_keys(j->to, &keys, 0);
    once(j, j->shared);
    give_keys(j->to, &keys, 1);
}
