/* pki.c: keys and certificates, made in this process. */
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "internal.h"

static ts_cert *ca, *server;

static EVP_PKEY *new_key(int rsa)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_EC,
                                            NULL);

    if (ctx == NULL
        || EVP_PKEY_keygen_init(ctx) != 1
        || (rsa ? EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048)
            : EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1))
            != 1
        || EVP_PKEY_keygen(ctx, &key) != 1)
        ts_bail("cannot make a key");
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void add_ext(X509 *x, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v3;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&v3, (X509 *)issuer, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &v3, nid, (char *)value);
    if (ext == NULL || X509_add_ext(x, ext, -1) != 1)
        ts_bail("cannot add an extension");
    X509_EXTENSION_free(ext);
}

ts_cert *ts_cert_new(const char *cn, const ts_cert *issuer, int flags)
{
    static long serial = 1;
    ts_cert *c = ts_xmalloc(sizeof(*c));
    X509_NAME *name = X509_NAME_new();
    X509 *x = X509_new();
    char san[4096];
    int used;

    c->x509 = x;
    c->key = new_key(flags & TS_CERT_RSA);
    if (x == NULL || name == NULL
        || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)cn, -1, -1, 0) != 1
        || X509_set_version(x, 2) != 1
        || ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) != 1
        || X509_gmtime_adj(X509_getm_notBefore(x), -86400) == NULL
        || X509_gmtime_adj(X509_getm_notAfter(x), 86400) == NULL
        || X509_set_subject_name(x, name) != 1
        || X509_set_issuer_name(x, issuer != NULL
                                ? X509_get_subject_name(issuer->x509)
                                : name) != 1
        || X509_set_pubkey(x, c->key) != 1)
        ts_bail("cannot make a certificate");
    used = BIO_snprintf(san, sizeof(san), "DNS:%s", cn);
    for (int i = 0; (flags & TS_CERT_BIG) && i < 95; i++)
        used += BIO_snprintf(san + used, sizeof(san) - (size_t)used,
                             ",DNS:one-of-many-names-%03d.%s.example", i, cn);
    add_ext(x, issuer != NULL ? issuer->x509 : x, NID_basic_constraints,
            flags & TS_CERT_CA ? "critical,CA:TRUE" : "CA:FALSE");
    add_ext(x, issuer != NULL ? issuer->x509 : x, NID_subject_alt_name, san);
    if (X509_sign(x, issuer != NULL ? issuer->key : c->key, EVP_sha256()) == 0)
        ts_bail("cannot sign a certificate");
    X509_NAME_free(name);
    return c;
}

void ts_cert_free(ts_cert *cert)
{
    if (cert == NULL)
        return;
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    free(cert);
}

const ts_cert *ts_ca(void)
{
    if (ca == NULL)
        ca = ts_cert_new("ticketshim test CA", NULL, TS_CERT_CA);
    return ca;
}

const ts_cert *ts_server_cert(void)
{
    if (server == NULL)
        server = ts_cert_new("server.test", ts_ca(), 0);
    return server;
}

void ts_pki_free(void)
{
    ts_cert_free(server);
    ts_cert_free(ca);
    server = ca = NULL;
}
