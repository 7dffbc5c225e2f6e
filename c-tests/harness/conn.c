/* conn.c: a client and a server shake hands in one process. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static _Atomic long total_tickets; /* threads.c connects from many threads */

void ts_count_ticket(void)
{
    total_tickets++;
}

long ts_total_tickets(void)
{
    return total_tickets;
}

ts_conn *ts_conn_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static ts_side *side_of(ts_conn *c, const SSL *ssl)
{
    return ssl == c->client.ssl ? &c->client : &c->server;
}

/* ---- what is written down on the way ------------------------------------- */

static void on_info(const SSL *ssl, int where, int ret)
{
    ts_conn *c = ts_conn_of(ssl);
    ts_side *side;

    if (c == NULL || (where & SSL_CB_ALERT) == 0 || (ret >> 8) != SSL3_AL_FATAL)
        return;
    side = side_of(c, ssl);
    if ((where & SSL_CB_WRITE) == 0) {
        side->alert_received = ret & 0xff;
        return;
    }
    side->alerted_first = c->client.alert_sent < 0 && c->server.alert_sent < 0;
    side->alert_sent = ret & 0xff;
}

/*
 * Counts NewSessionTicket messages as they come in. The new-session callback
 * can't: in TLS 1.2 it is not called for a renewal.
 */
static void on_message(int write_p, int version, int content_type,
                       const void *buf, size_t len, SSL *ssl, void *arg)
{
    const unsigned char *m = buf;
    ts_conn *c = arg;
    size_t header = SSL_is_dtls(ssl) ? 12 : 4;

    (void)version;
    if (write_p || content_type != SSL3_RT_HANDSHAKE || len < header + 6
        || m[0] != SSL3_MT_NEWSESSION_TICKET)
        return;
    /* TLS 1.2: lifetime[4], length[2], ticket. In TLS 1.3 never empty. */
    if (SSL_version(ssl) != TLS1_3_VERSION
        && m[header + 4] == 0 && m[header + 5] == 0) {
        c->empty_tickets++;
        return;
    }
    c->tickets++;
    ts_count_ticket();
}

static void keep_session(ts_conn *c, SSL_SESSION *ss)
{
    if (c->n_sessions == TS_MAX_SESSIONS)
        ts_bail("more than %d sessions in one connection", TS_MAX_SESSIONS);
    c->session[c->n_sessions++] = ss;
}

/* TLS 1.3: one call per ticket. Others: ts_conn_handshake() takes the session. */
static int on_new_session(SSL *ssl, SSL_SESSION *ss)
{
    ts_conn *c = ts_conn_of(ssl);

    if (c == NULL || SSL_version(ssl) != TLS1_3_VERSION)
        return 0;
    keep_session(c, ss);
    return 1; /* the reference is now ours */
}

/* ---- making and freeing ---------------------------------------------------- */

static void adopt(ts_conn *c, ts_side *side, SSL *ssl, BIO *in, BIO *out)
{
    if (ssl == NULL || BIO_up_ref(in) != 1 || BIO_up_ref(out) != 1
        || SSL_set_app_data(ssl, c) != 1)
        ts_bail("cannot make an SSL");
    SSL_set_bio(ssl, in, out);
    SSL_set_info_callback(ssl, on_info);
    if (SSL_is_dtls(ssl)) {
        SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
        if (DTLS_set_link_mtu(ssl, 1500) != 1)
            ts_bail("cannot set the MTU");
    }
    memset(side, 0, sizeof(*side));
    side->ssl = ssl;
    side->alert_sent = side->alert_received = -1;
}

static void adopt_client(ts_conn *c, SSL *ssl, SSL_SESSION *offer)
{
    adopt(c, &c->client, ssl, c->to_client, c->to_server);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, c);
    SSL_set_connect_state(ssl);
    if (offer != NULL) {
        /*
         * libssl spoils a session that was offered to a server that failed,
         * and in TLS 1.3 one that was used. A copy keeps `offer` good.
         */
        SSL_SESSION *copy = ts_der_copy(offer);

        if (SSL_set_session(ssl, copy) != 1)
            ts_bail("cannot offer a session");
        SSL_SESSION_free(copy);
    }
}

static void adopt_server(ts_conn *c, SSL *ssl)
{
    adopt(c, &c->server, ssl, c->to_server, c->to_client);
    SSL_set_accept_state(ssl);
}

static void open_wires(ts_conn *c, int dtls)
{
    c->to_server = dtls ? ts_dgram_bio_new() : ts_stream_bio_new();
    c->to_client = dtls ? ts_dgram_bio_new() : ts_stream_bio_new();
}

