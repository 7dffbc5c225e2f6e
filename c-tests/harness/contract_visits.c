/* contract_visits.c: one process of a way: its contexts, its visits. See contract.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract_visits.h"

#define NAME "shop.example"

/* ---- what hooks use --------------------------------------------------------------- */

static SSL_CTX *kept[64];
static size_t n_kept;
static int took_psk;

SSL_CTX *ts_for_good(SSL_CTX *ctx)
{
    if (n_kept == sizeof(kept) / sizeof(kept[0]))
        ts_bail("too many contexts to keep");
    return kept[n_kept++] = ctx;
}

void ts_took_psk(void)
{
    took_psk = 1;
}

void ts_demand(SSL_CTX *ctx, const ts_cert *of, SSL_verify_cb callback)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), of->x509) != 1
        || SSL_CTX_add_client_CA(ctx, of->x509) != 1)
        ts_bail("cannot name a client CA");
    SSL_CTX_set_verify(ctx, TS_DEMANDS, callback);
}

/* ---- one process: its contexts, its visits ----------------------------------------- */

static ts_visit visits[N_VISITS];
static const ts_way *way;
static ts_proto proto;

/* As ts_server_ctx(), without a certificate. */
static SSL_CTX *bare_ctx(void)
{
    int version = proto == TS_TLS12 ? TLS1_2_VERSION
        : proto == TS_TLS13 ? TLS1_3_VERSION : DTLS1_2_VERSION;
    SSL_CTX *ctx = SSL_CTX_new(proto == TS_DTLS12 ? DTLS_method() : TLS_method());

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, version) != 1
        || SSL_CTX_set_max_proto_version(ctx, version) != 1
        || SSL_CTX_set_session_id_context(ctx, (const void *)"ts", 2) != 1)
        ts_bail("cannot make a context");
    return ctx;
}

static SSL_CTX *server_ctx(int strict)
{
    SSL_CTX *ctx = strict && way->no_cert ? bare_ctx() : ts_server_ctx(proto);

    if (way->ctx != NULL)
        way->ctx(ctx, strict);
    return ctx;
}

static SSL_CTX *client_ctx(ts_who who)
{
    SSL_CTX *ctx = ts_client_ctx(proto);
    ts_cert *cert = ts_cert_of(who), *chain = ts_intermediate();

    if (who == TS_SMALL)
        SSL_CTX_set_security_level(ctx, 0);
    if (cert != NULL)
        ts_use_cert(ctx, cert, &chain, who == TS_DEEP);
    if (way->client_ctx != NULL)
        way->client_ctx(ctx, who);
    return ctx;
}

static ts_who member(void)
{
    return way->nobody_is_member ? TS_NOBODY
        : way->member != TS_NOBODY ? way->member : TS_MEMBER;
}

static int has_ticket(SSL_SESSION *ss)
{
    return ss != NULL && SSL_SESSION_has_ticket(ss);
}

/* One visit, written down as number `n`. Returns the session to go on with. */
static SSL_SESSION *visit_to(int n, SSL_CTX *ctx, int strict, ts_who who, SSL_SESSION *offer)
{
    ts_visit *v = &visits[n];
    SSL_CTX *cli = client_ctx(who);
    ts_conn *c = ts_conn_new(ctx, cli, offer);
    struct ticketshim_stats old, now;
    SSL_SESSION *next = NULL;

    ts_stats(&old);
    took_psk = 0;
    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    if (way->server != NULL)
        way->server(c, strict);
    if (way->client != NULL)
        way->client(c, who);
    ts_conn_handshake(c);
    if (c->established && way->later != NULL && !ts_shows_certificate(c->server.ssl)) {
        way->later(c, strict);
        c->established = c->established && ts_shows_certificate(c->server.ssl);
    }
    ts_stats(&now);
    snprintf(v->fate, sizeof(v->fate), "%s", !c->established ? "refused"
             : c->server.resumed && !took_psk ? "resumed" : "full");
    snprintf(v->outcome, sizeof(v->outcome), "%s", ts_outcome(c));
    v->offered = offer != NULL;
    v->opened = (long)(now.opened - old.opened);
    v->unknown = (long)(now.refused_unknown_key - old.refused_unknown_key
                        + now.refused_bad_mac - old.refused_bad_mac
                        + now.refused_malformed - old.refused_malformed
                        + now.failures - old.failures);
    v->refused = (long)(ts_refused(&now) - ts_refused(&old)
                        + now.ended - old.ended) - v->unknown;
    v->sealed = (long)(now.sealed - old.sealed);
    if (c->established)
        next = proto == TS_TLS13 ? ts_session(c) : SSL_get1_session(c->client.ssl);
    if (!has_ticket(next) && offer != NULL) {
        SSL_SESSION_free(next);
        SSL_SESSION_up_ref(offer);
        next = offer;
    }
    ts_conn_free(c);
    SSL_CTX_free(cli);
    return next;
}

static void only(int n, SSL_CTX *ctx, int strict, ts_who who, SSL_SESSION *offer)
{
    SSL_SESSION_free(visit_to(n, ctx, strict, who, offer));
}

