/*
 * modes.c: TICKETSHIM_MODE. Each run below is one value of it.
 *
 * ts-run: TICKETSHIM_MODE=off
 * ts-run: TICKETSHIM_MODE=enforce TICKETSHIM_LOG=off
 * ts-run: TICKETSHIM_MODE=bogus TICKETSHIM_LOG=off
 */
#include <stdlib.h>
#include <string.h>

#include "ts.h"

typedef struct rig {
    const char *name;
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_cb cb;
    ts_own_keys own;
} rig;

static void rig_up(rig *r, ts_proto proto)
{
    static const ts_cb init = TS_CB_INIT;

    memset(r, 0, sizeof(*r));
    r->proto = proto;
    r->name = ts_proto_name(proto);
    r->srv = ts_server_ctx(proto);
    r->cli = ts_client_ctx(proto);
    r->cb = init;
    r->cb.appdata = "in every mode";
    r->cb.appdata_len = 13;
    r->own.open_return = 1;
    ts_raw_keys_make(&r->own.keys, 5);
    ts_cb_install(r->srv, &r->cb);
}

static void rig_down(rig *r)
{
    SSL_CTX_free(r->srv);
    SSL_CTX_free(r->cli);
    ts_cb_reset(&r->cb);
}

/* Full and resumed, with appdata; by the core? by the application's keys? */
static void round_trip(rig *r, int core, int own, const char *resumed,
                       const char *what)
{
    ts_conn *c = ts_connect(r->srv, r->cli, NULL);
    SSL_SESSION *ss = ts_session(c);

    ts_is_str(ts_outcome(c), ts_full(r->proto), "%s: %s", r->name, what);
    ts_is_int(ts_opens_by_hand(&r->own.keys, ss), own,
              "%s: … the ticket %s by hand with the application's keys",
              r->name, own ? "opens" : "does not open");
    if (core)
        ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    c = ts_connect(r->srv, r->cli, ss);
    ts_is_str(ts_outcome(c), resumed, "%s: … and resumes: %s", r->name, resumed);
    if (core)
        ts_expect_core(c->tickets, 0);
    ts_is_mem(r->cb.seen, r->cb.seen_len, "in every mode", 13,
              "%s: … with its appdata", r->name);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "%s: … and no call left an error", r->name);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
}

static const ts_door doors[] = { TS_DOOR_EVP_CB, TS_DOOR_OLD_CB, TS_DOOR_RAW };
#define N_DOORS (sizeof(doors) / sizeof(doors[0]))

/* ---- off: the three functions work, the tickets are libssl's ------------------- */

static void off(ts_proto proto)
{
    rig r;

    rig_up(&r, proto);
    ts_expect_contexts(0, 0, "mode off");
    round_trip(&r, 0, 0, ts_resumed(proto), "off");
    /* libssl's own keys: those that it tells. */
    ts_is_int(ts_get_raw_keys(r.srv, &r.own.keys), 1, "%s: GET", r.name);
    round_trip(&r, 0, 1, ts_resumed(proto), "off, keys read");
    ts_raw_keys_make(&r.own.keys, 9);
    for (size_t i = 0; i < N_DOORS; i++) {
        if (!ts_have_door(doors[i]))
            continue;
        ts_use_own_keys(r.srv, doors[i], &r.own);
        /* The callbacks stay in force when raw keys are set at last. */
        round_trip(&r, 0, 1, "resumed, 0 tickets", ts_door_name(doors[i]));
    }
    ts_expect_contexts(0, 0, "mode off, own keys");
    rig_down(&r);
}

/* ---- enforce: the application's keys have no effect ------------------------------ */

static void enforce(ts_proto proto)
{
    ts_raw_keys got;
    rig r;

    rig_up(&r, proto);
    for (size_t i = 0; i < N_DOORS; i++) {
        if (!ts_have_door(doors[i]))
            continue;
        ts_use_own_keys(r.srv, doors[i], &r.own);
        ts_expect_contexts(2, 0, "enforce");
        round_trip(&r, 1, 0, ts_resumed(proto), ts_door_name(doors[i]));
    }
    ts_is_int(r.own.sealed + r.own.opened + r.own.unknown, 0,
              "%s: the application's callbacks are never called", r.name);
    ts_is_int(ts_get_raw_keys(r.srv, &got), 1, "%s: GET is answered", r.name);
    for (size_t i = 0; i < N_DOORS; i++)
        if (ts_have_door(doors[i]) && doors[i] != TS_DOOR_RAW)
            ts_is_int(ts_key_cb_set(r.srv, doors[i], 0), 1,
                      "%s: %s: NULL is answered", r.name,
                      ts_door_name(doors[i]));
    ts_expect_contexts(2, 0, "enforce, after NULL");
    round_trip(&r, 1, 0, ts_resumed(proto), "after GET and NULL");
    rig_down(&r);
}

