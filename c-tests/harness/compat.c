/* compat.c: the one place for what differs between OpenSSL 1.1.1, 3.x and 4. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "internal.h"

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
# include <openssl/core_names.h>
# include <openssl/params.h>

int ts_have_new_session_ticket(void)
{
    return 1;
}

int ts_new_session_ticket(SSL *ssl)
{
    return SSL_new_session_ticket(ssl);
}

void ts_raise_foreign_error(void)
{
    ERR_raise(ERR_LIB_USER, ERR_R_PASSED_INVALID_ARGUMENT);
}

#else

int ts_have_new_session_ticket(void)
{
    return 0;
}

int ts_new_session_ticket(SSL *ssl)
{
    (void)ssl;
    return -1;
}

void ts_raise_foreign_error(void)
{
    ERR_put_error(ERR_LIB_USER, 0, ERR_R_PASSED_INVALID_ARGUMENT, __FILE__,
                  __LINE__);
}

#endif

int ts_null_ctx_checks_lists(void)
{
    return OPENSSL_VERSION_NUMBER < 0x30200000L;
}

/* ---- an application's own key callback -------------------------------------- */

static const unsigned char own_name[16] = "own ticket key!";
static const unsigned char own_aes[32] = "own AES-256 key, 32 bytes long.";
static const unsigned char own_hmac[32] = "own HMAC key, 32 bytes long too";

static int index_of_return = -1;

static int own_keys(SSL *s, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, int enc)
{
    /* The int that the scenario holds, by way of the SSL_CTX. */
    const int *ret = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(s), index_of_return);

    if (enc) {
        /* Any IV will do in a test; its bytes are never printed. */
        memset(iv, 7, 16);
        memcpy(name, own_name, sizeof(own_name));
        return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, own_aes, iv);
    }
    if (memcmp(name, own_name, sizeof(own_name)) != 0)
        return 0;
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, own_aes, iv) != 1)
        return -1;
    return ret != NULL ? *ret : 1;
}

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

static int own_key_cb(SSL *s, unsigned char *name, unsigned char *iv,
                      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)own_hmac,
                                          sizeof(own_hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_end()
    };

    if (EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    return own_keys(s, name, iv, cipher, enc);
}

#else

static int own_key_cb(SSL *s, unsigned char *name, unsigned char *iv,
                      EVP_CIPHER_CTX *cipher, HMAC_CTX *mac, int enc)
{
    if (HMAC_Init_ex(mac, own_hmac, sizeof(own_hmac), EVP_sha256(), NULL) != 1)
        return -1;
    return own_keys(s, name, iv, cipher, enc);
}

#endif

void ts_use_own_key_cb(SSL_CTX *ctx, const int *open_return)
{
    if (index_of_return < 0)
        index_of_return = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (SSL_CTX_set_ex_data(ctx, index_of_return, (void *)open_return) != 1)
        ts_bail("cannot set ex_data");
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    if (SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, own_key_cb) != 1)
#else
    if (SSL_CTX_set_tlsext_ticket_key_cb(ctx, own_key_cb) != 1)
#endif
        ts_bail("cannot set a ticket key callback");
}
