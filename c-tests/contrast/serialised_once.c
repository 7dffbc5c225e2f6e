/*
 * serialised_once.c: a ticket's session is serialised once where stock libssl
 * does it five times, and nobody can tell by anything but the counter.
 *
 * What that rests on is tested of libssl itself, with and without the shim: what
 * was serialised, read and serialised again is the same, whatever is in the
 * session. Then of tickets: what a ticket holds is what the session held.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ts.h"

static long serialised_once(void)
{
    struct ticketshim_stats s;

    ts_stats(&s);
    return (long)s.serialised_once;
}

/* `tickets` of them since `before`, under the shim and where libssl's calls are seen; else none. */
static void counted(long before, long tickets, const char *what)
{
    long want = ts_shim_expected() && ts_libssl_is_seen() ? tickets : 0;

    ts_is_int(serialised_once() - before, want, "%s", what);
}

/* ---- the law: serialise, read, serialise --------------------------------------------- */

typedef struct der {
    unsigned char bytes[20000];
    size_t len;
} der;

static void put(der *d, unsigned tag, const void *data, size_t len)
{
    d->bytes[d->len++] = (unsigned char)tag;
    if (len >= 128)
        d->bytes[d->len++] = 0x82, d->bytes[d->len++] = (unsigned char)(len >> 8);
    d->bytes[d->len++] = (unsigned char)len;
    memcpy(d->bytes + d->len, data, len);
    d->len += len;
}

/* A field with an explicit tag. */
static void field(der *d, unsigned number, unsigned tag, const void *data, size_t len)
{
    static der inner;

    inner.len = 0;
    if (tag == 0)               /* whole already */
        put(d, 0xa0 + number, data, len);
    else {
        put(&inner, tag, data, len);
        put(d, 0xa0 + number, inner.bytes, inner.len);
    }
}

#define FIELDS 21

/* Field `n` of a session (ssl/ssl_asn1.c), in one of three forms. */
static void add(der *d, unsigned n, int form, const der *cert, const der *pubkey)
{
    static const unsigned char zeros[300];
    static const char text[] = "some.text.example";
    static const unsigned char numbers[3][5] = { { 1 }, { 0x7f, 0xff, 0xff }, { 0x5a, 0x5a, 0x5a, 0x5a } };
    static const size_t lengths[3] = { 1, 3, 4 };
    size_t len = form == 0 ? 1 : form == 1 ? sizeof(text) - 1 : 0;

    switch (n) {
    case 3: field(d, n, 0, cert->bytes, cert->len); break;
    case 20: field(d, n, 4, pubkey->bytes, pubkey->len); break;
    case 1: case 2: case 5: case 9: case 13: case 14: case 15: case 17: case 19:
        field(d, n, 2, n == 17 ? numbers[0] : numbers[form], n == 17 ? 1 : lengths[form]);
        break;
    case 11: field(d, n, 4, numbers[0], 1); break;
    case 10: case 18: field(d, n, 4, form == 2 ? (const void *)zeros : text, form == 2 ? sizeof(zeros) : len); break;
    default: field(d, n, 4, text, len); break;
    }
}

static void session_der(der *d, unsigned long fields, int form, int tls13, const der *cert, const der *pubkey)
{
    static const unsigned char v1 = 1, tls[2][2] = { { 3, 3 }, { 3, 4 } }, cipher[2][2] = { { 0xc0, 0x2f }, { 0x13, 1 } },
        key[48] = { 1, 2, 3 };
    static der body;

    body.len = 0;
    put(&body, 2, &v1, 1);
    put(&body, 2, tls[tls13], 2);
    put(&body, 4, cipher[tls13], 2);
    put(&body, 4, key, form == 1 ? 32 : 0);
    put(&body, 4, key, tls13 ? 32 : 48);
    for (unsigned n = 1; n < FIELDS; n++)
        if (fields & 1ul << n)
            add(&body, n, form, cert, pubkey);
    d->len = 0;
    put(d, 0x30, body.bytes, body.len);
}

