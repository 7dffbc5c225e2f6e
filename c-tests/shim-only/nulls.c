/*
 * nulls.c: NULL for every pointer of the functions that the shim exports. Stock
 * OpenSSL crashes on most of these; the shim returns 0 and says why, with one
 * entry on the error queue. So this runs under the shim only.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <string.h>

#include "ts.h"

/* A call that must have returned 0 and left one error; empties the queue. */
static void refused(int ret, const char *call)
{
    int n = 0;
    unsigned long e, first = ERR_peek_error();
    char text[256];

    while ((e = ERR_get_error()) != 0)
        n++;
    ERR_error_string_n(first, text, sizeof(text));
    ts_is_int(ret, 0, "%s returns 0", call);
    ts_is_int(n, 1, "%s leaves one error", call);
    if (n > 0)
        ts_diag("%s: %s", call, text);
}

static void session_functions(void)
{
    SSL_SESSION *ss = SSL_SESSION_new();
    char untouched = 0;
    void *data = &untouched;
    size_t len = 42;

    refused(SSL_SESSION_set1_ticket_appdata(NULL, "x", 1),
            "SSL_SESSION_set1_ticket_appdata(NULL, data, 1)");
    refused(SSL_SESSION_set1_ticket_appdata(NULL, NULL, 0),
            "SSL_SESSION_set1_ticket_appdata(NULL, NULL, 0)");
    refused(SSL_SESSION_get0_ticket_appdata(NULL, &data, &len),
            "SSL_SESSION_get0_ticket_appdata(NULL, …)");
    ts_ok(data == &untouched && len == 42, "… what it points to is untouched");
    refused(SSL_SESSION_get0_ticket_appdata(ss, NULL, &len),
            "SSL_SESSION_get0_ticket_appdata() without data");
    refused(SSL_SESSION_get0_ticket_appdata(ss, &data, NULL),
            "SSL_SESSION_get0_ticket_appdata() without len");
    refused(SSL_SESSION_get0_ticket_appdata(NULL, NULL, NULL),
            "SSL_SESSION_get0_ticket_appdata(NULL, NULL, NULL)");
    ts_ok(data == &untouched && len == 42, "… what is given is untouched");

    /* Data may be NULL: that is how appdata is cleared. */
    ts_is_int(SSL_SESSION_set1_ticket_appdata(ss, NULL, 7), 1,
              "NULL data clears, and is no error");
    ts_is_int(ERR_peek_error() != 0, 0, "… and leaves none");
    SSL_SESSION_free(ss);
}

/* NULL for a method or a context: nothing is made, and one error says why. */
static void makers(void)
{
    const SSL_METHOD *method = TLS_method();
    SSL_CTX *ctx;

    refused(SSL_CTX_new(NULL) != NULL, "SSL_CTX_new(NULL)");
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    refused(SSL_CTX_new_ex(NULL, NULL, NULL) != NULL,
            "SSL_CTX_new_ex(NULL, NULL, NULL)");
    refused(SSL_CTX_new_ex(NULL, "provider=default", NULL) != NULL,
            "SSL_CTX_new_ex() without a method");
    ctx = SSL_CTX_new_ex(NULL, NULL, method);
    ts_ok(ctx != NULL && ERR_peek_error() == 0,
          "SSL_CTX_new_ex() with a method only is fine");
    ts_expect_contexts(1, 0, "one by SSL_CTX_new_ex()");
    SSL_CTX_free(ctx);
#endif
    ctx = SSL_CTX_new(method);
    ts_ok(ctx != NULL && ERR_peek_error() == 0, "SSL_CTX_new() is fine");
    SSL_CTX_free(ctx);
    ts_expect_contexts(0, 0, "what was refused is not counted");
}

static void context_functions(void)
{
    ts_cb cb = TS_CB_INIT;
    unsigned char keys[80] = { 0 };

    refused(SSL_CTX_set_session_ticket_cb(NULL, ts_gen_cb, ts_dec_cb, &cb),
            "SSL_CTX_set_session_ticket_cb(NULL, …)");
    refused(SSL_CTX_set_session_ticket_cb(NULL, NULL, NULL, NULL),
            "SSL_CTX_set_session_ticket_cb(NULL, NULL, NULL, NULL)");
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    refused(SSL_CTX_set_tlsext_ticket_key_evp_cb(NULL, NULL),
            "SSL_CTX_set_tlsext_ticket_key_evp_cb(NULL, NULL)");
    refused(ts_key_cb_set(NULL, TS_DOOR_EVP_CB, 1),
            "SSL_CTX_set_tlsext_ticket_key_evp_cb(NULL, callback)");
#endif
    refused((int)SSL_CTX_callback_ctrl(NULL, SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
                                       NULL),
            "SSL_CTX_callback_ctrl(NULL, ticket key callback, NULL)");
    refused((int)SSL_CTX_callback_ctrl(NULL, SSL_CTRL_SET_MSG_CALLBACK, NULL),
            "SSL_CTX_callback_ctrl(NULL, another command, NULL)");
    refused((int)SSL_CTX_ctrl(NULL, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, 80, keys),
            "SSL_CTX_ctrl(NULL, set ticket keys, keys)");
    refused((int)SSL_CTX_ctrl(NULL, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, 80, NULL),
            "SSL_CTX_ctrl(NULL, set ticket keys, NULL)");
    refused((int)SSL_CTX_ctrl(NULL, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, 80, keys),
            "SSL_CTX_ctrl(NULL, get ticket keys, keys)");
    refused((int)SSL_CTX_ctrl(NULL, SSL_CTRL_MODE, 0, NULL),
            "SSL_CTX_ctrl(NULL, another command, NULL)");
    refused(SSL_set_SSL_CTX(NULL, NULL) != NULL, "SSL_set_SSL_CTX(NULL, NULL)");
}

