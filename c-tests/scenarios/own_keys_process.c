/*
 * own_keys_process.c: the same 80 bytes in two processes, one of which never
 * has the shim: a ticket of either resumes at the other. This program runs
 * itself again for the second process ("issue" and "resume"), which uses
 * SSL_CTX_set_tlsext_ticket_keys().
 */
#include <string.h>

#include "ts.h"

/* What is handed over: protocol, keys, and a session's DER up to the end. */
typedef struct parcel {
    ts_proto proto;
    ts_raw_keys keys;
    size_t len;
    unsigned char der[8192];
} parcel;

#define PARCEL_SIZE(p) (offsetof(parcel, der) + (p)->len)

static void put_session(parcel *p, SSL_SESSION *ss)
{
    unsigned char *out = p->der;
    int n = i2d_SSL_SESSION(ss, NULL);

    if (n <= 0 || (size_t)n > sizeof(p->der))
        ts_bail("a session of %d bytes", n);
    p->len = (size_t)i2d_SSL_SESSION(ss, &out);
}

static SSL_SESSION *get_session(const parcel *p)
{
    const unsigned char *in = p->der;
    SSL_SESSION *ss = d2i_SSL_SESSION(NULL, &in, (long)p->len);

    if (ss == NULL)
        ts_bail("no session was handed over");
    return ss;
}

/* ---- the second process ------------------------------------------------------- */

static int second_process(const char *role)
{
    static parcel p;
    SSL_CTX *srv, *cli;
    SSL_SESSION *ss;
    ts_conn *c;
    const char *said;

    if (ts_shim_loaded())
        ts_bail("the second process has the shim");
    if (ts_child_input((unsigned char *)&p, sizeof(p)) < offsetof(parcel, der))
        ts_bail("nothing was handed over");
    srv = ts_server_ctx(p.proto);
    cli = ts_client_ctx(p.proto);
    if (ts_set_raw_keys(srv, &p.keys) != 1)
        ts_bail("cannot set the keys");
    if (strcmp(role, "issue") == 0) {
        ss = ts_fresh_session(srv, cli);
        put_session(&p, ss);
        ts_child_output(&p, PARCEL_SIZE(&p));
    } else {
        ss = get_session(&p);
        c = ts_connect(srv, cli, ss);
        said = ts_outcome(c);
        ts_child_output(said, strlen(said));
        ts_conn_free(c);
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    return 0;
}

/* ---- the first ---------------------------------------------------------------- */

static void ask(ts_child *child, const char *role, const parcel *p)
{
    memset(child, 0, sizeof(*child));
    child->role = role;
    child->stock = 1;
    child->in = p;
    child->in_len = PARCEL_SIZE(p);
    ts_child_run(child);
    if (child->exit_code != 0)
        ts_bail("the second process: exit code %d", child->exit_code);
}

/* `how`: which door the keys came through here, or were read. */
static void both_ways(ts_proto proto, SSL_CTX *srv, const ts_raw_keys *keys,
                      const char *resumed, const char *how)
{
    static parcel p;
    const char *name = ts_proto_name(proto);
    SSL_CTX *cli = ts_client_ctx(proto);
    SSL_SESSION *ss = ts_fresh_session(srv, cli);
    ts_child child;
    ts_conn *c;

    p.proto = proto;
    p.keys = *keys;
    put_session(&p, ss);
    ask(&child, "resume", &p);
    ts_is_str((char *)child.out, ts_resumed(proto),
              "%s, %s: our ticket resumes in a process without the shim", name,
              how);
    ts_child_free(&child);
    SSL_SESSION_free(ss);

    p.len = 0;
    ask(&child, "issue", &p);
    memcpy(&p, child.out, child.out_len);
    ts_child_free(&child);
    ss = get_session(&p);
    ts_ok(ts_opens_by_hand(keys, ss), "%s, %s: its ticket opens by hand", name,
          how);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), resumed, "%s, %s: … and resumes here", name, how);
    ts_conn_free(c);
    SSL_SESSION_free(ss);

    /* With other keys it would not have. */
    ts_raw_keys_make(&p.keys, 200);
    ask(&child, "issue", &p);
    memcpy(&p, child.out, child.out_len);
    ts_child_free(&child);
    ss = get_session(&p);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_full(proto),
              "%s, %s: one of other keys does not", name, how);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(cli);
}

static void door(ts_proto proto, ts_door door)
{
    ts_own_keys own = { .open_return = 1 };
    SSL_CTX *srv = ts_server_ctx(proto);

    ts_raw_keys_make(&own.keys, 33);
    ts_use_own_keys(srv, door, &own);
    both_ways(proto, srv, &own.keys, door == TS_DOOR_RAW ? ts_resumed(proto)
              : "resumed, 0 tickets", ts_door_name(door));
    SSL_CTX_free(srv);
}

static void keys_read(ts_proto proto)
{
    ts_raw_keys keys;
    SSL_CTX *srv = ts_server_ctx(proto);

    if (ts_get_raw_keys(srv, &keys) != 1)
        ts_bail("cannot get the raw keys");
    both_ways(proto, srv, &keys, ts_resumed(proto), "raw keys read");
    SSL_CTX_free(srv);
}

int main(int argc, char **argv)
{
    static const ts_door doors[] = { TS_DOOR_EVP_CB, TS_DOOR_OLD_CB,
                                     TS_DOOR_RAW };

    if (argc > 1)
        return second_process(argv[1]);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
            if (ts_have_door(doors[i]))
                door(*p, doors[i]);
            else
                ts_note("n/a: no %s in this OpenSSL", ts_door_name(doors[i]));
        }
        keys_read(*p);
    }
    ts_expect_core_unused();
    return ts_done();
}
