/*
 * binding_names.c: a ticket is for the server name it was asked for under.
 *
 * Stock libssl resumes it under any other name, in TLS 1.2 and in 1.3 (RFC 6066
 * section 3 forbids that for 1.2; RFC 8446 section 4.6.1 leaves it to the
 * client). Under the shim another name is an ordinary "cannot decrypt".
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* One context, no callback at all: libssl looks at no name. */
static void one_context(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p);
    const ts_journey to_b = { .proto = p, .from = ctx, .from_name = A,
        .to_name = B, .stock = TS_RESUMES, .shim = TS_FULL,
        .what = "one context: name A to name B" };
    ts_journey j = to_b;

    ts_travel(&j);
    j.to_name = NULL;
    j.what = "one context: name A to no name";
    ts_travel(&j);
    j.from_name = NULL;
    j.to_name = A;
    j.what = "one context: no name to name A";
    ts_travel(&j);

    j.shim = TS_RESUMES;
    j.from_name = A;
    j.what = "one context: name A again";
    ts_travel(&j);
    j.from_name = j.to_name = NULL;
    j.what = "one context: no name again";
    ts_travel(&j);
    SSL_CTX_free(ctx);
}

/*
 * The longest name that libssl takes (TLSEXT_MAXLEN_host_name: 255 bytes). One
 * more is a fatal alert of libssl's, ticket or not.
 */
static void long_names(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p);
    char name[256], other[256];
    ts_journey j = { .proto = p, .from = ctx, .from_name = name,
        .to_name = name, .stock = TS_RESUMES, .shim = TS_RESUMES,
        .what = "a name of 255 bytes, again" };

    memset(name, 'x', 255);
    name[255] = '\0';
    memcpy(other, name, sizeof(other));
    ts_travel(&j);
    other[254] = 'y';
    j.to_name = other;
    j.shim = TS_FULL;
    j.what = "255 bytes, another last one";
    ts_travel(&j);
    other[254] = '\0';
    j.what = "255 bytes, to 254 of them";
    ts_travel(&j);
    other[254] = name[254];
    other[0] = 'y';
    j.what = "255 bytes, another first one";
    ts_travel(&j);
    SSL_CTX_free(ctx);
}

/*
 * Names that DNS takes for the same: upper case, and a dot at the end (which
 * RFC 6066 says is not part of a HostName). A server that compares strings may
 * have another host for them, so a name is the bytes that were sent.
 */
static void spellings(ts_proto p)
{
    SSL_CTX *ctx = ts_server_ctx(p);
    ts_journey j = { .proto = p, .from = ctx, .from_name = A,
        .to_name = "A.eXample", .stock = TS_RESUMES, .shim = TS_FULL,
        .what = "a name to the same in another case" };

    ts_travel(&j);
    j.to_name = A ".";
    j.what = "a name to the same with a dot at its end";
    ts_travel(&j);
    j.to_name = "." A;
    j.what = "a name to the same with a dot before it";
    ts_travel(&j);
    j.from_name = "{.example";
    j.to_name = "[.example";
    j.what = "names that differ in the bit of the case, which is none here";
    ts_travel(&j);
    j.to_name = "xn--a-0da.example";
    j.from_name = "\xc3\xa4.example";
    j.what = "bytes that are no ASCII, to a name";
    ts_travel(&j);
    j.to_name = j.from_name;
    j.shim = TS_RESUMES;
    j.what = "bytes that are no ASCII, again";
    ts_travel(&j);
    j.from_name = j.to_name = "A.eXample.";
    j.what = "capitals and a dot, again";
    ts_travel(&j);
    SSL_CTX_free(ctx);
}

/* Virtual hosts: all connections start on one context and are switched. */
static void switching(ts_proto p, ts_switch where)
{
    SSL_CTX *first = ts_server_ctx(p), *a = ts_server_ctx(p), *b = ts_server_ctx(p);
    const ts_vhost hosts[] = { { A, a }, { B, b }, { NULL, NULL } };
    ts_journey j = { .proto = p, .from = first, .from_name = A, .to_name = B,
        .stock = TS_RESUMES, .shim = TS_FULL,
        .what = "virtual hosts: A to B" };

    ts_vhosts(first, where, hosts);
    ts_note("switched in the %s", ts_switch_name(where));
    ts_travel(&j);
    j.to_name = NULL;
    j.what = "virtual hosts: A to no name";
    ts_travel(&j);
    j.from_name = NULL;
    j.to_name = B;
    j.what = "virtual hosts: no name to B";
    ts_travel(&j);
    j.from_name = "nobody.example";
    j.what = "virtual hosts: a name nobody has to B";
    ts_travel(&j);
    j.shim = TS_RESUMES;
    j.from_name = B;
    j.what = "virtual hosts: B again";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        one_context(*p);
        long_names(*p);
        spellings(*p);
        switching(*p, TS_IN_SERVERNAME);
        switching(*p, TS_IN_CLIENT_HELLO);
    }
    return ts_done();
}