/* Where NULL has a meaning with libssl it keeps it. */
static void meaningful(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13), *other = ts_server_ctx(TS_TLS13);
    SSL *ssl = SSL_new(ctx);

    refused(SSL_set_SSL_CTX(NULL, ctx) != NULL, "SSL_set_SSL_CTX(NULL, ctx)");
    ts_ok(SSL_set_SSL_CTX(ssl, other) == other
          && SSL_set_SSL_CTX(ssl, NULL) == ctx,
          "SSL_set_SSL_CTX(ssl, NULL): back to the first context");
    refused(SSL_CTX_set_session_id_context(NULL, (const void *)"x", 1),
            "SSL_CTX_set_session_id_context(NULL, \"x\", 1)");
    refused(SSL_CTX_set_session_id_context(NULL, NULL, 0),
            "SSL_CTX_set_session_id_context(NULL, NULL, 0)");
    refused(SSL_CTX_set_session_id_context(ctx, NULL, 1),
            "SSL_CTX_set_session_id_context(ctx, NULL, 1)");
    refused(SSL_CTX_set_session_id_context(ctx, (const void *)"x", 33),
            "SSL_CTX_set_session_id_context() of 33 bytes");
    ts_is_int(SSL_CTX_set_session_id_context(ctx, NULL, 0), 1,
              "SSL_CTX_set_session_id_context(ctx, NULL, 0) takes it away");
    ts_is_int(ERR_peek_error() != 0, 0, "… and leaves no error");
    ts_is_int(SSL_CTX_set_session_ticket_cb(ctx, NULL, NULL, NULL), 1,
              "SSL_CTX_set_session_ticket_cb(ctx, NULL, NULL, NULL)");
    ts_is_int((int)SSL_CTX_ctrl(ctx, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, 80, NULL),
              80, "SSL_CTX_ctrl(ctx, get ticket keys, NULL): their length");
    ts_is_int(ERR_peek_error() != 0, 0, "… and no error");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    SSL_CTX_free(other);
}

static void own_functions(void)
{
    int (*get_stats)(struct ticketshim_stats *, size_t);
    const char *(*version)(void);
    struct { struct ticketshim_stats stats; uint64_t more[32]; } wide;
    struct ticketshim_stats stats;
    void *p = dlsym(RTLD_DEFAULT, "ticketshim_get_stats");

    memcpy(&get_stats, &p, sizeof(p));
    p = dlsym(RTLD_DEFAULT, "ticketshim_version");
    memcpy(&version, &p, sizeof(p));
    if (!ts_ok(get_stats != NULL && version != NULL, "ticketshim_* are there"))
        return;
    ts_ok(version() != NULL && *version() != '\0', "ticketshim_version()");
    refused(get_stats(NULL, sizeof(stats)), "ticketshim_get_stats(NULL, size)");
    refused(get_stats(NULL, 0), "ticketshim_get_stats(NULL, 0)");
    refused(get_stats(&stats, 7), "ticketshim_get_stats() of 7 bytes");
    ts_is_int(get_stats(&stats, sizeof(stats)), 1, "ticketshim_get_stats()");

    /* A program built with a shorter or a longer struct, from another version. */
    memset(&wide, 0xff, sizeof(wide));
    get_stats(&wide.stats, sizeof(uint64_t));
    ts_ok(wide.stats.detached == UINT64_MAX,
          "ticketshim_get_stats() keeps within a shorter struct");
    ERR_clear_error();
    memset(&wide, 0xff, sizeof(wide));
    get_stats(&wide.stats, sizeof(stats));
    ts_ok(wide.more[0] == UINT64_MAX, "… and within its own");
    ERR_clear_error();
    memset(&wide, 0xff, sizeof(wide));
    ts_is_int(get_stats(&wide.stats, sizeof(wide)), 1, "… a longer one is fine");
    ts_ok(wide.more[31] == 0, "… what the library does not have is 0");
}

/* After all that the shim works as before. */
static void still_alive(void)
{
    SSL_CTX *srv = ts_server_ctx(TS_TLS13), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ts_fresh_session(srv, cli);
    ts_conn *c = ts_connect(srv, cli, ss);

    ts_is_str(ts_outcome(c), "resumed, 1 ticket", "handshakes go on");
    ts_expect_core(3, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    session_functions();
    makers();
    context_functions();
    meaningful();
    own_functions();
    still_alive();
    return ts_done();
}
