/* compat.c: the one place for what differs between OpenSSL 1.1.1, 3.x and 4. */
#include <time.h>

#include "internal.h"

#if OPENSSL_VERSION_NUMBER >= 0x30000000L

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

void ts_session_set_age(SSL_SESSION *ss, long seconds)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
    SSL_SESSION_set_time_ex(ss, time(NULL) - seconds);
#else
    SSL_SESSION_set_time(ss, (long)(time(NULL) - seconds));
#endif
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