/* Visits whose outcome nobody asks for. */
static void others_come(SSL_CTX *ctx)
{
    ts_visit before = visits[FRESH_STRICT];

    only(FRESH_STRICT, ctx, 1, way->intruder, NULL);
    only(FRESH_STRICT, ctx, 1, member(), NULL);
    visits[FRESH_STRICT] = before;
}

static void print_session(SSL_SESSION *ss)
{
    unsigned char *der = NULL;
    int len = i2d_SSL_SESSION(ss, &der);

    printf("session ");
    for (int i = 0; i < len; i++)
        printf("%02x", der[i]);
    printf("\n");
    OPENSSL_free(der);
}

static void here(void)
{
    SSL_CTX *lax = server_ctx(0), *strict = server_ctx(1), *there = server_ctx(1),
        *alike = server_ctx(1);
    SSL_SESSION *intruders = visit_to(FRESH_LAX, lax, 0, way->intruder, NULL),
        *members = visit_to(MEMBER_STRICT, strict, 1, member(), NULL), *one, *two;

    if (!has_ticket(intruders) || !has_ticket(members))
        ts_bail("no ticket to begin with: %s, %s", visits[FRESH_LAX].outcome,
                visits[MEMBER_STRICT].outcome);
    if (way->wait != NULL)
        way->wait();
    only(ACROSS_COLD, there, 1, way->intruder, intruders);
    only(FRESH_MEMBER, there, 1, member(), NULL);
    only(ACROSS_WARM, there, 1, way->intruder, intruders);
    only(FRESH_STRICT, there, 1, way->intruder, NULL);

    one = visit_to(WITHIN_LAX, lax, 0, way->intruder, intruders);
    only(ACROSS_RENEWED, there, 1, way->intruder, one);
    SSL_SESSION_free(one);

    one = visit_to(WITHIN_1, strict, 1, member(), members);
    two = visit_to(WITHIN_2, strict, 1, member(), one);
    others_come(strict);
    only(WITHIN_3, strict, 1, member(), two);
    SSL_SESSION_free(one);
    SSL_SESSION_free(two);

    only(TWIN_COLD, alike, 1, member(), members);
    only(TWIN_FRESH, alike, 1, member(), NULL);
    one = visit_to(TWIN_WARM, alike, 1, member(), members);
    only(TWIN_BACK, strict, 1, member(), one);
    SSL_SESSION_free(one);

    print_session(intruders);
    print_session(members);
    SSL_SESSION_free(intruders);
    SSL_SESSION_free(members);
    SSL_CTX_free(lax);
    SSL_CTX_free(strict);
    SSL_CTX_free(there);
    SSL_CTX_free(alike);
}

static SSL_SESSION *read_session(void)
{
    static char line[65536];
    static unsigned char der[32768];
    const unsigned char *p = der;
    size_t n = 0;
    unsigned byte;

    if (fgets(line, sizeof(line), stdin) == NULL)
        ts_bail("no session to begin with");
    for (const char *hex = line + strlen("session "); sscanf(hex, "%2x", &byte) == 1; hex += 2)
        der[n++] = (unsigned char)byte;
    return n > 0 ? d2i_SSL_SESSION(NULL, &p, (long)n) : NULL;
}

static void there(void)
{
    SSL_SESSION *intruders = read_session(), *members = read_session();
    SSL_CTX *strict = server_ctx(1), *alike = server_ctx(1);

    if (intruders == NULL || members == NULL)
        ts_bail("no ticket from before the restart");
    only(RESTART_COLD, strict, 1, way->intruder, intruders);
    only(RESTART_FRESH, strict, 1, member(), NULL);
    only(RESTART_WARM, strict, 1, way->intruder, intruders);
    only(RESTART_STRICT, strict, 1, way->intruder, NULL);
    only(RESTART_TWIN_COLD, alike, 1, member(), members);
    others_come(alike);
    only(RESTART_TWIN_WARM, alike, 1, member(), members);
    SSL_SESSION_free(intruders);
    SSL_SESSION_free(members);
    SSL_CTX_free(strict);
    SSL_CTX_free(alike);
}

int ts_contract_role(const char *role, const ts_way *ways, size_t n)
{
    size_t number;
    int p;
    char verb[8];

    if (sscanf(role, "%7[a-z]:%zu:%d", verb, &number, &p) != 3 || number >= n)
        ts_bail("no such role: %s", role);
    way = &ways[number];
    proto = (ts_proto)p;
    ts_contract_pki(getenv(TS_CONTRACT_DIR), 0);
    if (strcmp(verb, "there") == 0) {
        ts_has_expired();
        there();
    } else {
        here();
    }
    for (int i = 0; i < N_VISITS; i++)
        if (visits[i].fate[0] != '\0')
            printf("%d %s %ld %ld %ld %ld %ld %s\n", i, visits[i].fate, visits[i].offered,
                   visits[i].opened, visits[i].refused, visits[i].unknown, visits[i].sealed,
                   visits[i].outcome);
    while (n_kept > 0)
        SSL_CTX_free(kept[--n_kept]);
    ts_contract_pki_free();
    return 0;
}
