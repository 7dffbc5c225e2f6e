/*
 * id_contexts.c: servers that verify their clients and have no session id
 * context. libssl ends a handshake to them that offers a ticket; the library
 * gives their connections a session id context, and they resume, in whichever
 * order the program makes its calls; but not where code of the program's takes
 * part in the verification. One that the program sets wins, and clients never
 * see any of it.
 */
#include <string.h>

#include "ts.h"

static ts_cert *ca, *member;

/* ---- ways to a server that verifies and has no session id context --------------- */

static SSL_CTX *server(ts_proto p, int demands)
{
    const ts_place place = { .sid = "", .client_ca = ca };
    SSL_CTX *ctx = ts_place_new(p, &place);

    if (!demands)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

enum way {
    ON_CONTEXT,                   /* verify mode before SSL_new() */
    BEFORE_ACCEPT,                /* SSL_set_verify(), SSL_set_accept_state() */
    AFTER_ACCEPT,                 /* SSL_set_accept_state(), SSL_set_verify() */
    BY_ACCEPT,                    /* SSL_accept() is all that says what it is */
    IN_HELLO,                     /* SSL_set_verify() in the ClientHello callback */
    BY_CONF,                      /* SSL_CONF_cmd(): no function of the SSL_CTX is called */
    SWITCHED,                     /* SSL_set_SSL_CTX() before the handshake */
    TWICE,                        /* set by the program, taken back with an empty one */
    N_WAYS
};

static const char *const ways[N_WAYS] = {
    "verify mode of the context", "set before SSL_set_accept_state()", "set after it", "SSL_accept()",
    "in the ClientHello callback", "SSL_CONF_cmd()", "SSL_set_SSL_CTX() before the handshake",
    "SSL_set_session_id_context() with an empty one",
};

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static SSL_CTX *prepare(ts_proto p, enum way way)
{
    SSL_CTX *ctx = server(p, way == ON_CONTEXT || way == BY_ACCEPT || way == TWICE);
    SSL_CONF_CTX *conf;

    if (way == IN_HELLO)
        SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    if (way == BY_CONF) {
        conf = SSL_CONF_CTX_new();
        SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER | SSL_CONF_FLAG_CERTIFICATE);
        SSL_CONF_CTX_set_ssl_ctx(conf, ctx);
        if (SSL_CONF_cmd(conf, "VerifyMode", "Require") != 2 || SSL_CONF_CTX_finish(conf) != 1)
            ts_bail("SSL_CONF_cmd() failed");
        SSL_CONF_CTX_free(conf);
    }
    return ctx;
}

static ts_conn *visit(SSL_CTX *ctx, SSL_CTX *other, enum way way, SSL_CTX *cli, SSL_SESSION *offer)
{
    ts_conn *c = ts_conn_new(ctx, cli, offer);
    SSL *ssl = SSL_new(way == SWITCHED ? other : ctx);

    if (ssl == NULL)
        ts_bail("no SSL");
    switch (way) {
    case BEFORE_ACCEPT:
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
        SSL_set_accept_state(ssl);
        break;
    case AFTER_ACCEPT:
        SSL_set_accept_state(ssl);
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
        break;
    case SWITCHED:
        SSL_set_accept_state(ssl);
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
        SSL_set_SSL_CTX(ssl, ctx);
        break;
    case TWICE:
        SSL_set_accept_state(ssl);
        if (SSL_set_session_id_context(ssl, (const unsigned char *)"own", 3) != 1
            || SSL_set_session_id_context(ssl, NULL, 0) != 1)
            ts_bail("cannot set a session id context");
        SSL_set_verify(ssl, TS_DEMANDS, NULL);
        break;
    case BY_ACCEPT:
        break;
    default:
        SSL_set_accept_state(ssl);
    }
    ts_conn_server_is(c, ssl);
    if (way == BY_ACCEPT)
        SSL_accept(ssl);
    ts_conn_handshake(c);
    return c;
}

static const char *aborts(ts_proto p)
{
    (void)p;
    return "failed, server sent internal_error";
}

