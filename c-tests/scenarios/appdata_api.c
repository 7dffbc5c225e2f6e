/*
 * appdata_api.c: SSL_SESSION_set1_ticket_appdata() and
 * SSL_SESSION_get0_ticket_appdata() on sessions, without a ticket in between.
 */
#include <string.h>

#include "ts.h"

/* What get0 says of `ss`, against what it should; 0 bytes means NULL. */
static void has(SSL_SESSION *ss, const char *want, const char *what)
{
    void *data = (void *)ss; /* not NULL: get0 must overwrite it */
    size_t len = 12345;

    ts_is_int(SSL_SESSION_get0_ticket_appdata(ss, &data, &len), 1,
              "%s: get0 returns 1", what);
    ts_is_mem(data, len, want, strlen(want), "%s: \"%s\"", what, want);
    ts_is_int(data == NULL, *want == '\0', "%s: the pointer is %s", what,
              *want == '\0' ? "NULL" : "not NULL");
}

static void set(SSL_SESSION *ss, const void *data, size_t len, const char *what)
{
    ts_is_int(SSL_SESSION_set1_ticket_appdata(ss, data, len), 1,
              "%s: set1 returns 1", what);
}

static void set_and_get(void)
{
    SSL_SESSION *ss = SSL_SESSION_new();
    char buf[] = "mine";
    void *a, *b;
    size_t len;

    has(ss, "", "a new session");
    set(ss, buf, 4, "four bytes");
    memcpy(buf, "else", 4); /* "set1": it has taken a copy */
    has(ss, "mine", "after the caller's buffer changed");
    SSL_SESSION_get0_ticket_appdata(ss, &a, &len);
    SSL_SESSION_get0_ticket_appdata(ss, &b, &len);
    ts_ok(a == b, "\"get0\": the same pointer each time, not a copy");
    set(ss, "another text", 12, "set again");
    has(ss, "another text", "after set again");
    set(ss, NULL, 0, "NULL and 0");
    has(ss, "", "after NULL and 0");
    set(ss, "x", 1, "one byte");
    set(ss, "ignored", 0, "a pointer and 0");
    has(ss, "", "after a pointer and 0");
    set(ss, "x", 1, "one byte");
    set(ss, NULL, 5, "NULL and 5");
    has(ss, "", "after NULL and 5");
    SSL_SESSION_free(ss);
}

/* A server's session that has seen a handshake, with appdata. */
static SSL_SESSION *server_session(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    ts_conn *c = ts_connect(srv, cli, NULL);
    SSL_SESSION *ss = SSL_get1_session(c->server.ssl);

    ts_expect_core(c->tickets, 0);
    if (SSL_SESSION_set1_ticket_appdata(ss, "kept", 4) != 1)
        ts_bail("cannot set appdata");
    ts_conn_free(c);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    return ss;
}

static void copies(ts_proto proto)
{
    SSL_SESSION *ss = server_session(proto), *copy;

    ts_note("%s", ts_proto_name(proto));
    copy = SSL_SESSION_dup(ss);
    has(copy, "kept", "SSL_SESSION_dup()");
    set(ss, "changed", 7, "the original");
    has(copy, "kept", "the copy, when the original changes");
    SSL_SESSION_free(ss);
    has(copy, "kept", "the copy, when the original is gone");
    ss = ts_der_copy(copy);
    has(ss, "kept", "i2d_SSL_SESSION() and d2i_SSL_SESSION()");
    set(copy, NULL, 0, "the copy");
    has(ss, "kept", "the decoded one, when the copy is cleared");
    SSL_SESSION_free(ss);
    ss = ts_der_copy(copy);
    has(ss, "", "none, through i2d and d2i");
    SSL_SESSION_free(ss);
    ss = SSL_SESSION_dup(copy);
    has(ss, "", "none, through SSL_SESSION_dup()");
    SSL_SESSION_free(ss);
    SSL_SESSION_free(copy);
}

/* What a resumed connection's session says, after dec_cb's time. */
static void after_resumption(ts_proto proto)
{
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;
    ts_conn *c;

    cb.appdata = "from the ticket";
    cb.appdata_len = 15;
    ts_cb_install(srv, &cb);
    ss = ts_fresh_session(srv, cli);
    ts_note("%s", ts_proto_name(proto));
    /* No callbacks now: the data is in the session all the same. */
    SSL_CTX_set_session_ticket_cb(srv, NULL, NULL, NULL);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), proto == TS_TLS13 ? "resumed, 1 ticket"
              : "resumed, 0 tickets", "resumed without callbacks");
    has(SSL_get_session(c->server.ssl), "from the ticket",
        "the resumed session");
    ts_expect_core(ts_full_tickets(proto) + c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

int main(void)
{
    set_and_get();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        copies(*p);
        after_resumption(*p);
    }
    return ts_done();
}
