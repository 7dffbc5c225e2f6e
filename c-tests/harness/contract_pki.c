/* contract_pki.c: the clients of contract.h. One process makes them, those that it starts read them. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/conf.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "internal.h"

#define DAY 86400

/* In the file in this order. */
static struct client {
    const char *cn, *email, *san, *eku, *policies;
    ts_cert *cert;
} clients[] = {
    [TS_MEMBER] = { .cn = "member", .san = "DNS:member.example,email:member@x.example,IP:192.0.2.1",
        .eku = "clientAuth,emailProtection", .policies = "1.3.6.1.4.1.55555.1,1.3.6.1.4.1.55555.2" },
    [TS_GUEST] = { .cn = "guest", .san = "DNS:guest.example,email:guest@x.example,IP:192.0.2.2",
        .eku = "clientAuth", .policies = "1.3.6.1.4.1.55555.2" },
    [TS_OTHER] = { .cn = "other" }, [TS_EVIL] = { .cn = "evil" },
    [TS_DEEP] = { .cn = "deep" }, [TS_SMALL] = { .cn = "small" },
};
#define N_CLIENTS (sizeof(clients) / sizeof(clients[0]))

static ts_cert *ca, *other_ca, *intermediate, *expiring;
static X509_CRL *crl;
static int expired;               /* what is to expire has, in this process */

ts_cert *ts_client_ca(void)
{
    return ca;
}

ts_cert *ts_other_ca(void)
{
    return other_ca;
}

X509_CRL *ts_guest_crl(void)
{
    return crl;
}

ts_cert *ts_intermediate(void)
{
    return intermediate;
}

int ts_is_guest(X509 *cert)
{
    return cert != NULL && X509_NAME_cmp(X509_get_subject_name(cert),
        X509_get_subject_name(clients[TS_GUEST].cert->x509)) == 0;
}

static void set_ext(X509 *x, int nid, const char *value)
{
    int at = X509_get_ext_by_NID(x, nid, -1);
    X509_EXTENSION *ext;
    X509V3_CTX v3;
    CONF *none;

    if (value == NULL)
        return;
    /* Policies may have sections of their own, so they ask for a file that has none. */
    if ((none = NCONF_new(NULL)) == NULL)
        ts_bail("no memory");
    X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
    X509V3_set_nconf(&v3, none);
    if (at >= 0)
        X509_EXTENSION_free(X509_delete_ext(x, at));
    ext = X509V3_EXT_conf_nid(NULL, &v3, nid, (char *)value);
    if (ext == NULL || X509_add_ext(x, ext, -1) != 1)
        ts_bail("cannot add an extension");
    NCONF_free(none);
    X509_EXTENSION_free(ext);
}

static EVP_PKEY *small_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, NULL);

    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1
        || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 1024) != 1
        || EVP_PKEY_keygen(ctx, &key) != 1)
        ts_bail("cannot make a small key");
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static ts_cert *client_cert(const struct client *c, const ts_cert *issuer, long valid)
{
    ts_cert *cert = ts_cert_new(c->cn, issuer, 0);

    set_ext(cert->x509, NID_subject_alt_name, c->san);
    set_ext(cert->x509, NID_ext_key_usage, c->eku);
    set_ext(cert->x509, NID_certificate_policies, c->policies);
    if (c == &clients[TS_SMALL]) {
        EVP_PKEY_free(cert->key);
        cert->key = small_key();
        X509_set_pubkey(cert->x509, cert->key);
    }
    if (X509_gmtime_adj(X509_getm_notAfter(cert->x509), valid) == NULL
        || X509_sign(cert->x509, issuer != NULL ? issuer->key : cert->key,
                     EVP_sha256()) == 0)
        ts_bail("cannot sign a certificate again");
    return cert;
}

static void transfer(BIO *file, ts_cert **cert, int make)
{
    if (make) {
        if (PEM_write_bio_X509(file, (*cert)->x509) != 1
            || PEM_write_bio_PrivateKey(file, (*cert)->key, NULL, NULL, 0, NULL,
                                        NULL) != 1)
            ts_bail("cannot write a certificate");
        return;
    }
    *cert = ts_xmalloc(sizeof(**cert));
    (*cert)->x509 = PEM_read_bio_X509(file, NULL, NULL, NULL);
    (*cert)->key = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
    if ((*cert)->x509 == NULL || (*cert)->key == NULL)
        ts_bail("cannot read a certificate");
}

void ts_contract_pki(const char *dir, int make)
{
    char name[256];
    BIO *file;

    BIO_snprintf(name, sizeof(name), "%s/pki.pem", dir);
    if ((file = BIO_new_file(name, make ? "w" : "r")) == NULL)
        ts_bail("cannot open %s", name);
    if (make) {
        ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
        other_ca = ts_cert_new("other client CA", NULL, TS_CERT_CA);
        intermediate = ts_cert_new("intermediate CA", ca, TS_CERT_CA);
    }
    transfer(file, &ca, make);
    transfer(file, &other_ca, make);
    transfer(file, &intermediate, make);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        struct client *c = &clients[i];

        if (c->cn == NULL)
            continue;
        if (make)
            c->cert = client_cert(c, i == TS_OTHER ? other_ca
                                  : i == TS_DEEP ? intermediate
                                  : i == TS_EVIL ? NULL : ca, DAY);
        transfer(file, &c->cert, make);
    }
    crl = make ? ts_crl_new(ca, clients[TS_GUEST].cert)
        : PEM_read_bio_X509_CRL(file, NULL, NULL, NULL);
    if (crl == NULL || (make && PEM_write_bio_X509_CRL(file, crl) != 1))
        ts_bail("no revocation list");
    BIO_free(file);
}

void ts_contract_pki_free(void)
{
    ts_cert_free(ca);
    ts_cert_free(other_ca);
    ts_cert_free(intermediate);
    ts_cert_free(expiring);
    X509_CRL_free(crl);
    crl = NULL;
    ca = other_ca = intermediate = expiring = NULL;
    for (size_t i = 0; i < N_CLIENTS; i++) {
        ts_cert_free(clients[i].cert);
        clients[i].cert = NULL;
    }
}

/* ---- what expires ------------------------------------------------------------------ */

#define VALID_FOR 2

static time_t end;

void ts_has_expired(void)
{
    expired = 1;
}

void ts_until_expired(void)
{
    while (time(NULL) <= end) {
        struct timespec tick = { 0, 50000000 };

        nanosleep(&tick, NULL);
    }
    expired = 1;
}

/* Valid from its first use on for a moment; where it has expired already, it never was. */
static ts_cert *expiring_cert(void)
{
    static const struct client c = { .cn = "expiring" };

    if (expiring == NULL) {
        expiring = client_cert(&c, ca, expired ? -60 : VALID_FOR);
        end = time(NULL) + VALID_FOR;
    }
    return expiring;
}

ts_cert *ts_cert_of(ts_who who)
{
    return who == TS_EXPIRING ? expiring_cert()
        : who < N_CLIENTS ? clients[who].cert : NULL;
}
