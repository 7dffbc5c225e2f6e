/*
 * appdata.c: application data in tickets. What gen_cb puts in with
 * SSL_SESSION_set1_ticket_appdata(), dec_cb gets back with
 * SSL_SESSION_get0_ticket_appdata(), byte for byte. See appdata_size.c for how
 * much of it fits, appdata_api.c for the two functions by themselves.
 */
#include <stdlib.h>
#include <string.h>

#include "ts.h"

/* Connects and resumes; returns the last session, the record is in r->cb. */
static SSL_SESSION *connect_with(ts_rig *r, SSL_SESSION *offer, const char *outcome,
                                 const char *what)
{
    ts_conn *c;
    SSL_SESSION *ss;

    ts_cb_reset(&r->cb);
    c = ts_connect(r->srv, r->cli, offer);
    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", r->name, what, outcome);
    ts_is_int(r->cb.gen_set_failed, 0, "%s: … and set1 never failed", r->name);
    ts_expect_core(c->tickets, c->server.resumed);
    ss = ts_session(c);
    ts_conn_free(c);
    return ss;
}

static const char *full(const ts_rig *r)
{
    return r->proto == TS_TLS13 ? "full, 2 tickets" : "full, 1 ticket";
}

static const char *resumed(const ts_rig *r)
{
    return r->proto == TS_TLS13 ? "resumed, 1 ticket" : "resumed, 0 tickets";
}

/* ---- sizes and contents ---------------------------------------------------------- */

static void round_trip(ts_proto proto)
{
    static const size_t sizes[] = { 0, 1, 255, 256, 4096, 16384 };
    unsigned char data[16384];
    ts_rig r;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 7); /* all values, NUL first */
    ts_rig_up(&r, proto);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        SSL_SESSION *ss;

        r.cb.appdata = data;
        r.cb.appdata_len = sizes[i];
        ss = connect_with(&r, NULL, full(&r), "appdata set");
        SSL_SESSION_free(connect_with(&r, ss, resumed(&r), "appdata read"));
        ts_is_mem(r.cb.seen, r.cb.seen_len, data, sizes[i],
                  "%s: %zu bytes come back as they were", r.name, sizes[i]);
        ts_is_int(r.cb.seen_null, sizes[i] == 0,
                  "%s: … the pointer is %s", r.name,
                  sizes[i] == 0 ? "NULL, for none" : "not NULL");
        SSL_SESSION_free(ss);
    }
    ts_rig_down(&r);
}

/* ---- renewals ---------------------------------------------------------------------- */

static void renewal(ts_proto proto)
{
    SSL_SESSION *first, *second, *third, *fourth;
    ts_rig r;

    ts_rig_up(&r, proto);
    r.cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;
    r.cb.appdata = "one";
    r.cb.appdata_len = 3;
    if (proto != TS_TLS13) /* where dec_cb is also asked about no ticket */
        r.cb.dec_return = TS_DEC_DEFAULT;
    first = connect_with(&r, NULL, full(&r), "first ticket");
    r.cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;

    r.cb.appdata = "the second";
    r.cb.appdata_len = 10;
    second = connect_with(&r, first, "resumed, 1 ticket", "renewed, other data");
    ts_is_mem(r.cb.seen, r.cb.seen_len, "one", 3,
              "%s: the first ticket had the first data", r.name);

    r.cb.appdata = NULL; /* gen_cb sets nothing */
    third = connect_with(&r, second, "resumed, 1 ticket", "renewed, no set1");
    ts_is_mem(r.cb.seen, r.cb.seen_len, "the second", 10,
              "%s: the renewed ticket has the new data", r.name);

    r.cb.appdata = ""; /* gen_cb sets 0 bytes */
    r.cb.appdata_len = 0;
    fourth = connect_with(&r, third, "resumed, 1 ticket", "renewed, cleared");
    ts_is_mem(r.cb.seen, r.cb.seen_len, "the second", 10,
              "%s: a renewal without set1 keeps the data", r.name);

    SSL_SESSION_free(connect_with(&r, fourth, "resumed, 1 ticket", "at last"));
    ts_ok(r.cb.seen_null && r.cb.seen_len == 0,
          "%s: a renewal that clears it leaves none", r.name);

    /* The old ticket is still what it was. */
    SSL_SESSION_free(connect_with(&r, first, "resumed, 1 ticket", "once more"));
    ts_is_mem(r.cb.seen, r.cb.seen_len, "one", 3,
              "%s: the first ticket still has the first data", r.name);

    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_SESSION_free(third);
    SSL_SESSION_free(fourth);
    ts_rig_down(&r);
}

/* ---- "it can be called at any time before a session ticket is created" ------------- */

static int set_in_cert_cb(SSL *ssl, void *arg)
{
    SSL_SESSION *ss = SSL_get_session(ssl);

    (void)arg;
    return ss != NULL && SSL_SESSION_set1_ticket_appdata(ss, "early", 5) == 1;
}

