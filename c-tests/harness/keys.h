/* keys.h: an application's own ticket keys (own_keys.c). Part of ts.h. */
#ifndef TS_KEYS_H
#define TS_KEYS_H

#include <openssl/ssl.h>

/* The doors to a context's ticket keys. */
typedef enum ts_door {
    TS_DOOR_EVP_CB,   /* SSL_CTX_set_tlsext_ticket_key_evp_cb(), since 3.0 */
    TS_DOOR_OLD_CB,   /* SSL_CTX_set_tlsext_ticket_key_cb(), deprecated */
    TS_DOOR_RAW       /* SSL_CTX_{get,set}_tlsext_ticket_keys() */
} ts_door;

int ts_have_door(ts_door door);          /* does this OpenSSL have it? */
const char *ts_door_name(ts_door door);  /* "evp callback", … */

/* The 80 bytes of SSL_CTX_set_tlsext_ticket_keys(), in libssl's order. */
typedef struct ts_raw_keys {
    unsigned char name[16], hmac[32], aes[32];
} ts_raw_keys;

/* Keys for a test: other ones for each `seed`. */
void ts_raw_keys_make(ts_raw_keys *keys, unsigned char seed);

/* As the macros, returning what they return. */
int ts_get_raw_keys(SSL_CTX *ctx, ts_raw_keys *keys);
int ts_set_raw_keys(SSL_CTX *ctx, const ts_raw_keys *keys);

/* Keys with the callback that uses them, and how often that was called. */
typedef struct ts_own_keys {
    ts_raw_keys keys;
    int open_return;              /* its answer for a ticket of its own: 1, 2, 0 */
    _Atomic int sealed, opened, unknown;
} ts_own_keys;

/*
 * `own` through this door into `ctx`, of which it has to outlive the handshakes.
 * The callbacks make tickets exactly as libssl does with raw keys.
 */
void ts_use_own_keys(SSL_CTX *ctx, ts_door door, ts_own_keys *own);

/* Only set (again) or take out (`on` is 0) a callback; what libssl returns. */
int ts_key_cb_set(SSL_CTX *ctx, ts_door door, int on);

/*
 * The session in a ticket that was made with these keys by libssl, or by a
 * callback as above: AES-256-CBC and HMAC-SHA-256, opened here without libssl.
 * NULL if these are not the keys.
 */
SSL_SESSION *ts_open_by_hand(const ts_raw_keys *keys, const SSL_SESSION *ss);

/* Does it open, and is the master secret in it the client's? */
int ts_opens_by_hand(const ts_raw_keys *keys, const SSL_SESSION *ss);

#endif