/* -1: not a session to this libssl. */
static int is_lawful(const der *d)
{
    const unsigned char *p = d->bytes;
    SSL_SESSION *s = d2i_SSL_SESSION(NULL, &p, (long)d->len), *t;
    unsigned char *a = NULL, *b = NULL;
    int n, m, same;

    ERR_clear_error();
    if (s == NULL)
        return -1;
    n = i2d_SSL_SESSION(s, &a);
    p = a;
    t = n > 0 ? d2i_SSL_SESSION(NULL, &p, n) : NULL;
    m = t != NULL ? i2d_SSL_SESSION(t, &b) : -1;
    same = n == m && p == a + n && i2d_SSL_SESSION(s, NULL) == n && memcmp(a, b, (size_t)n) == 0;
    OPENSSL_free(a);
    OPENSSL_free(b);
    SSL_SESSION_free(s);
    SSL_SESSION_free(t);
    return same;
}

static void law(void)
{
    static der d, cert, pubkey;
    const unsigned long times = 1ul << 1 | 1ul << 2;
    unsigned long known = 0;
    long sessions = 0, wrong = 0, strange = 0;
    ts_cert *certs[3] = { ts_cert_new("client", ts_ca(), 0), ts_cert_new("client", ts_ca(), TS_CERT_RSA),
                          ts_cert_new("client", ts_ca(), TS_CERT_BIG) };

    for (int form = 0; form < 3; form++) {
        unsigned char *p = cert.bytes, *q = pubkey.bytes;

        cert.len = (size_t)i2d_X509(certs[form]->x509, &p);
        pubkey.len = (size_t)i2d_PUBKEY(certs[form]->key, &q);
        for (int tls13 = 0; tls13 < 2; tls13++) {
            /* Each by itself, all of them, and each pair. (What 1.1.1 does not know it does not take.) */
            for (unsigned n = 1; n < FIELDS; n++) {
                session_der(&d, times | 1ul << n, form, tls13, &cert, &pubkey);
                if (is_lawful(&d) >= 0)
                    known |= 1ul << n;
            }
            for (unsigned n = 1; n <= FIELDS; n++)
                for (unsigned m = 1; m <= n; m++) {
                    unsigned long fields = n == FIELDS ? known & ~(m > 1 ? 1ul << m : 0ul)
                        : (1ul << n | 1ul << m) & known;
                    int is;

                    session_der(&d, times | fields, form, tls13, &cert, &pubkey);
                    is = is_lawful(&d);
                    sessions++;
                    wrong += is == 0;
                    strange += is < 0;
                }
        }
    }
    ts_diag("%ld sessions, fields %lx", sessions, known);
    ts_is_int(wrong, 0, "serialised, read, and serialised again: the same");
    ts_is_int(strange, 0, "all of them are sessions");
    /* All from 1 to 18, but for the name for SRP. */
    ts_is_int((long)(known & 0x7effe), 0x7effe, "with all the fields that sessions have had since 1.1.1");
    for (int i = 0; i < 3; i++)
        ts_cert_free(certs[i]);
}

/* ---- tickets ---------------------------------------------------------------------------- */

typedef enum fill {
    PLAIN, ALL_SETTERS, TIME_0, TIMEOUT_0, OLD_TIME, LONG_APPDATA, N_FILLS
} fill;

static const char *const fill_names[] = {
    "as it is", "with all that can be set", "with a time of 0", "with a timeout of 0", "with an old time",
    "with 40,000 bytes of application data"
};

static struct {
    fill fill;
    unsigned char *made;        /* the session of the last ticket, before it was made */
    int made_len;
    int opened_same, opened;
} now;

