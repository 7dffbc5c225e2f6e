/* compat.c: the one place for what differs between OpenSSL 1.1.1, 3.x and 4. */
#include <time.h>

#include "internal.h"

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

#include <openssl/provider.h>

/* TS_OWN_LIBRARY's, made on first use; the providers are loaded in it. */
static OSSL_LIB_CTX *library;
static OSSL_PROVIDER *default_provider, *null_provider;

static OSSL_LIB_CTX *own_library(void)
{
    if (library != NULL)
        return library;
    library = OSSL_LIB_CTX_new();
    if (library == NULL
        || (default_provider = OSSL_PROVIDER_load(library, "default")) == NULL)
        ts_bail("cannot make a library context");
    return library;
}

void ts_library_free(void)
{
    if (default_provider != NULL)
        OSSL_PROVIDER_unload(default_provider);
    if (null_provider != NULL)
        OSSL_PROVIDER_unload(null_provider);
    OSSL_LIB_CTX_free(library);
    library = NULL;
    default_provider = null_provider = NULL;
}

int ts_have_kind(ts_kind kind)
{
    return kind < TS_N_KINDS;
}

SSL_CTX *ts_ctx_new(ts_kind kind, const SSL_METHOD *method)
{
    switch (kind) {
    case TS_PROPERTIES:
        return SSL_CTX_new_ex(NULL, "provider=default", method);
    case TS_OWN_LIBRARY:
        return SSL_CTX_new_ex(own_library(), NULL, method);
    default:
        return SSL_CTX_new(method);
    }
}

int ts_default_library_has_sha256(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);

    EVP_MD_free(md);
    ERR_clear_error();
    return md != NULL;
}

int ts_use_null_provider(void)
{
    OSSL_LIB_CTX *before;

    null_provider = OSSL_PROVIDER_load(NULL, "null");
    if (null_provider == NULL)
        ts_bail("cannot load the null provider");
    /* Keys and signatures of certificates come from this thread's default. */
    before = OSSL_LIB_CTX_set0_default(own_library());
    ts_server_cert();
    if (before == NULL || OSSL_LIB_CTX_set0_default(before) != library)
        ts_bail("cannot change the default library context");
    return 1;
}

void ts_other_default_library(int on)
{
    static OSSL_LIB_CTX *other, *before;

    /* Certificates keep what they have fetched. */
    ts_pki_free();
    if (on) {
        other = OSSL_LIB_CTX_new();
        if (other == NULL || (before = OSSL_LIB_CTX_set0_default(other)) == NULL)
            ts_bail("cannot change the default library context");
        return;
    }
    if (OSSL_LIB_CTX_set0_default(before) != other)
        ts_bail("cannot change the default library context back");
    OSSL_LIB_CTX_free(other);
}

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

void ts_library_free(void)
{
}

int ts_have_kind(ts_kind kind)
{
    return kind == TS_PLAIN;
}

SSL_CTX *ts_ctx_new(ts_kind kind, const SSL_METHOD *method)
{
    return ts_have_kind(kind) ? SSL_CTX_new(method) : NULL;
}

int ts_default_library_has_sha256(void)
{
    return 1;
}

int ts_use_null_provider(void)
{
    return 0;
}

void ts_other_default_library(int on)
{
    (void)on;
    ts_bail("no library contexts");
}

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

void ts_session_set_time(SSL_SESSION *ss, long when)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
    SSL_SESSION_set_time_ex(ss, (time_t)when);
#else
    SSL_SESSION_set_time(ss, when);
#endif
}

void ts_session_set_age(SSL_SESSION *ss, long seconds)
{
    ts_session_set_time(ss, (long)time(NULL) - seconds);
}

void ts_flush_sessions(SSL_CTX *ctx)
{
#if OPENSSL_VERSION_NUMBER >= 0x30400000L
    SSL_CTX_flush_sessions_ex(ctx, 0);
#else
    SSL_CTX_flush_sessions(ctx, 0);
#endif
}

int ts_shows_certificate(const SSL *ssl)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    return SSL_get0_peer_certificate(ssl) != NULL;
#else
    X509 *cert = SSL_get_peer_certificate(ssl);

    X509_free(cert);
    return cert != NULL;
#endif
}