static void set_before(ts_proto proto)
{
    SSL_SESSION *ss;
    ts_rig r;

    ts_rig_up(&r, proto);
    SSL_CTX_set_session_ticket_cb(r.srv, NULL, ts_dec_cb, &r.cb);
    SSL_CTX_set_cert_cb(r.srv, set_in_cert_cb, NULL);
    ss = connect_with(&r, NULL, full(&r), "set in the certificate callback");
    SSL_SESSION_free(connect_with(&r, ss, resumed(&r), "resumption"));
    ts_is_mem(r.cb.seen, r.cb.seen_len, "early", 5,
              "%s: set before gen_cb's time", r.name);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* After the handshake, for a ticket that is still to come. */
static void set_later(void)
{
    ts_conn *c;
    SSL_SESSION *ss;
    ts_rig r;

    if (!ts_have_new_session_ticket()) {
        ts_note("n/a: this OpenSSL has no SSL_new_session_ticket()");
        return;
    }
    ts_rig_up(&r, TS_TLS13);
    c = ts_connect(r.srv, r.cli, NULL);
    SSL_SESSION_set1_ticket_appdata(SSL_get_session(c->server.ssl), "later", 5);
    ts_new_session_ticket(c->server.ssl);
    ts_conn_pump(c);
    ts_is_int(c->tickets, 3, "set after the handshake: a third ticket");
    ts_expect_core(c->tickets, 0);
    ss = ts_session(c);
    SSL_SESSION_free(connect_with(&r, ss, "resumed, 1 ticket", "the third"));
    ts_is_mem(r.cb.seen, r.cb.seen_len, "later", 5, "… has the data");
    SSL_SESSION_free(connect_with(&r, c->session[0], "resumed, 1 ticket",
                                  "the first"));
    ts_ok(r.cb.seen_null, "… the first one does not");
    SSL_SESSION_free(ss);
    ts_conn_free(c);
    ts_rig_down(&r);
}

/* ---- nobody but the server sees it --------------------------------------------------- */

/* The data as it is must not be found in the ticket, nor in what was sent. */
static void sealed(ts_proto proto)
{
    static const char secret[] = "sixteen letters!";
    const unsigned char *ticket;
    size_t len, found = 0;
    SSL_SESSION *ss;
    void *data = NULL;
    size_t data_len = 1;
    ts_rig r;

    ts_rig_up(&r, proto);
    r.cb.appdata = secret;
    r.cb.appdata_len = 16;
    ss = connect_with(&r, NULL, full(&r), "a secret");
    ticket = ts_ticket(ss, &len);
    for (size_t i = 0; i + 8 <= len; i++)
        found += memcmp(ticket + i, secret, 8) == 0
            || memcmp(ticket + i, secret + 8, 8) == 0;
    ts_is_int((long)found, 0, "%s: the ticket does not show it", r.name);
    ts_is_int(SSL_SESSION_get0_ticket_appdata(ss, &data, &data_len), 1,
              "%s: get0 on the client's session returns 1", r.name);
    ts_ok(data == NULL && data_len == 0,
          "%s: … and the client has no appdata", r.name);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
}

/* ---- next to a client certificate ------------------------------------------------------ */

/*
 * A client with a big certificate and a chain: the leaf is in the session
 * (libssl does not put the chain in), which so makes a ticket of over 3 KB.
 */
static void client_certificate(ts_proto proto)
{
    ts_cert *inter = ts_cert_new("intermediate", ts_ca(), TS_CERT_CA | TS_CERT_RSA);
    ts_cert *leaf = ts_cert_new("client.test", inter, TS_CERT_RSA | TS_CERT_BIG);
    const char *name = ts_proto_name(proto);
    SSL_SESSION *ss;
    const X509 *peer;
    ts_conn *c;
    size_t len;
    ts_rig r;

    ts_rig_up(&r, proto);
    ts_ask_client_cert(r.srv);
    ts_use_cert(r.cli, leaf, &inter, 1);
    r.cb.appdata = "with a certificate";
    r.cb.appdata_len = 18;
    ss = connect_with(&r, NULL, full(&r), "client certificate");
    ts_ticket(ss, &len);
    ts_ok(len > 3072, "%s: a ticket of more than 3 KB", name);
    ts_diag("%s: a ticket of %zu bytes", name, len);

    ts_cb_reset(&r.cb);
    c = ts_connect(r.srv, r.cli, ss);
    ts_is_str(ts_outcome(c), resumed(&r), "%s: it resumes", name);
    ts_expect_core(c->tickets, 1);
    ts_is_mem(r.cb.seen, r.cb.seen_len, "with a certificate", 18,
              "%s: … with the appdata", name);
    peer = SSL_SESSION_get0_peer(SSL_get0_session(c->server.ssl));
    ts_ok(peer != NULL && X509_cmp(peer, leaf->x509) == 0,
          "%s: … and with the client's certificate", name);
    ts_is_int(SSL_get_verify_result(c->server.ssl), X509_V_OK,
              "%s: … which was verified", name);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_rig_down(&r);
    ts_cert_free(leaf);
    ts_cert_free(inter);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        round_trip(*p);
        renewal(*p);
        set_before(*p);
        sealed(*p);
        client_certificate(*p);
    }
    set_later();
    return ts_done();
}