static int on_gen(SSL *ssl, ts_cb *cb)
{
    static unsigned char appdata[40000] = "appdata";
    SSL_SESSION *s = SSL_get_session(ssl), *copy;
    const unsigned char *p;

    (void)cb;
    switch (now.fill) {
    case ALL_SETTERS:
        if (SSL_SESSION_set1_hostname(s, "a.host.example") != 1
            || SSL_SESSION_set1_alpn_selected(s, (const unsigned char *)"proto", 5) != 1
            || SSL_SESSION_set_max_early_data(s, 4711) != 1
            || SSL_SESSION_set1_ticket_appdata(s, "data", 4) != 1
            || SSL_SESSION_set1_id_context(s, (const unsigned char *)"ts", 2) != 1)
            ts_bail("a setter failed");
        SSL_SESSION_set_timeout(s, 1234);
        break;
    case TIME_0: ts_session_set_time(s, 0); break;
    case TIMEOUT_0: SSL_SESSION_set_timeout(s, 0); break;
    case OLD_TIME: ts_session_set_age(s, 100); break;
    case LONG_APPDATA:
        if (SSL_SESSION_set1_ticket_appdata(s, appdata, sizeof(appdata)) != 1)
            ts_bail("set1_ticket_appdata");
        break;
    default: break;
    }
    /* An application that serialises sessions itself, in a callback, with all its might. */
    OPENSSL_free(now.made);
    now.made = NULL;
    now.made_len = i2d_SSL_SESSION(s, &now.made);
    p = now.made;
    copy = d2i_SSL_SESSION(NULL, &p, now.made_len);
    if (copy == NULL || copy == s || i2d_SSL_SESSION(copy, NULL) <= 0)
        ts_bail("d2i_SSL_SESSION in a callback");
    SSL_SESSION_free(copy);
    if (i2d_SSL_SESSION(s, NULL) != now.made_len)
        ts_bail("i2d_SSL_SESSION in a callback");
    return 1;
}

static int on_dec(SSL *ssl, SSL_SESSION *s, int status, ts_cb *cb)
{
    const unsigned char *p = now.made;
    SSL_SESSION *made;
    unsigned char *der = NULL;
    const unsigned char *id;
    unsigned len;
    int n;

    (void)ssl;
    (void)cb;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    made = d2i_SSL_SESSION(NULL, &p, now.made_len);
    now.opened++;
    /* libssl has put the client's id into it. */
    id = SSL_SESSION_get_id(made, &len);
    if (SSL_SESSION_set1_id(s, id, len) != 1)
        ts_bail("SSL_SESSION_set1_id");
    n = i2d_SSL_SESSION(s, &der);
    now.opened_same = n == now.made_len && memcmp(der, now.made, (size_t)n) == 0;
    SSL_SESSION_free(made);
    OPENSSL_free(der);
    return SSL_TICKET_RETURN_USE;
}

/* A session cache as servers have it: keeps the bytes. Does it hold what the session holds? */
static long cached;

static int on_new(SSL *ssl, SSL_SESSION *s)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    int n = i2d_SSL_SESSION(s, NULL), m = i2d_SSL_SESSION(s, &der);
    SSL_SESSION *copy;

    (void)ssl;
    p = der;
    copy = d2i_SSL_SESSION(NULL, &p, m);
    cached += n == m && copy != NULL && copy != s && i2d_SSL_SESSION(copy, NULL) == n;
    SSL_SESSION_free(copy);
    OPENSSL_free(der);
    return 0;
}

static void tickets(ts_proto proto, const ts_cert *client, const char *who)
{
    for (fill f = PLAIN; f < N_FILLS; f++) {
        long before = serialised_once();
        ts_conn *c, *again;
        SSL_SESSION *ss;
        ts_rig r;

        ts_rig_up(&r, proto);
        r.cb.on_gen = on_gen;
        r.cb.on_dec = on_dec;
        SSL_CTX_sess_set_new_cb(r.srv, on_new);
        SSL_CTX_set_num_tickets(r.srv, 1);
        if (client != NULL) {
            ts_ask_client_cert(r.srv);
            ts_use_cert(r.cli, client, NULL, 0);
        }
        now.fill = f;
        now.opened = now.opened_same = 0;
        cached = 0;
        c = ts_connect(r.srv, r.cli, NULL);
        if (f == TIME_0 || f == TIMEOUT_0) {
            /* The copy would have times, and so be longer: libssl ends the handshake over that. */
            ts_is_int(c->established || c->tickets > 0, 0, "%s, %s, a session %s: none", r.name, who, fill_names[f]);
            counted(before, 0, "… as ever");
            ts_conn_free(c);
            ts_rig_down(&r);
            continue;
        }
        ts_is_int(c->tickets, 1, "%s, %s, a session %s: a ticket", r.name, who, fill_names[f]);
        counted(before, 1, "… serialised once");
        ts_ok(proto != TS_TLS13 || cached > 0, "… and new_session_cb serialised it");
        ss = ts_session(c);
        now.fill = f;
        again = ts_conn_new(r.srv, r.cli, ss);
        r.cb.on_gen = NULL;
        ts_conn_handshake(again);
        ts_is_int(now.opened, 1, "… it opens");
        ts_ok(now.opened_same, "… and holds what the session held");
        ts_expect_core(1 + again->tickets, 1);
        ts_conn_free(again);
        ts_conn_free(c);
        SSL_SESSION_free(ss);
        ts_rig_down(&r);
    }
}

