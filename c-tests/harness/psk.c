/*
 * psk.c: a TLS 1.3 ClientHello that offers several PSK identities.
 *
 * OpenSSL's client offers one ticket and one external PSK. Another ticket's
 * bytes can be the identity of the external PSK, but its binder is then made
 * with the label "ext binder", where the server, which sees a ticket, wants
 * "res binder" (RFC 8446, section 7.1). So that binder is computed here.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "internal.h"

static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id,
                       size_t *id_len, SSL_SESSION **session)
{
    ts_conn *c = ts_conn_of(ssl);

    (void)md;
    if (SSL_SESSION_up_ref(c->psk) != 1)
        return 0;
    *id = c->psk_id;
    *id_len = c->psk_id_len;
    *session = c->psk;
    return 1;
}

void ts_offer_psk(ts_conn *c, const unsigned char *id, size_t id_len,
                  SSL_SESSION *session)
{
    c->psk = ts_der_copy(session);
    c->psk_id = ts_xmalloc(id_len);
    memcpy(c->psk_id, id, id_len);
    c->psk_id_len = id_len;
    SSL_set_psk_use_session_callback(c->client.ssl, use_session);
}

SSL_SESSION *ts_psk_session(const unsigned char *key, size_t len)
{
    static const unsigned char aes_256_gcm_sha384[] = { 0x13, 0x02 };
    SSL_CTX *ctx = ts_client_ctx(TS_TLS13);
    SSL *ssl = SSL_new(ctx);
    SSL_SESSION *ss = SSL_SESSION_new();

    if (ssl == NULL || ss == NULL
        || SSL_SESSION_set1_master_key(ss, key, len) != 1
        || SSL_SESSION_set_cipher(ss, SSL_CIPHER_find(ssl, aes_256_gcm_sha384))
           != 1
        || SSL_SESSION_set_protocol_version(ss, TLS1_3_VERSION) != 1)
        ts_bail("cannot make a PSK session");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return ss;
}

/* ---- the binder --------------------------------------------------------------- */

#define HASH_LEN 48 /* SHA-384, of TLS_AES_256_GCM_SHA384 */

static void hmac(const void *key, size_t key_len, const void *data, size_t len,
                 unsigned char *out)
{
    if (HMAC(EVP_sha384(), key, (int)key_len, data, len, out, NULL) == NULL)
        ts_bail("HMAC failed");
}

static void hash(const void *data, size_t len, unsigned char *out)
{
    if (EVP_Digest(data, len, out, NULL, EVP_sha384(), NULL) != 1)
        ts_bail("SHA-384 failed");
}

/* HKDF-Expand-Label(secret, label, context, HASH_LEN): one block of output. */
static void expand_label(const unsigned char *secret, const char *label,
                         const unsigned char *context, size_t context_len,
                         unsigned char *out)
{
    unsigned char info[128];
    size_t n = 0, label_len = strlen(label);

    info[n++] = 0;
    info[n++] = HASH_LEN;
    info[n++] = (unsigned char)(6 + label_len);
    memcpy(info + n, "tls13 ", 6);
    n += 6;
    memcpy(info + n, label, label_len);
    n += label_len;
    info[n++] = (unsigned char)context_len;
    if (context_len > 0)
        memcpy(info + n, context, context_len);
    n += context_len;
    info[n++] = 1; /* HKDF-Expand's counter */
    hmac(secret, HASH_LEN, info, n, out);
}

/* The binder of the ticket in `session` over a ClientHello cut before binders. */
static void resumption_binder(SSL_SESSION *session, const unsigned char *hello,
                              size_t len, unsigned char *binder)
{
    static const unsigned char zeros[HASH_LEN];
    unsigned char psk[SSL_MAX_MASTER_KEY_LENGTH], early[HASH_LEN],
        key[HASH_LEN], digest[HASH_LEN];
    size_t psk_len = SSL_SESSION_get_master_key(session, psk, sizeof(psk));

    hmac(zeros, sizeof(zeros), psk, psk_len, early); /* HKDF-Extract */
    hash("", 0, digest);
    expand_label(early, "res binder", digest, sizeof(digest), key);
    expand_label(key, "finished", NULL, 0, key);
    hash(hello, len, digest);
    hmac(key, sizeof(key), digest, sizeof(digest), binder);
}

/* ---- the hello and the answer ---------------------------------------------------- */

#define RECORD_HEADER 5

/* The identity that a ServerHello (with record header) selects, or -1. */
static int selected_identity(const unsigned char *m, size_t len)
{
    size_t p = RECORD_HEADER + 4 + 2 + 32, type, n;

    if (len < p + 1 || m[RECORD_HEADER] != SSL3_MT_SERVER_HELLO)
        return -1;
    p += 1 + (size_t)m[p] + 2 + 1 + 2; /* session id, cipher, compression */
    for (; p + 4 <= len; p += 4 + n) {
        type = (size_t)m[p] << 8 | m[p + 1];
        n = (size_t)m[p + 2] << 8 | m[p + 3];
        if (type == TLSEXT_TYPE_psk && n == 2 && p + 6 <= len)
            return m[p + 4] << 8 | m[p + 5];
    }
    return -1;
}

int ts_hello_with_second_ticket(ts_conn *c, SSL_SESSION *session)
{
    /* Two binders end the message: length, then (1 + 48) for each. */
    static const size_t binders = 2 + 2 * (1 + HASH_LEN);
    char *data;
    unsigned char *hello, *answer;
    size_t len;

    SSL_do_handshake(c->client.ssl); /* says hello, and waits */
    len = (size_t)BIO_get_mem_data(c->to_server, &data);
    hello = ts_xmalloc(len);
    memcpy(hello, data, len);
    if (len < RECORD_HEADER + binders
        || hello[len - binders] != 0 || hello[len - binders + 1] != binders - 2)
        ts_bail("not a ClientHello with two binders of SHA-384");
    resumption_binder(session, hello + RECORD_HEADER,
                      len - RECORD_HEADER - binders, hello + len - HASH_LEN);
    if (BIO_reset(c->to_server) != 1
        || BIO_write(c->to_server, hello, (int)len) != (int)len)
        ts_bail("cannot rewrite the ClientHello");
    free(hello);

    SSL_do_handshake(c->server.ssl);
    len = (size_t)BIO_get_mem_data(c->to_client, &data);
    answer = (unsigned char *)data;
    return selected_identity(answer, len);
}
