/*
 * version_tickets.c: what stock OpenSSL does with tickets differently from
 * release to release (harness/version.c), and so does the shim.
 */
#include <string.h>

#include "ts.h"

/* ---- ABORT and the decrypted session --------------------------------------- */

static long alive; /* SSL_SESSIONs of this program */

static void session_made(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                         long argl, void *argp)
{
    (void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
    alive++;
}

static void session_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                          long argl, void *argp)
{
    (void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
    alive--;
}

static void abort_frees(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_cb cb = TS_CB_INIT;
    SSL_SESSION *ss;
    ts_conn *c;
    long before;

    ss = ts_fresh_session(srv, cli);
    ts_expect_core(ts_full_tickets(proto), 1);
    SSL_CTX_set_session_cache_mode(srv, SSL_SESS_CACHE_OFF);
    ts_cb_install(srv, &cb);
    cb.dec_return = SSL_TICKET_RETURN_ABORT;
    before = alive;
    c = ts_connect_aborting(srv, cli, ss);
    ts_ok(!c->established, "%s: dec_cb ends a handshake", ts_proto_name(proto));
    ts_conn_free(c);
    ts_diag("%ld sessions more than before", alive - before);
    if (proto == TS_TLS13)
        ts_version_is(TS_ABORT_FREES, alive == before);
    else
        ts_is_int(alive - before, 0, "%s: … the session is freed",
                  ts_proto_name(proto));
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

/* ---- a ticket of another hash ------------------------------------------------ */

static void mismatch(void)
{
    SSL_CTX *srv = ts_server_ctx(TS_TLS13), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss;
    ts_conn *c;

    SSL_CTX_set_ciphersuites(cli, "TLS_AES_128_GCM_SHA256");
    ss = ts_fresh_session(srv, cli);
    ts_expect_core(2, 1);
    SSL_CTX_set_ciphersuites(cli, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_options(srv, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_ciphersuites(srv, "TLS_AES_256_GCM_SHA384");
    c = ts_connect(srv, cli, ss);
    ts_ok(c->established && !c->server.resumed,
          "a ticket of another hash: a full handshake");
    ts_diag("it was: %s", ts_outcome(c));
    ts_version_is(TS_TICKETS_AFTER_MISMATCH, c->tickets > 0);
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- a key callback that says "no ticket" ------------------------------------- */

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
static int no_ticket(SSL *s, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
#else
static int no_ticket(SSL *s, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, HMAC_CTX *mac, int enc)
#endif
{
    (void)s, (void)name, (void)iv, (void)cipher, (void)mac, (void)enc;
    return 0;
}

static void none(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_conn *c;

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    SSL_CTX_set_tlsext_ticket_key_evp_cb(srv, no_ticket);
#else
    SSL_CTX_set_tlsext_ticket_key_cb(srv, no_ticket);
#endif
    c = ts_connect(srv, cli, NULL);
    ts_diag("no ticket: %s", ts_outcome(c));
    if (proto == TS_TLS13)
        ts_version_is(TS_CAN_SEND_NO_TICKET, c->established);
    else
        ts_ok(c->established, "%s: without a ticket", ts_proto_name(proto));
    if (c->established)
        ts_is_int(c->tickets, 0, "%s: … none", ts_proto_name(proto));
    ts_conn_free(c);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- defaults, the same in all --------------------------------------------------- */

static void renewal(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_cb cb = TS_CB_INIT;
    SSL_SESSION *ss;
    ts_conn *c;

    ts_cb_install(srv, &cb);
    ss = ts_fresh_session(srv, cli);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: %s by default",
              ts_proto_name(proto), ts_resumed(proto));
    ts_is_str(ts_status_name(cb.dec_status),
              proto == TS_TLS13 ? "SUCCESS_RENEW" : "SUCCESS",
              "%s: … as dec_cb is told", ts_proto_name(proto));
    ts_expect_core(ts_full_tickets(proto) + c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

int main(void)
{
    CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_SESSION, 0, NULL, session_made,
                            NULL, session_freed);
    mismatch();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        renewal(*p);
        none(*p);
        abort_frees(*p);
    }
    return ts_done();
}