/* Sessions that are made end: no reference too many, and none too few. */
static long alive;

static void made_one(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
    alive++;
}

static void ended_one(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
    alive--;
}

static void references(void)
{
    long before;

    if (SSL_SESSION_get_ex_new_index(0, NULL, made_one, NULL, ended_one) < 0)
        ts_bail("SSL_SESSION_get_ex_new_index");
    before = alive;
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        SSL_CTX *srv = ts_server_ctx(*p), *cli = ts_client_ctx(*p);

        for (int i = 0; i < 20; i++)
            SSL_SESSION_free(ts_fresh_session(srv, cli));
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
        ts_expect_core(20 * ts_full_tickets(*p), 0);
    }
    ts_is_int(alive - before, 0, "as many sessions have ended as were made");
}

/* ---- threads that serialise while tickets are made ------------------------------------------ */

static SSL_CTX *shared_srv;

static void *serialise(void *arg)
{
    SSL_CTX *cli = arg;
    long wrong = 0;

    for (int i = 0, n = ts_scale(100); i < n; i++) {
        ts_conn *c = ts_connect(shared_srv, cli, NULL);
        SSL_SESSION *s = ts_session(c);
        unsigned char *der = NULL;
        const unsigned char *p;
        int len = i2d_SSL_SESSION(s, &der);
        SSL_SESSION *copy = (p = der, d2i_SSL_SESSION(NULL, &p, len));

        wrong += len <= 0 || copy == NULL || copy == s || c->tickets != 2;
        SSL_SESSION_free(copy);
        SSL_SESSION_free(s);
        OPENSSL_free(der);
        ts_conn_free(c);
    }
    return wrong == 0 ? arg : NULL;
}

static void threads(void)
{
    pthread_t thread[4];
    SSL_CTX *cli[4];
    long good = 0, before = serialised_once();

    shared_srv = ts_server_ctx(TS_TLS13);
    ts_before_threads();
    for (int i = 0; i < 4; i++) {
        cli[i] = ts_client_ctx(TS_TLS13);
        if (pthread_create(&thread[i], NULL, serialise, cli[i]) != 0)
            ts_bail("pthread_create");
    }
    for (int i = 0; i < 4; i++) {
        void *result;

        pthread_join(thread[i], &result);
        good += result != NULL;
        SSL_CTX_free(cli[i]);
    }
    SSL_CTX_free(shared_srv);
    ts_is_int(good, 4, "four threads make tickets, and serialise sessions themselves");
    counted(before, 8 * ts_scale(100), "… and each ticket is serialised once");
    ts_expect_core(8 * ts_scale(100), 0);
}

int main(void)
{
    ts_cert *ec = ts_cert_new("client", ts_ca(), 0), *rsa = ts_cert_new("client", ts_ca(), TS_CERT_RSA | TS_CERT_BIG);

    ts_diag("libssl's own calls are %sseen", ts_libssl_is_seen() ? "" : "not ");
    law();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        tickets(*p, NULL, "no client certificate");
        tickets(*p, ec, "one with P-256");
        tickets(*p, rsa, "a large one with RSA");
    }
    references();
    threads();
    OPENSSL_free(now.made);
    ts_cert_free(ec);
    ts_cert_free(rsa);
    return ts_done();
}
