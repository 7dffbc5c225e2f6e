/*
 * contract_psk.c: the contract (harness/contract.h), where clients are known by a pre-shared key or a password: PSKs of TLS 1.2
 * and 1.3, and SRP. Alice is known where it is lax, Bob at both.
 *
 * ts-run:
 * ts-run: TICKETSHIM_BIND=stock
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SRP, since 3.0 */
#include <string.h>

#include <openssl/srp.h>

#include "ts.h"

static const unsigned char key_of_alice[32] = "alice's key, all thirty-two byte",
    key_of_bob[32] = "bob's, which has also so many of";

/* One whom a server knows; NULL: nobody it knows of. */
static const unsigned char *key_of(const char *name, size_t len, int strict)
{
    if (len == 3 && memcmp(name, "bob", 3) == 0)
        return key_of_bob;
    return !strict && len == 5 && memcmp(name, "alice", 5) == 0 ? key_of_alice : NULL;
}

static const char *name_of(ts_who who)
{
    return who == TS_ALICE ? "alice" : who == TS_BOB ? "bob" : NULL;
}

/* ---- PSKs as in TLS 1.2 ------------------------------------------------------------------------ */

static unsigned known_to(const char *name, unsigned char *psk, unsigned size, int strict)
{
    const unsigned char *key = name == NULL ? NULL : key_of(name, strlen(name), strict);

    if (key == NULL || size < sizeof(key_of_bob))
        return 0;
    memcpy(psk, key, sizeof(key_of_bob));
    ts_took_psk();
    return sizeof(key_of_bob);
}

static unsigned knows_both(SSL *ssl, const char *name, unsigned char *psk, unsigned size)
{
    (void)ssl;
    return known_to(name, psk, size, 0);
}

static unsigned knows_bob(SSL *ssl, const char *name, unsigned char *psk, unsigned size)
{
    (void)ssl;
    return known_to(name, psk, size, 1);
}

static ts_who offering;

static unsigned offers(SSL *ssl, const char *hint, char *name, unsigned max, unsigned char *psk,
                       unsigned size)
{
    const unsigned char *key = offering == TS_ALICE ? key_of_alice : key_of_bob;

    (void)ssl;
    (void)hint;
    if (strlen(name_of(offering)) >= max || size < sizeof(key_of_bob))
        return 0;
    strcpy(name, name_of(offering));
    memcpy(psk, key, sizeof(key_of_bob));
    return sizeof(key_of_bob);
}

static void psk_context(SSL_CTX *ctx, int strict)
{
    SSL_CTX_set_psk_server_callback(ctx, strict ? knows_bob : knows_both);
}

static void psk_or_nobody(SSL_CTX *ctx, int strict)
{
    if (strict)
        psk_context(ctx, 1);
}

static void psk_connection(ts_conn *c, int strict)
{
    SSL_set_psk_server_callback(c->server.ssl, strict ? knows_bob : knows_both);
}

/* Who has a PSK offers that and nothing else; who has none, all else. */
static void psk_client(ts_conn *c, ts_who who)
{
    offering = who;
    if (name_of(who) == NULL)
        return;
    SSL_set_psk_client_callback(c->client.ssl, offers);
    if (SSL_get_max_proto_version(c->client.ssl) == TLS1_3_VERSION
        ? SSL_set_ciphersuites(c->client.ssl, "TLS_AES_128_GCM_SHA256") != 1
        : SSL_set_cipher_list(c->client.ssl, "PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384") != 1)
        ts_bail("cannot set ciphers");
}

/* ---- PSKs of TLS 1.3 ----------------------------------------------------------------------------- */

static int find(const unsigned char *name, size_t len, SSL_SESSION **session, int strict)
{
    const unsigned char *key = key_of((const char *)name, len, strict);

    *session = key == NULL ? NULL : ts_psk_session(key, sizeof(key_of_bob));
    if (key != NULL)
        ts_took_psk();
    return 1;
}

static int finds_both(SSL *ssl, const unsigned char *name, size_t len, SSL_SESSION **session)
{
    (void)ssl;
    return find(name, len, session, 0);
}

static int finds_bob(SSL *ssl, const unsigned char *name, size_t len, SSL_SESSION **session)
{
    (void)ssl;
    return find(name, len, session, 1);
}

static void session_context(SSL_CTX *ctx, int strict)
{
    SSL_CTX_set_psk_find_session_callback(ctx, strict ? finds_bob : finds_both);
}

static void session_or_nobody(SSL_CTX *ctx, int strict)
{
    if (strict)
        session_context(ctx, 1);
}