ts_conn *ts_conn_new(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer)
{
    ts_conn *c = ts_xmalloc(sizeof(*c));
    SSL *s = SSL_new(client);

    open_wires(c, s != NULL && SSL_is_dtls(s));
    SSL_CTX_sess_set_new_cb(client, on_new_session);
    adopt_client(c, s, offer);
    adopt_server(c, SSL_new(server));
    return c;
}

void ts_conn_server_is(ts_conn *c, SSL *ssl)
{
    SSL_free(c->server.ssl);
    adopt_server(c, ssl);
}

/* Ends the connection and forgets it, but for the server's SSL. */
static void hang_up(ts_conn *c)
{
    /* A connection that ends without close_notify spoils its session. */
    if (c->established) {
        SSL_shutdown(c->client.ssl);
        SSL_shutdown(c->server.ssl);
        ERR_clear_error();
    }
    for (int i = 0; i < c->n_sessions; i++)
        SSL_SESSION_free(c->session[i]);
    SSL_free(c->client.ssl);
    BIO_free(c->to_server);
    BIO_free(c->to_client);
    SSL_SESSION_free(c->psk);
    free(c->psk_id);
}

void ts_conn_next(ts_conn *c, SSL_CTX *client, SSL_SESSION *offer)
{
    SSL *server = c->server.ssl;

    hang_up(c);
    if (SSL_clear(server) != 1)
        ts_bail("SSL_clear() failed");
    memset(c, 0, sizeof(*c));
    open_wires(c, SSL_is_dtls(server));
    adopt_client(c, SSL_new(client), offer);
    adopt_server(c, server);
}

void ts_conn_free(ts_conn *c)
{
    if (c == NULL)
        return;
    hang_up(c);
    SSL_free(c->server.ssl);
    free(c);
}

/* ---- driving ------------------------------------------------------------------ */

/*
 * After each call: what did it leave on the error queue? A successful call
 * must leave nothing, so this looks whatever the call returned.
 */
static void after_call(ts_side *side, int ret)
{
    unsigned long e;

    if (ret <= 0) {
        int why = SSL_get_error(side->ssl, ret);

        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            side->failed = 1;
    }
    while ((e = ERR_get_error()) != 0) {
        if (side->err == 0)
            side->err = e;
        side->last_err = e;
    }
}

static void handshake_step(ts_side *side)
{
    int ret;

    if (side->done || side->failed)
        return;
    ERR_clear_error();
    ret = SSL_do_handshake(side->ssl);
    after_call(side, ret);
    if (ret == 1) {
        side->done = 1;
        side->resumed = SSL_session_reused(side->ssl);
    }
}

/* Reads all there is (tickets and alerts on the way); bytes of data read. */
static int read_all(ts_side *side)
{
    unsigned char buf[64];
    int ret, n = 0;

    while (!side->failed) {
        ERR_clear_error();
        ret = SSL_read(side->ssl, buf, sizeof(buf));
        after_call(side, ret);
        if (ret <= 0)
            break;
        n += ret;
    }
    return n;
}

static void write_byte(ts_side *side)
{
    if (!side->done || side->failed)
        return;
    ERR_clear_error();
    after_call(side, SSL_write(side->ssl, "x", 1));
}

void ts_conn_pump(ts_conn *c)
{
    int at_server, at_client;

    write_byte(&c->client);
    at_server = read_all(&c->server);
    write_byte(&c->server);
    at_client = read_all(&c->client);
    c->established = at_server > 0 && at_client > 0
        && c->client.done && c->server.done
        && !c->client.failed && !c->server.failed;
}

int ts_conn_handshake(ts_conn *c)
{
    long sum;
    SSL_SESSION *ss;

    /* The message counts of both BIOs tell whether anything moved. */
    do {
        sum = (long)BIO_number_written(c->to_server)
            + (long)BIO_number_written(c->to_client);
        handshake_step(&c->client);
        handshake_step(&c->server);
    } while (sum != (long)BIO_number_written(c->to_server)
             + (long)BIO_number_written(c->to_client));
    /* Also after a failure: the other side shall get to see the alert. */
    ts_conn_pump(c);
    ss = SSL_get0_session(c->client.ssl);
    if (c->established && SSL_version(c->client.ssl) != TLS1_3_VERSION
        && ss != NULL && SSL_SESSION_up_ref(ss) == 1)
        keep_session(c, ss);
    return c->established;
}

