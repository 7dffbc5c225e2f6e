/*
 * binding_modes.c: what each TICKETSHIM_BIND lets through. The setting is read
 * when the library is loaded, so this program is run once for each:
 *
 * ts-run: TICKETSHIM_BIND=stock
 * ts-run: TICKETSHIM_BIND=strict
 * ts-run: TICKETSHIM_BIND=sni
 * ts-run: TICKETSHIM_BIND=none
 * ts-run: TICKETSHIM_BIND=
 * ts-run:
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* How a journey ends in the four modes. */
typedef struct by_mode {
    ts_fate as_stock, strict, sni, none;
} by_mode;

static ts_fate of_mode(const by_mode *m)
{
    return ts_bind_is("stock") ? m->as_stock : ts_bind_is("strict") ? m->strict
        : ts_bind_is("sni") ? m->sni : m->none;
}

static void go(ts_journey *j, const char *what, by_mode m)
{
    j->what = what;
    j->shim = of_mode(&m);
    ts_travel(j);
}

static void matrix(ts_proto p)
{
    ts_cert *ca = ts_cert_new("client CA", NULL, TS_CERT_CA),
        *other_ca = ts_cert_new("other client CA", NULL, TS_CERT_CA),
        *client = ts_cert_new("client", ca, 0),
        *key = ts_cert_new("server.test", ts_ca(), 0);
    const ts_place demands = { .client_ca = ca }, of_other = { .client_ca = other_ca },
        another_key = { .cert = key }, another_sid = { .sid = "other" },
        no_sid = { .sid = "", .client_ca = ca, .optional = 1 };
    SSL_CTX *ctx = ts_server_ctx(p), *twin = ts_server_ctx(p),
        *private = ts_place_new(p, &demands), *others = ts_place_new(p, &of_other),
        *rekeyed = ts_place_new(p, &another_key), *sid = ts_place_new(p, &another_sid),
        *without = ts_place_new(p, &no_sid), *member = ts_client_with(p, client);
    ts_journey j = { .proto = p, .from = ctx, .from_name = A, .to_name = A,
        .stock = TS_RESUMES };

    go(&j, "the same context and name",
       (by_mode) { TS_RESUMES, TS_RESUMES, TS_RESUMES, TS_RESUMES });
    j.to_name = B;
    go(&j, "another name", (by_mode) { TS_RESUMES, TS_FULL, TS_FULL, TS_RESUMES });
    j.to_name = NULL;
    go(&j, "a name to none", (by_mode) { TS_RESUMES, TS_FULL, TS_FULL, TS_RESUMES });
    j.from_name = NULL;
    j.to_name = A;
    go(&j, "no name to one", (by_mode) { TS_RESUMES, TS_FULL, TS_FULL, TS_RESUMES });

    j.from_name = A;
    j.stock = TS_FULL;
    j.to = twin;
    go(&j, "a second context, configured alike",
       (by_mode) { TS_FULL, TS_RESUMES, TS_RESUMES, TS_RESUMES });
    j.to = rekeyed;
    go(&j, "a name, and another key",
       (by_mode) { TS_FULL, TS_RESUMES, TS_RESUMES, TS_RESUMES });
    j.from_name = j.to_name = NULL;
    go(&j, "no name, and another key",
       (by_mode) { TS_FULL, TS_FULL, TS_FULL, TS_RESUMES });
    j.to = twin;
    go(&j, "no name, a second context, configured alike",
       (by_mode) { TS_FULL, TS_RESUMES, TS_RESUMES, TS_RESUMES });

    j.from_name = j.to_name = A;
    j.cli = member;
    j.stock = TS_DENIED;
    j.from = private;
    j.to = others;
    go(&j, "another client CA",
       (by_mode) { TS_DENIED, TS_DENIED, TS_DENIED, TS_DENIED });
    j.stock = TS_ASKED;
    j.from = ctx;
    j.to = private;
    go(&j, "from nobody's certificate to one that demands some",
       (by_mode) { TS_ASKED, TS_ASKED, TS_ASKED, TS_ASKED });

    /* libssl refuses these itself; then the core has opened them. */
    j.counted = ts_bind_is("sni") || ts_bind_is("none");
    j.count = TS_COUNT_OPENED;
    j.stock = TS_FULL;
    j.to = sid;
    go(&j, "another session id context",
       (by_mode) { TS_FULL, TS_FULL, TS_FULL, TS_FULL });

    /* In no mode may a ticket end the handshake. */
    j.counted = 1;
    j.count = TS_COUNT_OPENED;
    j.stock = TS_ABORTS;
    j.from = j.to = without;
    go(&j, "verifies, no session id context",
       (by_mode) { TS_RESUMES, TS_RESUMES, TS_RESUMES, TS_RESUMES });
    SSL_CTX_free(ctx);
    SSL_CTX_free(twin);
    SSL_CTX_free(private);
    SSL_CTX_free(others);
    SSL_CTX_free(rekeyed);
    SSL_CTX_free(sid);
    SSL_CTX_free(without);
    SSL_CTX_free(member);
    ts_cert_free(ca);
    ts_cert_free(other_ca);
    ts_cert_free(client);
    ts_cert_free(key);
}

int main(void)
{
    ts_note("TICKETSHIM_BIND is %s", ts_bind());
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        matrix(*p);
    return ts_done();
}