static void session_connection(ts_conn *c, int strict)
{
    SSL_set_psk_find_session_callback(c->server.ssl, strict ? finds_bob : finds_both);
}

static void session_client(ts_conn *c, ts_who who)
{
    const char *name = name_of(who);
    SSL_SESSION *session;

    if (name == NULL)
        return;
    session = ts_psk_session(who == TS_ALICE ? key_of_alice : key_of_bob, sizeof(key_of_bob));
    ts_offer_psk(c, (const unsigned char *)name, strlen(name), session);
    SSL_SESSION_free(session);
}

/* ---- SRP -------------------------------------------------------------------------------------------- */

#ifndef OPENSSL_NO_SRP
static int srp_user(SSL *ssl, int *alert, void *strict)
{
    char *name = SSL_get_srp_username(ssl);
    const unsigned char *key = name == NULL ? NULL : key_of(name, strlen(name), strict != NULL);

    *alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
    if (key == NULL)
        return SSL3_AL_FATAL;
    return SSL_set_srp_server_param_pw(ssl, name, key == key_of_bob ? "b" : "a", "2048") < 0
        ? SSL3_AL_FATAL : SSL_ERROR_NONE;
}

static void srp_context(SSL_CTX *ctx, int strict)
{
    if (SSL_CTX_set_cipher_list(ctx, "SRP:ALL:@SECLEVEL=0") != 1
        || SSL_CTX_set_srp_username_callback(ctx, srp_user) != 1
        || SSL_CTX_set_srp_cb_arg(ctx, strict ? ctx : NULL) != 1)
        ts_bail("cannot set up SRP");
}

static void srp_or_nobody(SSL_CTX *ctx, int strict)
{
    if (strict)
        srp_context(ctx, 1);
}

/* SSL_new() takes name and password over. */
static void srp_client(SSL_CTX *ctx, ts_who who)
{
    char name[8], password[2] = { who == TS_ALICE ? 'a' : 'b', '\0' };

    if (name_of(who) == NULL)
        return;
    strcpy(name, name_of(who));
    if (SSL_CTX_set_srp_username(ctx, name) != 1 || SSL_CTX_set_srp_password(ctx, password) != 1
        || SSL_CTX_set_cipher_list(ctx, "SRP:@SECLEVEL=0") != 1)
        ts_bail("cannot set up an SRP client");
}
#endif

/* ---- the table ----------------------------------------------------------------------------------- */

#define OLD (TS_ON(TS_TLS12) | TS_ON(TS_DTLS12))
#define ALICE .intruder = TS_ALICE, .member = TS_BOB, .twin = TS_ISOLATED
#define NOBODY .intruder = TS_NOBODY, .member = TS_BOB, .twin = TS_ISOLATED, .no_cert = 1

static const ts_way ways[] = {
    { .name = "nobody is asked", .plain = 1, .nobody_is_member = 1 },
    { .name = "PSK", .protos = OLD, .ctx = psk_context, .client = psk_client, ALICE },
    { .name = "PSK of the connection", .protos = OLD, .server = psk_connection, .client = psk_client, ALICE },
    { .name = "PSK where there is no certificate", .protos = OLD, .ctx = psk_or_nobody, .client = psk_client, NOBODY },
    { .name = "old PSK callback", .protos = TS_ON(TS_TLS13), .ctx = psk_context, .client = psk_client, ALICE,
      .no_cert = 1 },
    { .name = "old PSK callback where there is no certificate", .protos = TS_ON(TS_TLS13), .ctx = psk_or_nobody,
      .client = psk_client, NOBODY },
    { .name = "PSK session", .protos = TS_ON(TS_TLS13), .ctx = session_context, .client = session_client, ALICE,
      .no_cert = 1 },
    { .name = "PSK session of the connection", .protos = TS_ON(TS_TLS13), .server = session_connection,
      .client = session_client, ALICE, .no_cert = 1 },
    { .name = "PSK session where there is no certificate", .protos = TS_ON(TS_TLS13), .ctx = session_or_nobody,
      .client = session_client, NOBODY },
#ifndef OPENSSL_NO_SRP
    { .name = "SRP", .protos = TS_ON(TS_TLS12), .ctx = srp_context, .client_ctx = srp_client, ALICE },
    { .name = "SRP where there is no certificate", .protos = TS_ON(TS_TLS12), .ctx = srp_or_nobody,
      .client_ctx = srp_client, NOBODY },
#endif
};

int main(int argc, char **argv)
{
    return ts_contract(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