/* ---- bogus: one clear line, and the default -------------------------------------- */

static int lines(const char *text)
{
    int n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/*
 * What a process writes to stderr: nothing when the library is only loaded, as
 * it is into shells and helpers, nor from a client; the lines when it shows that
 * it serves.
 */
static void lines_are(const char *setting, const char *role, int expected)
{
    const char *env[] = { setting, "TICKETSHIM_LOG=warn", NULL };
    ts_child child = { .role = role, .env = env, .keep_stderr = 1 };

    ts_child_run(&child);
    ts_is_int(child.exit_code, 0, "%s, %s: the program runs", setting, role);
    ts_is_int((long)child.out_len, 0, "%s, %s: … nothing on stdout", setting,
              role);
    ts_is_int(lines(child.err), expected, "%s, %s: … lines on stderr: %d",
              setting, role, expected);
    if (expected > 0)
        ts_ok(strncmp(child.err, "ticketshim:", 11) == 0
              && strstr(child.err, setting) != NULL
              && strstr(child.err, "default") != NULL,
              "%s: … which says who, what, and what is done instead", setting);
    ts_diag("%s, %s: %s", setting, role, child.err);
    ts_child_free(&child);
}

static void bogus(ts_proto proto)
{
    rig r;

    rig_up(&r, proto);
    ts_expect_contexts(2, 0, "bogus: as without");
    round_trip(&r, 1, 0, ts_resumed(proto), "bogus is the default");
    ts_use_own_keys(r.srv, TS_DOOR_RAW, &r.own);
    ts_expect_contexts(1, 1, "bogus: the application's keys win");
    round_trip(&r, 0, 1, ts_resumed(proto), "bogus is not enforce");
    rig_down(&r);
}

static int alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                const unsigned char *in, unsigned inlen, void *arg)
{
    (void)ssl, (void)out, (void)outlen, (void)in, (void)inlen, (void)arg;
    return SSL_TLSEXT_ERR_NOACK;
}

int main(int argc, char **argv)
{
    const char *mode = getenv("TICKETSHIM_MODE");

    if (argc > 1) { /* the roles in lines_are() */
        for (int i = 0; i < 2 && strcmp(argv[1], "no context") != 0; i++) {
            SSL_CTX *ctx = SSL_CTX_new(strcmp(argv[1], "two servers") == 0 ? TLS_server_method()
                                       : strcmp(argv[1], "two clients") == 0 ? TLS_client_method()
                                                                             : TLS_method());

            if (strcmp(argv[1], "ALPN") == 0)
                SSL_CTX_set_alpn_select_cb(ctx, alpn, NULL);
            if (strcmp(argv[1], "session tickets") == 0)
                SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, NULL, NULL);
            if (strcmp(argv[1], "session cache") == 0)
                SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
            if (strcmp(argv[1], "session id context") == 0)
                SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"mine", 4);
            SSL_CTX_free(ctx);
        }
        return 0;
    }
    if (mode == NULL)
        ts_bail("run me with TICKETSHIM_MODE (c-tests/run does)");
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        if (strcmp(mode, "off") == 0)
            off(*p);
        else if (strcmp(mode, "enforce") == 0)
            enforce(*p);
        else
            bogus(*p);
    }
    if (strcmp(mode, "off") == 0) {
        ts_expect_core_unused();
    } else if (strcmp(mode, "bogus") == 0) {
        lines_are("TICKETSHIM_MODE=bogus", "no context", 0);
        lines_are("TICKETSHIM_MODE=bogus", "two contexts", 0);
        lines_are("TICKETSHIM_MODE=bogus", "two clients", 0);
        lines_are("TICKETSHIM_MODE=bogus", "two servers", 1);
        lines_are("TICKETSHIM_MODE=bogus", "ALPN", 1);
        lines_are("TICKETSHIM_MODE=bogus", "session tickets", 1);
        lines_are("TICKETSHIM_MODE=bogus", "session cache", 1);
        lines_are("TICKETSHIM_MODE=bogus", "session id context", 1);
        lines_are("TICKETSHIM_MODE=on", "two servers", 1);
        lines_are("TICKETSHIM_MODE=default", "two servers", 0);
        lines_are("TICKETSHIM_MODE=", "two servers", 0);
    }
    return ts_done();
}