static void way_of(ts_proto p, enum way way)
{
    SSL_CTX *ctx = prepare(p, way), *other = server(p, 0), *cli = ts_client_with(p, member);
    SSL_SESSION *ticket;
    ts_conn *c = visit(ctx, other, way, cli, NULL);

    ts_is_str(ts_outcome(c), ts_full(p), "%s, %s: full", ts_proto_name(p), ways[way]);
    ticket = ts_session(c);
    ts_conn_free(c);
    for (int i = 0; i < 2; i++) {
        c = visit(ctx, other, way, cli, ticket);
        ts_is_str(ts_outcome(c), ts_shim_expected() ? ts_resumed(p) : aborts(p), "its ticket");
        if (c->established)
            ts_ok(SSL_get_verify_result(c->server.ssl) == X509_V_OK
                  && SSL_session_reused(c->server.ssl), "the client is who it was");
        ts_conn_free(c);
    }
    SSL_SESSION_free(ticket);
    SSL_CTX_free(ctx);
    SSL_CTX_free(other);
    SSL_CTX_free(cli);
}

/* ---- programs that count on being called --------------------------------------------- */

/*
 * A program that notes in its callback who has shown a certificate, as Dovecot
 * does, has never seen a resumed client: stock ends such handshakes. Under the
 * library they are full ones, in which the callback is called.
 */
static int called;

static int notes(int ok, X509_STORE_CTX *store)
{
    (void)store;
    called++;
    return ok;
}

static int verifies(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    called++;
    return X509_verify_cert(store);
}

enum note {
    OF_CONTEXT,                   /* SSL_CTX_set_verify() */
    OF_CONNECTION,                /* SSL_set_verify(), once it is a server */
    OF_STORE,                     /* X509_STORE_set_verify_cb() */
    WHOLE,                        /* SSL_CTX_set_cert_verify_callback() */
    WHOLE_LATE,                   /* … when there is an SSL that has a session id context */
    N_NOTES
};

static const char *const noted[N_NOTES] = {
    "callback of the context", "callback of the connection", "callback of the store", "callback for all of it",
    "callback for all of it, set late",
};

static ts_conn *noted_visit(SSL_CTX *ctx, SSL_CTX *cli, enum note note, SSL_SESSION *offer)
{
    ts_conn *c = ts_conn_new(ctx, cli, offer);

    SSL_set_accept_state(c->server.ssl);
    if (note == OF_CONNECTION)
        SSL_set_verify(c->server.ssl, TS_DEMANDS, notes);
    if (note == WHOLE_LATE)
        SSL_CTX_set_cert_verify_callback(ctx, verifies, NULL);
    called = 0;
    ts_conn_handshake(c);
    return c;
}

static void counts_on_calls(ts_proto p, enum note note)
{
    SSL_CTX *ctx = server(p, 1), *cli = ts_client_with(p, member);
    SSL_SESSION *ticket;
    ts_conn *c;

    if (note == OF_CONTEXT)
        SSL_CTX_set_verify(ctx, TS_DEMANDS, notes);
    if (note == OF_STORE)
        X509_STORE_set_verify_cb(SSL_CTX_get_cert_store(ctx), notes);
    if (note == WHOLE)
        SSL_CTX_set_cert_verify_callback(ctx, verifies, NULL);
    c = noted_visit(ctx, cli, note, NULL);
    ts_is_str(ts_outcome(c), ts_full(p), "%s, %s: full", ts_proto_name(p), noted[note]);
    ticket = ts_session(c);
    ts_conn_free(c);
    for (int i = 0; i < 2; i++) {
        if (note == WHOLE_LATE)
            SSL_CTX_set_cert_verify_callback(ctx, NULL, NULL);
        c = noted_visit(ctx, cli, note, ticket);
        ts_is_str(ts_outcome(c), ts_shim_expected() ? ts_full(p) : aborts(p), "its ticket");
        ts_ok(!c->established || called > 0, "the program saw who it is");
        ts_conn_free(c);
    }
    SSL_SESSION_free(ticket);
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
}

/* ---- what stays as it is --------------------------------------------------------- */

static void id_of(const ts_conn *c, const char *want, const char *what)
{
    unsigned int len;
    const unsigned char *id = SSL_SESSION_get0_id_context(SSL_get_session(c->server.ssl), &len);

    ts_is_mem(id, len, want, strlen(want), "%s", what);
}

