/*
 * binding_changes.c: a context that is changed between two connections. Tickets
 * from before the change are for what it was, at once; changed back, they open.
 */
#include <string.h>

#include "ts.h"

#define NAME "shop.example"

static ts_cert *ca[2], *client, *other_cert;

/* The two states of a context that a change leads between. */
typedef struct change {
    const char *what;
    void (*set)(SSL_CTX *ctx, int new);
    int named;                    /* does it count with a server name? */
    ts_fate stock, shim;
    ts_fate back;                 /* under the shim, when it is undone */
} change;

static void verify_mode(SSL_CTX *ctx, int new)
{
    SSL_CTX_set_verify(ctx, new ? SSL_VERIFY_PEER
                       | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
}

static void verify_optional(SSL_CTX *ctx, int new)
{
    SSL_CTX_set_verify(ctx, new ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
}

static void names_only(SSL_CTX *ctx, int new)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca[new]->x509));

    if (names == NULL || name == NULL || sk_X509_NAME_push(names, name) != 1)
        ts_bail("cannot make a list of names");
    SSL_CTX_set_client_CA_list(ctx, names);
}

/* The same, and clients are asked. */
static void ca_list(SSL_CTX *ctx, int new)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    names_only(ctx, new);
}

/* The second name comes first, or last. */
static void ca_order(SSL_CTX *ctx, int new)
{
    ca_list(ctx, new);
    if (SSL_CTX_add_client_CA(ctx, ca[!new]->x509) != 1)
        ts_bail("cannot add a client CA");
}

static void depth(SSL_CTX *ctx, int new)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(ctx, new ? 3 : 2);
}

/* A store can't lose a certificate again, so each state has one of its own. */
static void trust(SSL_CTX *ctx, int new)
{
    X509_STORE *store = X509_STORE_new();

    if (store == NULL || X509_STORE_add_cert(store, ca[0]->x509) != 1
        || (new && X509_STORE_add_cert(store, ca[1]->x509) != 1))
        ts_bail("cannot make a store");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_store(ctx, store);
}

static void session_id_context(SSL_CTX *ctx, int new)
{
    if (SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"one\0two",
                                       new ? 7 : 3) != 1)
        ts_bail("cannot set the session id context");
}

static void certificate(SSL_CTX *ctx, int new)
{
    ts_use_cert(ctx, new ? other_cert : ts_server_cert(), NULL, 0);
}

static const change changes[] = {
    { "the verify mode", verify_mode, 1, TS_RESUMES, TS_ASKED, TS_FULL },
    { "the verify mode, optional", verify_optional, 1, TS_RESUMES, TS_ASKED,
      TS_FULL },
    { "the client CA list", ca_list, 1, TS_RESUMES, TS_ASKED, TS_ASKED },
    { "the order of the client CA list", ca_order, 1, TS_RESUMES, TS_ASKED,
      TS_ASKED },
    { "the client CA list of a server that asks nobody", names_only, 0, TS_RESUMES,
      TS_RESUMES, TS_RESUMES },
    { "the depth of chains", depth, 1, TS_RESUMES, TS_ASKED, TS_ASKED },
    { "the client CAs that are trusted", trust, 1, TS_RESUMES, TS_ASKED, TS_ASKED },
    { "the session id context", session_id_context, 1, TS_FULL, TS_FULL,
      TS_FULL },
    { "the certificate", certificate, 0, TS_RESUMES, TS_FULL, TS_FULL },
};

static void one_change(ts_proto p, const change *ch, const char *name)
{
    SSL_CTX *ctx = ts_server_ctx(p), *cli = ts_client_with(p, client);
    ts_journey j = { .proto = p, .from = ctx, .from_name = name,
        .to_name = name, .cli = cli };
    int counts = ch->shim != TS_RESUMES && (name == NULL || ch->named);
    SSL_SESSION *old, *new;

    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca[0]->x509) != 1)
        ts_bail("cannot trust a CA");
    ts_note("%s, %s", ch->what, name != NULL ? "named" : "no name");
    j.what = "before the change";
    ch->set(ctx, 0);
    old = ts_depart(&j);
    j.shim = TS_RESUMES;
    SSL_SESSION_free(ts_arrive(&j, old, TS_RESUMES));

    ch->set(ctx, 1);
    j.shim = counts ? ch->shim : TS_RESUMES;
    j.what = "the old ticket after it";
    new = ts_arrive(&j, old, ch->stock);
    if (counts && new != NULL) {
        j.shim = TS_RESUMES;
        j.what = "the ticket that came instead";
        SSL_SESSION_free(ts_arrive(&j, new, TS_RESUMES));
    }

    ch->set(ctx, 0);
    j.shim = TS_RESUMES;
    j.what = "the old ticket after the change was undone";
    SSL_SESSION_free(ts_arrive(&j, old, TS_RESUMES));
    if (counts && new != NULL) {
        j.shim = ch->back;
        j.what = "and the new one";
        SSL_SESSION_free(ts_arrive(&j, new, ch->stock));
    }
    SSL_SESSION_free(old);
    SSL_SESSION_free(new);
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
}

/* More states than a context keeps hashes of (16): all still told apart. */
static void many_changes(ts_proto p)
{
    enum { STATES = 24 };
    SSL_CTX *ctx = ts_server_ctx(p);
    SSL_SESSION *ss[STATES];
    ts_journey j = { .proto = p, .from = ctx, .from_name = NAME,
        .to_name = NAME };

    ts_note("%d states of one context", STATES);
    for (int i = 0; i < STATES; i++) {
        unsigned char id = (unsigned char)i;

        SSL_CTX_set_session_id_context(ctx, &id, 1);
        j.what = "a state of many";
        ss[i] = ts_depart(&j);
    }
    for (int i = 0; i < STATES; i++) {
        unsigned char id = (unsigned char)i;

        SSL_CTX_set_session_id_context(ctx, &id, 1);
        j.shim = TS_RESUMES;
        j.what = "its own ticket";
        SSL_SESSION_free(ts_arrive(&j, ss[i], TS_RESUMES));
        j.shim = TS_FULL;
        j.what = "the next state's";
        SSL_SESSION_free(ts_arrive(&j, ss[(i + 1) % STATES], TS_FULL));
    }
    for (int i = 0; i < STATES; i++)
        SSL_SESSION_free(ss[i]);
    SSL_CTX_free(ctx);
}

int main(void)
{
    for (int i = 0; i < 2; i++)
        ca[i] = ts_cert_new(i == 0 ? "client CA one" : "client CA two", NULL,
                            TS_CERT_CA);
    client = ts_cert_new("client", ca[0], 0);
    other_cert = ts_cert_new("server.test", ts_ca(), 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
            one_change(*p, &changes[i], NAME);
            one_change(*p, &changes[i], NULL);
        }
        many_changes(*p);
    }
    for (int i = 0; i < 2; i++)
        ts_cert_free(ca[i]);
    ts_cert_free(client);
    ts_cert_free(other_cert);
    return ts_done();
}