/* Early data first: the server reads it in the middle of its handshake. */
size_t ts_conn_early(ts_conn *c, const void *data, size_t len)
{
    char buf[64];
    size_t n = 0, got = 0;
    int ret = SSL_READ_EARLY_DATA_ERROR;

    ERR_clear_error();
    if (SSL_write_early_data(c->client.ssl, data, len, &n) != 1)
        ts_bail("cannot send early data");
    for (int i = 0; i < 4 && ret != SSL_READ_EARLY_DATA_FINISH; i++) {
        ERR_clear_error();
        n = 0;
        ret = SSL_read_early_data(c->server.ssl, buf, sizeof(buf), &n);
        got += n;
        /* Its end comes with the client's Finished. */
        if (ret == SSL_READ_EARLY_DATA_ERROR)
            handshake_step(&c->client);
    }
    return got;
}

ts_conn *ts_connect(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer)
{
    ts_conn *c = ts_conn_new(server, client, offer);

    ts_conn_handshake(c);
    return c;
}

ts_conn *ts_connect_to(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer,
                       const char *name)
{
    ts_conn *c = ts_conn_new(server, client, offer);

    if (SSL_set_tlsext_host_name(c->client.ssl, name) != 1)
        ts_bail("cannot set the server's name");
    ts_conn_handshake(c);
    return c;
}

ts_conn *ts_connect_aborting(SSL_CTX *server, SSL_CTX *client,
                             SSL_SESSION *offer)
{
    return ts_connect(server, client, offer);
}

SSL_SESSION *ts_session(const ts_conn *c)
{
    SSL_SESSION *ss = c->n_sessions > 0 ? c->session[c->n_sessions - 1] : NULL;

    if (ss != NULL && SSL_SESSION_up_ref(ss) != 1)
        ts_bail("cannot take a reference to a session");
    return ss;
}

SSL_SESSION *ts_fresh_session(SSL_CTX *server, SSL_CTX *client)
{
    ts_conn *c = ts_connect(server, client, NULL);
    SSL_SESSION *ss = ts_session(c);

    if (ss == NULL || !SSL_SESSION_has_ticket(ss))
        ts_bail("no ticket to begin with: %s", ts_outcome(c));
    ts_conn_free(c);
    return ss;
}

/* ---- in words ---------------------------------------------------------------------- */

const char *ts_alert_name(int alert)
{
    static const struct { int alert; const char *name; } names[] = {
        { -1, "none" },
        { SSL_AD_UNEXPECTED_MESSAGE, "unexpected_message" },
        { SSL_AD_BAD_RECORD_MAC, "bad_record_mac" },
        { SSL_AD_RECORD_OVERFLOW, "record_overflow" },
        { SSL_AD_HANDSHAKE_FAILURE, "handshake_failure" },
        { SSL_AD_BAD_CERTIFICATE, "bad_certificate" },
        { SSL_AD_ILLEGAL_PARAMETER, "illegal_parameter" },
        { SSL_AD_UNKNOWN_CA, "unknown_ca" },
        { SSL_AD_ACCESS_DENIED, "access_denied" },
        { SSL_AD_DECODE_ERROR, "decode_error" },
        { SSL_AD_DECRYPT_ERROR, "decrypt_error" },
        { SSL_AD_PROTOCOL_VERSION, "protocol_version" },
        { SSL_AD_INTERNAL_ERROR, "internal_error" },
        { SSL_AD_CERTIFICATE_REQUIRED, "certificate_required" },
        { SSL_AD_UNKNOWN_PSK_IDENTITY, "unknown_psk_identity" },
        { SSL_AD_UNRECOGNIZED_NAME, "unrecognized_name" },
        { SSL_AD_NO_APPLICATION_PROTOCOL, "no_application_protocol" },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].alert == alert)
            return names[i].name;
    return "another alert";
}

const char *ts_outcome(const ts_conn *c)
{
    static _Thread_local char text[128];
    const ts_side *who = c->server.alerted_first ? &c->server
        : c->client.alerted_first ? &c->client : NULL;

    if (who != NULL)
        BIO_snprintf(text, sizeof(text), "failed, %s sent %s",
                     who == &c->server ? "server" : "client",
                     ts_alert_name(who->alert_sent));
    else if (!c->established)
        BIO_snprintf(text, sizeof(text), "failed");
    else if (c->client.resumed != c->server.resumed)
        BIO_snprintf(text, sizeof(text), "resumed only at the %s",
                     c->client.resumed ? "client" : "server");
    else
        BIO_snprintf(text, sizeof(text), "%s, %d ticket%s%s",
                     c->client.resumed ? "resumed" : "full", c->tickets,
                     c->tickets == 1 ? "" : "s",
                     c->empty_tickets > 0 ? " and an empty one" : "");
    return text;
}
