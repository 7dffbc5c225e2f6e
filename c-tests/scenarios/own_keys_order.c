/*
 * own_keys_order.c: several doors used on one context. Which keys are in force
 * then is libssl's rule, and the shim must not bend it:
 *
 *     the evp callback; else the old callback; else the raw keys.
 *
 * Each step says who must have made the ticket now; ts_opens_by_hand() knows.
 * "The core" is libssl's random keys in stock. The core comes back only to a
 * context whose raw keys nobody has set or read: else a program that shares
 * them would find its tickets unknown elsewhere.
 *
 * In each kind of context: the core's own callback is in one of the two places.
 */
#include <string.h>

#include "ts.h"

typedef enum who { EVP, OLD, RAW, CORE, N_WHO } who;

static const char *const who_names[] = { "evp callback", "old callback",
                                         "raw keys", "nobody's own" };

typedef enum act {
    SET_EVP, SET_OLD, SET_RAW, GET_RAW, NULL_EVP, NULL_OLD,
    END                       /* of a row: zero would be SET_EVP */
} act;

static const char *const act_names[] = { "evp set", "old set", "raw set",
                                         "raw got", "evp NULL", "old NULL" };

#define MAX_STEPS 6

/* What is done, and who makes the tickets after it. */
typedef struct row {
    struct { act act; who in_force; } step[MAX_STEPS];
} row;

static const row rows[] = {
    /* The evp callback is preferred, whichever came first. */
    { { { SET_OLD, OLD }, { SET_EVP, EVP }, { NULL_EVP, OLD },
        { NULL_OLD, CORE }, { END, CORE } } },
    { { { SET_EVP, EVP }, { SET_OLD, EVP }, { NULL_OLD, EVP },
        { NULL_EVP, CORE }, { END, CORE } } },
    { { { SET_EVP, EVP }, { SET_OLD, EVP }, { NULL_EVP, OLD },
        { SET_EVP, EVP }, { END, CORE } } },
    /* Taking out one that was never set: also from where the core's own is. */
    { { { NULL_OLD, CORE }, { NULL_EVP, CORE }, { NULL_OLD, CORE },
        { END, CORE } } },
    { { { SET_OLD, OLD }, { NULL_EVP, OLD }, { NULL_OLD, CORE },
        { END, CORE } } },
    { { { SET_EVP, EVP }, { NULL_OLD, EVP }, { NULL_EVP, CORE },
        { END, CORE } } },
    /* Raw keys set while a callback is in force: it stays; after it, they. */
    { { { SET_EVP, EVP }, { SET_RAW, EVP }, { NULL_EVP, RAW }, { END, CORE } } },
    { { { SET_OLD, OLD }, { SET_RAW, OLD }, { NULL_OLD, RAW }, { END, CORE } } },
    /* A callback over raw keys, and out again. */
    { { { SET_RAW, RAW }, { SET_EVP, EVP }, { NULL_EVP, RAW },
        { NULL_OLD, RAW }, { END, CORE } } },
    { { { SET_RAW, RAW }, { SET_OLD, OLD }, { NULL_OLD, RAW }, { END, CORE } } },
    /* Raw keys read: from then on they are the program's own. */
    { { { GET_RAW, RAW }, { NULL_EVP, RAW }, { NULL_OLD, RAW },
        { END, CORE } } },
    { { { SET_EVP, EVP }, { GET_RAW, EVP }, { NULL_EVP, RAW }, { END, CORE } } },
    { { { GET_RAW, RAW }, { SET_OLD, OLD }, { SET_EVP, EVP },
        { NULL_OLD, EVP }, { NULL_EVP, RAW }, { END, CORE } } },
    /* Back and forth. */
    { { { SET_RAW, RAW }, { SET_RAW, RAW }, { GET_RAW, RAW }, { END, CORE } } },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

typedef struct rig {
    char name[48];
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_own_keys own[N_WHO];   /* one for each of EVP, OLD, RAW */
} rig;

static int do_act(rig *r, act a)
{
    switch (a) {
    case SET_EVP: ts_use_own_keys(r->srv, TS_DOOR_EVP_CB, &r->own[EVP]); break;
    case SET_OLD: ts_use_own_keys(r->srv, TS_DOOR_OLD_CB, &r->own[OLD]); break;
    case SET_RAW: ts_use_own_keys(r->srv, TS_DOOR_RAW, &r->own[RAW]); break;
    case GET_RAW: return ts_get_raw_keys(r->srv, &r->own[RAW].keys);
    case NULL_EVP: return ts_key_cb_set(r->srv, TS_DOOR_EVP_CB, 0);
    case NULL_OLD: return ts_key_cb_set(r->srv, TS_DOOR_OLD_CB, 0);
    case END: break;
    }
    return 1;
}

/* Whose keys open this ticket? CORE when none of the application's do. */
static who made_by(const rig *r, const SSL_SESSION *ss)
{
    for (int i = EVP; i < CORE; i++)
        if (ts_opens_by_hand(&r->own[i].keys, ss))
            return (who)i;
    return CORE;
}

static void step_is(rig *r, who in_force, const char *steps)
{
    ts_conn *c = ts_connect(r->srv, r->cli, NULL);
    SSL_SESSION *ss = ts_session(c);
    int core = in_force == CORE;

    ts_is_str(ts_outcome(c), ts_full(r->proto), "%s: %s", r->name, steps);
    ts_is_str(who_names[made_by(r, ss)], who_names[in_force],
              "%s: … the ticket is %s's", r->name, who_names[in_force]);
    if (core)
        ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    c = ts_connect(r->srv, r->cli, ss);
    ts_ok(c->established && c->server.resumed, "%s: … and it resumes", r->name);
    if (core)
        ts_expect_core(c->tickets, 0);
    ts_expect_contexts(1 + core, !core, steps);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
}

static void one_row(ts_kind kind, ts_proto proto, const row *row)
{
    char steps[120] = "";
    rig r = { .proto = proto };

    BIO_snprintf(r.name, sizeof(r.name), "%s, %s", ts_proto_name(proto),
                 ts_kind_name(kind));
    r.srv = ts_server_ctx_of(kind, proto);
    r.cli = ts_client_ctx(proto);
    for (int i = 0; i < N_WHO; i++) {
        r.own[i].open_return = 1;
        ts_raw_keys_make(&r.own[i].keys, (unsigned char)(50 + i));
    }
    for (int i = 0; i < MAX_STEPS && row->step[i].act != END; i++) {
        BIO_snprintf(steps + strlen(steps), sizeof(steps) - strlen(steps),
                     "%s%s", i > 0 ? ", " : "", act_names[row->step[i].act]);
        if (do_act(&r, row->step[i].act) != 1)
            ts_bail("%s: libssl refuses", steps);
        step_is(&r, row->step[i].in_force, steps);
    }
    SSL_CTX_free(r.srv);
    SSL_CTX_free(r.cli);
    ts_expect_contexts(0, 0, "a row's end");
}

int main(void)
{
    if (!ts_have_door(TS_DOOR_EVP_CB) || !ts_have_door(TS_DOOR_OLD_CB)) {
        ts_ok(1, "n/a: this OpenSSL has one callback only");
        ts_expect_core_unused();
        return ts_done();
    }
    for (ts_kind kind = TS_PLAIN; kind < TS_N_KINDS; kind++)
        for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
            for (size_t i = 0; i < N_ROWS; i++)
                one_row(kind, *p, &rows[i]);
    return ts_done();
}
