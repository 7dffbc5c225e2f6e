/*
 * binding_resumes.c: what must go on resuming, or sharing keys were for nothing:
 * the same virtual host on another worker, after a reload, after a renewed
 * certificate; renewals of tickets, and renewals of those.
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* A certificate as its CA renews it: another one for the same key. */
static ts_cert *renewed(const ts_cert *old)
{
    ts_cert *new = ts_cert_new("server.test", ts_ca(), 0);

    EVP_PKEY_free(new->key);
    new->key = old->key;
    if (EVP_PKEY_up_ref(new->key) != 1
        || X509_set_pubkey(new->x509, new->key) != 1
        || X509_sign(new->x509, ts_ca()->key, EVP_sha256()) == 0)
        ts_bail("cannot renew a certificate");
    return new;
}

/* Another context that is configured as the first: a worker, or a reload. */
static void other_contexts(ts_proto p)
{
    ts_cert *same_key = renewed(ts_server_cert()),
        *new_key = ts_cert_new("server.test", ts_ca(), 0),
        *client_ca = ts_cert_new("client CA", NULL, TS_CERT_CA),
        *client = ts_cert_new("client", client_ca, 0);
    const ts_place with_same_key = { .cert = same_key },
        with_new_key = { .cert = new_key }, demands = { .client_ca = client_ca };
    SSL_CTX *first = ts_server_ctx(p), *twin = ts_server_ctx(p),
        *renewed_ctx = ts_place_new(p, &with_same_key),
        *rekeyed_ctx = ts_place_new(p, &with_new_key),
        *private1 = ts_place_new(p, &demands), *private2 = ts_place_new(p, &demands),
        *member = ts_client_with(p, client);
    ts_journey j = { .proto = p, .from = first, .to = twin, .from_name = A,
        .to_name = A, .stock = TS_FULL, .shared = TS_RESUMES,
        .shim = TS_RESUMES, .what = "named: a context that is configured alike" };

    ts_travel(&j);
    j.to = renewed_ctx;
    j.what = "named: the certificate was renewed";
    ts_travel(&j);
    j.to = rekeyed_ctx;
    j.what = "named: the certificate was renewed with a new key";
    ts_travel(&j);

    j.from_name = j.to_name = NULL;
    j.to = twin;
    j.what = "no name: a context that is configured alike";
    ts_travel(&j);
    j.to = renewed_ctx;
    j.what = "no name: another certificate for the same key";
    ts_travel(&j);
    j.to = rekeyed_ctx;
    j.shim = TS_FULL;
    j.what = "no name: a certificate with another key";
    ts_travel(&j);

    j.from = private1;
    j.to = private2;
    j.cli = member;
    j.from_name = j.to_name = A;
    j.stock = TS_ASKED;
    j.shim = TS_RESUMES;
    j.what = "client certificates: a context that is configured alike";
    ts_travel(&j);
    SSL_CTX_free(first);
    SSL_CTX_free(twin);
    SSL_CTX_free(renewed_ctx);
    SSL_CTX_free(rekeyed_ctx);
    SSL_CTX_free(private1);
    SSL_CTX_free(private2);
    SSL_CTX_free(member);
    ts_cert_free(same_key);
    ts_cert_free(new_key);
    ts_cert_free(client_ca);
    ts_cert_free(client);
}

/* An ECDSA and an RSA certificate, loaded in this order or in the other. */
static SSL_CTX *two_certificates(ts_proto p, const ts_cert *rsa, int rsa_last)
{
    SSL_CTX *ctx = ts_server_ctx(p);

    ts_use_cert(ctx, rsa, NULL, 0);
    if (!rsa_last)
        ts_use_cert(ctx, ts_server_cert(), NULL, 0);
    return ctx;
}

/* A client that only takes the one kind. */
static SSL_CTX *client_for(ts_proto p, int rsa)
{
    SSL_CTX *cli = ts_client_ctx(p);

    if (SSL_CTX_set1_sigalgs_list(cli, rsa ? "RSA-PSS+SHA256"
                                  : "ECDSA+SHA256") != 1
        || SSL_CTX_set_cipher_list(cli, rsa ? "ECDHE-RSA-AES256-GCM-SHA384"
                                   : "ECDHE-ECDSA-AES256-GCM-SHA384") != 1)
        ts_bail("cannot set up a client");
    return cli;
}

