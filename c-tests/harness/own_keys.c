/*
 * own_keys.c: ticket keys that the application brings itself, through each of
 * the doors that libssl has for them, and a ticket opened by hand.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* HMAC_CTX, which the old door needs */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
# include <openssl/core_names.h>
# include <openssl/params.h>
#endif

#include "internal.h"

#define IV_LEN  16
#define MAC_LEN 32

void ts_raw_keys_make(ts_raw_keys *keys, unsigned char seed)
{
    unsigned char *p = (unsigned char *)keys;

    for (size_t i = 0; i < sizeof(*keys); i++)
        p[i] = (unsigned char)(seed + i * 7 + (i * i) / 3);
}

int ts_get_raw_keys(SSL_CTX *ctx, ts_raw_keys *keys)
{
    return (int)SSL_CTX_get_tlsext_ticket_keys(ctx, (void *)keys, sizeof(*keys));
}

int ts_set_raw_keys(SSL_CTX *ctx, const ts_raw_keys *keys)
{
    return (int)SSL_CTX_set_tlsext_ticket_keys(ctx, (void *)keys, sizeof(*keys));
}

/* ---- the callbacks ------------------------------------------------------------ */

/* Where a context's ts_own_keys are kept, one place for each callback. */
static int ex_index[2] = { -1, -1 };

static ts_own_keys *keys_of(SSL *s, ts_door door)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(s), ex_index[door]);
}

/* What both callbacks do once the MAC has its key. */
static int use_keys(ts_own_keys *own, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, int enc)
{
    const ts_raw_keys *k = &own->keys;

    if (enc) {
        own->sealed++;
        memcpy(name, k->name, sizeof(k->name));
        if (RAND_bytes(iv, IV_LEN) != 1)
            return -1;
        return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv);
    }
    if (memcmp(name, k->name, sizeof(k->name)) != 0) {
        own->unknown++;
        return 0;
    }
    own->opened++;
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv) != 1)
        return -1;
    return own->open_return;
}

#ifndef OPENSSL_NO_DEPRECATED_3_0
static int old_cb(SSL *s, unsigned char *name, unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, HMAC_CTX *mac, int enc)
{
    ts_own_keys *own = keys_of(s, TS_DOOR_OLD_CB);

    if (HMAC_Init_ex(mac, own->keys.hmac, sizeof(own->keys.hmac), EVP_sha256(),
                     NULL) != 1)
        return -1;
    return use_keys(own, name, iv, cipher, enc);
}
#endif

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
static int evp_cb(SSL *s, unsigned char *name, unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
    ts_own_keys *own = keys_of(s, TS_DOOR_EVP_CB);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, own->keys.hmac,
                                          sizeof(own->keys.hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_end()
    };

    if (EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    return use_keys(own, name, iv, cipher, enc);
}
#endif

int ts_have_door(ts_door door)
{
    if (door == TS_DOOR_EVP_CB)
        return OPENSSL_VERSION_NUMBER >= 0x30000000L;
#ifdef OPENSSL_NO_DEPRECATED_3_0
    return door != TS_DOOR_OLD_CB;
#else
    return 1;
#endif
}

const char *ts_door_name(ts_door door)
{
    return door == TS_DOOR_EVP_CB ? "evp callback"
        : door == TS_DOOR_OLD_CB ? "old callback" : "raw keys";
}

int ts_key_cb_set(SSL_CTX *ctx, ts_door door, int on)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    if (door == TS_DOOR_EVP_CB)
        return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on ? evp_cb : NULL);
#endif
#ifndef OPENSSL_NO_DEPRECATED_3_0
    if (door == TS_DOOR_OLD_CB)
        return (int)SSL_CTX_set_tlsext_ticket_key_cb(ctx, (on ? old_cb : NULL));
#endif
    ts_bail("this OpenSSL has no door \"%s\"", ts_door_name(door));
}

void ts_use_own_keys(SSL_CTX *ctx, ts_door door, ts_own_keys *own)
{
    if (door == TS_DOOR_RAW) {
        if (ts_set_raw_keys(ctx, &own->keys) != 1)
            ts_bail("cannot set raw ticket keys");
        return;
    }
    if (ex_index[door] < 0)
        ex_index[door] = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (SSL_CTX_set_ex_data(ctx, ex_index[door], own) != 1)
        ts_bail("cannot set ex_data");
    if (ts_key_cb_set(ctx, door, 1) != 1)
        ts_bail("cannot set a ticket key callback");
}

/* ---- by hand --------------------------------------------------------------------- */

/* AES-256-CBC with padding; the plaintext's length, or -1. */
static int decrypt(const ts_raw_keys *keys, const unsigned char *iv,
                   const unsigned char *in, size_t len, unsigned char *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0, last = 0, ok;

    ok = c != NULL
        && EVP_DecryptInit_ex(c, EVP_aes_256_cbc(), NULL, keys->aes, iv) == 1
        && EVP_DecryptUpdate(c, out, &n, in, (int)len) == 1
        && EVP_DecryptFinal_ex(c, out + n, &last) == 1;
    EVP_CIPHER_CTX_free(c);
    ERR_clear_error();
    return ok ? n + last : -1;
}

SSL_SESSION *ts_open_by_hand(const ts_raw_keys *keys, const SSL_SESSION *ss)
{
    size_t len, mac_at, body_at = sizeof(keys->name) + IV_LEN;
    const unsigned char *ticket = ts_ticket(ss, &len), *der;
    unsigned char mac[MAC_LEN], *plain;
    SSL_SESSION *inside = NULL;
    int n;

    if (len < body_at + MAC_LEN
        || memcmp(ticket, keys->name, sizeof(keys->name)) != 0)
        return NULL;
    mac_at = len - MAC_LEN;
    if (HMAC(EVP_sha256(), keys->hmac, sizeof(keys->hmac), ticket, mac_at, mac,
             NULL) == NULL
        || CRYPTO_memcmp(mac, ticket + mac_at, MAC_LEN) != 0)
        return NULL;
    plain = ts_xmalloc(mac_at);
    n = decrypt(keys, ticket + sizeof(keys->name), ticket + body_at,
                mac_at - body_at, plain);
    der = plain;
    if (n > 0)
        inside = d2i_SSL_SESSION(NULL, &der, n);
    OPENSSL_cleanse(plain, mac_at);
    free(plain);
    return inside;
}

int ts_opens_by_hand(const ts_raw_keys *keys, const SSL_SESSION *ss)
{
    unsigned char theirs[SSL_MAX_MASTER_KEY_LENGTH],
        ours[SSL_MAX_MASTER_KEY_LENGTH];
    SSL_SESSION *inside = ts_open_by_hand(keys, ss);
    size_t n, m;

    if (inside == NULL)
        return 0;
    n = SSL_SESSION_get_master_key(inside, ours, sizeof(ours));
    m = SSL_SESSION_get_master_key(ss, theirs, sizeof(theirs));
    SSL_SESSION_free(inside);
    return n > 0 && n == m && memcmp(ours, theirs, n) == 0;
}
