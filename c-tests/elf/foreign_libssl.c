/*
 * foreign_libssl.c: stands for a libssl that is not OpenSSL's (BoringSSL, one
 * that is linked into some library): the same names, other structures. Its
 * contexts are not even readable.
 */
#include <stddef.h>

static const char method;
#define CONTEXT ((void *)16)

const void *TLS_server_method(void) { return &method; }
void *SSL_CTX_new(const void *of) { return of == &method ? CONTEXT : NULL; }
void *SSL_CTX_get_ex_data(void *ctx, int index) { (void)ctx; (void)index; return NULL; }
long SSL_CTX_ctrl(void *ctx, int cmd, long larg, void *parg)
{
    (void)cmd; (void)larg; (void)parg;
    return ctx == CONTEXT ? 42 : -1;
}
int SSL_CTX_set_session_id_context(void *ctx, const unsigned char *id, unsigned len)
{
    (void)id; (void)len;
    return ctx == CONTEXT ? 43 : -1;
}