/* ts_ca() signs with ECDSA: the client of the RSA kind checks nothing. */
static void side_by_side(ts_proto p)
{
    ts_cert *rsa = ts_cert_new("server.test", ts_ca(), TS_CERT_RSA);
    SSL_CTX *first = two_certificates(p, rsa, 1), *twin = two_certificates(p, rsa, 1),
        *other_order = two_certificates(p, rsa, 0);
    ts_journey j = { .proto = p, .from = first, .stock = TS_FULL,
        .shared = TS_RESUMES, .shim = TS_RESUMES };

    for (int kind = 0; kind < 2; kind++) {
        j.cli = client_for(p, kind);
        SSL_CTX_set_verify(j.cli, SSL_VERIFY_NONE, NULL);
        for (int named = 0; named < 2; named++) {
            ts_note("two certificates, a client for %s, %s",
                    kind ? "RSA" : "ECDSA", named ? "named" : "no name");
            j.from_name = j.to_name = named ? A : NULL;
            j.to = twin;
            j.what = "two certificates: a context that is configured alike";
            ts_travel(&j);
            j.to = other_order;
            j.shim = named ? TS_RESUMES : TS_FULL;
            j.what = "two certificates: loaded in the other order";
            ts_travel(&j);
            j.shim = TS_RESUMES;
        }
        SSL_CTX_free(j.cli);
    }
    SSL_CTX_free(first);
    SSL_CTX_free(twin);
    SSL_CTX_free(other_order);
    ts_cert_free(rsa);
}

/*
 * Renewals of renewals, on two workers by turns; the last ticket still is for
 * this name and for no other. In TLS 1.2 a renewal is dec_cb's wish.
 */
static void renewals(ts_proto p, const char *name, const char *other)
{
    SSL_CTX *one = ts_server_ctx(p), *two = ts_server_ctx(p);
    ts_cb cb = TS_CB_INIT;
    ts_journey j = { .proto = p, .from = one, .from_name = name,
        .to_name = name, .shim = TS_RESUMES, .what = "a renewal" };
    SSL_SESSION *ss = ts_depart(&j), *next;

    ts_note("renewals, %s", name != NULL ? "named" : "no name");
    cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;
    ts_cb_install(one, &cb);
    ts_cb_install(two, &cb);
    for (int i = 0; i < 6; i++) {
        /* Stock can't change the worker. */
        j.to = i % 2 != 0 && ts_shim_expected() ? two : one;
        next = ts_arrive(&j, ss, TS_RESUMES);
        ts_ok(next != NULL && SSL_SESSION_has_ticket(next), "… and brings a ticket");
        SSL_SESSION_free(ss);
        ss = next;
    }
    j.to = one;
    j.to_name = other;
    j.shim = TS_FULL;
    cb.dec_return = TS_DEC_DEFAULT;
    j.what = "a ticket that was renewed six times, under another name";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    j.to_name = name;
    j.shim = TS_RESUMES;
    j.what = "that ticket, under its own";
    SSL_SESSION_free(ts_arrive(&j, ss, TS_RESUMES));
    SSL_SESSION_free(ss);
    ts_cb_reset(&cb);
    SSL_CTX_free(one);
    SSL_CTX_free(two);
}

/*
 * The same behind virtual hosts. In TLS 1.2 the name that libssl shows while it
 * makes the renewed ticket is the old session's, which is only there if the
 * callback acknowledged it.
 */
static void renewals_of_hosts(ts_proto p, ts_switch where)
{
    SSL_CTX *first = ts_server_ctx(p), *a = ts_server_ctx(p), *b = ts_server_ctx(p);
    const ts_vhost hosts[] = { { A, a }, { B, b }, { NULL, NULL } };
    ts_cb cb = TS_CB_INIT;
    ts_journey j = { .proto = p, .from = first, .from_name = A, .to_name = A,
        .shim = TS_RESUMES, .what = "virtual hosts: a renewal" };
    SSL_SESSION *ss, *next;

    ts_note("switched in the %s", ts_switch_name(where));
    ts_vhosts(first, where, hosts);
    ss = ts_depart(&j);
    cb.dec_return = SSL_TICKET_RETURN_USE_RENEW;
    ts_cb_install(first, &cb);
    for (int i = 0; i < 3; i++) {
        next = ts_arrive(&j, ss, TS_RESUMES);
        SSL_SESSION_free(ss);
        ss = next;
    }
    cb.dec_return = TS_DEC_DEFAULT;
    j.to_name = B;
    j.shim = TS_FULL;
    j.what = "virtual hosts: a renewed ticket of A to B";
    next = ts_arrive(&j, ss, TS_RESUMES);
    SSL_SESSION_free(ss);
    j.shim = TS_RESUMES;
    j.what = "virtual hosts: the ticket that B gave instead, to B";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    SSL_SESSION_free(next);
    ts_cb_reset(&cb);
    SSL_CTX_free(first);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        other_contexts(*p);
        side_by_side(*p);
        renewals(*p, A, B);
        renewals(*p, A, NULL);
        renewals(*p, NULL, A);
        renewals_of_hosts(*p, TS_IN_SERVERNAME);
        renewals_of_hosts(*p, TS_IN_CLIENT_HELLO);
    }
    return ts_done();
}
