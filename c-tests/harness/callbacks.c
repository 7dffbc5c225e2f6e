/* callbacks.c: gen_cb and dec_cb that do as told and write down what they saw. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void note(ts_cb *cb, const char *what, const char *detail)
{
    size_t used = strlen(cb->log);

    BIO_snprintf(cb->log + used, sizeof(cb->log) - used, "%s%s%s",
                 used > 0 ? " " : "", what, detail);
}

int ts_gen_cb(SSL *s, void *arg)
{
    ts_cb *cb = arg;
    SSL_SESSION *ss = SSL_get_session(s);

    cb->gen_calls++;
    cb->queue_not_empty += ERR_peek_error() != 0;
    note(cb, "gen", "");
    if (ss == NULL)
        cb->gen_no_session++;
    else if (cb->appdata != NULL
             && SSL_SESSION_set1_ticket_appdata(ss, cb->appdata,
                                                cb->appdata_len) != 1)
        cb->gen_set_failed++;
    return cb->on_gen != NULL ? cb->on_gen(s, cb) : cb->gen_return;
}

/* The page's "does not wish to change the default ticket behaviour". */
static int default_return(int status)
{
    switch (status) {
    case SSL_TICKET_SUCCESS: return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW: return SSL_TICKET_RETURN_USE_RENEW;
    default: return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

static void keep_appdata(ts_cb *cb, SSL_SESSION *ss)
{
    void *data = NULL;
    size_t len = 0;

    free(cb->seen);
    cb->seen = NULL;
    cb->seen_len = 0;
    if (SSL_SESSION_get0_ticket_appdata(ss, &data, &len) != 1)
        ts_diag("SSL_SESSION_get0_ticket_appdata() failed in dec_cb");
    cb->seen_null = data == NULL;
    if (data != NULL) {
        cb->seen = ts_xmalloc(len);
        memcpy(cb->seen, data, len);
        cb->seen_len = len;
    }
}

SSL_TICKET_RETURN ts_dec_cb(SSL *s, SSL_SESSION *ss,
                            const unsigned char *keyname, size_t keyname_len,
                            SSL_TICKET_STATUS status, void *arg)
{
    ts_cb *cb = arg;

    cb->dec_calls++;
    cb->queue_not_empty += ERR_peek_error() != 0;
    cb->dec_status = status;
    cb->dec_ss_null = ss == NULL;
    note(cb, "dec:", ts_status_name(status));
    cb->keyname_len = keyname_len;
    memset(cb->keyname, 0, sizeof(cb->keyname));
    if (keyname_len > 0 && keyname_len <= sizeof(cb->keyname))
        memcpy(cb->keyname, keyname, keyname_len);
    if (status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW)
        keep_appdata(cb, ss);
    if (cb->on_dec != NULL)
        return cb->on_dec(s, ss, status, cb);
    return cb->dec_return == TS_DEC_DEFAULT ? default_return(status)
        : cb->dec_return;
}

void ts_cb_install(SSL_CTX *ctx, ts_cb *cb)
{
    if (SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, ts_dec_cb, cb) != 1)
        ts_bail("SSL_CTX_set_session_ticket_cb() failed");
}

void ts_cb_reset(ts_cb *cb)
{
    free(cb->seen);
    cb->seen = NULL;
    cb->seen_len = 0;
    cb->seen_null = 0;
    cb->gen_calls = cb->gen_no_session = cb->gen_set_failed = 0;
    cb->dec_calls = cb->dec_ss_null = 0;
    cb->dec_status = -1;
    cb->keyname_len = 0;
    cb->queue_not_empty = 0;
    cb->log[0] = '\0';
}

const char *ts_status_name(int status)
{
    switch (status) {
    case SSL_TICKET_EMPTY: return "EMPTY";
    case SSL_TICKET_NO_DECRYPT: return "NO_DECRYPT";
    case SSL_TICKET_SUCCESS: return "SUCCESS";
    case SSL_TICKET_SUCCESS_RENEW: return "SUCCESS_RENEW";
    }
    return "?";
}

const char *ts_return_name(int ret)
{
    switch (ret) {
    case SSL_TICKET_RETURN_ABORT: return "ABORT";
    case SSL_TICKET_RETURN_IGNORE: return "IGNORE";
    case SSL_TICKET_RETURN_IGNORE_RENEW: return "IGNORE_RENEW";
    case SSL_TICKET_RETURN_USE: return "USE";
    case SSL_TICKET_RETURN_USE_RENEW: return "USE_RENEW";
    }
    return "a value out of range";
}

void ts_rig_up(ts_rig *r, ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;

    r->proto = proto;
    r->name = ts_proto_name(proto);
    r->srv = ts_server_ctx(proto);
    r->cli = ts_client_ctx(proto);
    r->cb = init;
    ts_cb_install(r->srv, &r->cb);
}

void ts_rig_down(ts_rig *r)
{
    SSL_CTX_free(r->srv);
    SSL_CTX_free(r->cli);
    ts_cb_reset(&r->cb);
}