/* The program's own: before, after, of the context, of a context that is switched to. */
static void programs_own(ts_proto p)
{
    SSL_CTX *ctx = server(p, 1), *named = server(p, 1), *open = server(p, 0), *cli = ts_client_with(p, member);
    ts_conn *c;

    for (int i = 0; i < 4; i++) {
        SSL *ssl = SSL_new(ctx);

        c = ts_conn_new(ctx, cli, NULL);
        if (i == 0)
            SSL_set_session_id_context(ssl, (const unsigned char *)"own", 3);
        SSL_set_accept_state(ssl);
        if (i == 1)
            SSL_set_session_id_context(ssl, (const unsigned char *)"own", 3);
        if (i == 2)
            SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        if (i == 3) {
            SSL_CTX_set_session_id_context(named, (const unsigned char *)"own", 3);
            SSL_set_SSL_CTX(ssl, named);
        }
        ts_conn_server_is(c, ssl);
        ts_conn_handshake(c);
        id_of(c, i == 2 ? "" : "own", i == 0 ? "set before: the program's" : i == 1 ? "set after: the program's"
              : i == 2 ? "a server that does not verify any more: none" : "switched to a context that has one: its");
        ts_conn_free(c);
    }
    c = ts_connect(open, cli, NULL);
    id_of(c, "", "a server that does not verify: none");
    ts_conn_free(c);
    SSL_CTX_free(ctx);
    SSL_CTX_free(named);
    SSL_CTX_free(open);
    SSL_CTX_free(cli);
}

/* One SSL_CTX for both roles, and a session that was saved to a file before: clients compare their contexts. */
static void both_roles(ts_proto p)
{
    SSL_CTX *both = server(p, 1);
    SSL_SESSION *saved, *copy;
    unsigned int len;
    ts_conn *c;

    ts_use_cert(both, member, NULL, 0);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(both), ts_ca()->x509) != 1)
        ts_bail("cannot trust a CA");
    c = ts_connect(both, both, NULL);
    saved = SSL_get1_session(c->client.ssl);
    ts_conn_free(c);
    SSL_SESSION_get0_id_context(saved, &len);
    ts_is_int(len, 0, "%s: a client's session has no session id context", ts_proto_name(p));
    copy = ts_der_copy(saved);
    c = ts_connect(both, both, copy);
    ts_is_str(ts_outcome(c), ts_shim_expected() ? ts_resumed(p) : aborts(p), "saved and loaded");
    ts_conn_free(c);
    SSL_SESSION_free(saved);
    SSL_SESSION_free(copy);
    SSL_CTX_free(both);
}

/* An SSL that was to be a server, and is a client: its session is one of no session id context. */
static void becomes_a_client(ts_proto p)
{
    SSL_CTX *srv = ts_server_ctx(p), *cli = ts_client_ctx(p);
    ts_conn *c = ts_conn_new(srv, cli, NULL);
    unsigned int len;

    SSL_set_accept_state(c->client.ssl);
    SSL_set_connect_state(c->client.ssl);
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), ts_full(p), "%s: a client that was to be a server", ts_proto_name(p));
    SSL_SESSION_get0_id_context(SSL_get_session(c->client.ssl), &len);
    ts_is_int(len, 0, "its session has no session id context");
    ts_conn_free(c);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* Another context's tickets are not its. */
static void elsewhere(ts_proto p)
{
    SSL_CTX *one = server(p, 1), *two = server(p, 1), *cli = ts_client_with(p, member);
    SSL_SESSION *ticket = ts_fresh_session(one, cli);
    ts_conn *c = ts_connect(two, cli, ticket);

    ts_is_str(ts_outcome(c), ts_full(p), "%s: at another context: full", ts_proto_name(p));
    ts_conn_free(c);
    SSL_SESSION_free(ticket);
    SSL_CTX_free(one);
    SSL_CTX_free(two);
    SSL_CTX_free(cli);
}

int main(void)
{
    ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    member = ts_cert_new("member", ca, 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        for (int way = 0; way < N_WAYS; way++)
            way_of(*p, (enum way)way);
        for (int note = 0; note < N_NOTES; note++)
            counts_on_calls(*p, (enum note)note);
        programs_own(*p);
        both_roles(*p);
        becomes_a_client(*p);
        elsewhere(*p);
    }
    ts_expect_core_min(24, 24);
    ts_cert_free(ca);
    ts_cert_free(member);
    return ts_done();
}
