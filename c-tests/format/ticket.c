/*
 * ticket.c: a ticketshim ticket, opened from the document alone. Written from
 * docs/ticket-format.md and docs/binding.md, with OpenSSL's functions and
 * nothing of ours, so that what the core does and what the documents say can't
 * part unnoticed.
 *
 *   ticket check FILE…               checks the vectors in all files, as TAP
 *   ticket open LINK BINDING TICKET  hexadecimal: prints the time of the last
 *                                    full handshake, and the session's DER
 *
 * A file has lines of "name = hex", and comments that begin with #. Every value
 * is computed from those before it and compared; every line must be of use: a
 * bit flipped in any of them must be noticed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "values.h"

#define KEY      32
#define NAME     16
#define SALT     16
#define INSTANCE 12
#define HEADER    5          /* at least */
#define TAG      16
#define MAC      32
#define OVERHEAD (NAME + SALT + HEADER + TAG + MAC) /* at least */
#define ERA    4096           /* epochs */

/* ---- checks ------------------------------------------------------------------------- */

static int tests, failed, quiet;

static void ok(int cond, const char *text)
{
    tests++;
    failed += !cond;
    if (!quiet)
        printf("%s %d - %s\n", cond ? "ok" : "not ok", tests, text);
}

static void is(const char *name, const unsigned char *computed, size_t len)
{
    ok(length(name) == len && memcmp(get(name, 0), computed, len) == 0, name);
}

/* ---- keys --------------------------------------------------------------------------- */

/* HKDF-Expand with SHA-256 (RFC 5869, section 2.3), of at most one block. */
static void expand(const unsigned char *secret, const void *info, size_t len,
                   unsigned char *out, size_t out_len)
{
    unsigned char message[256], block[32];

    memcpy(message, info, len);
    message[len] = 1;
    if (HMAC(EVP_sha256(), secret, KEY, message, len + 1, block, NULL) == NULL)
        fail("HMAC", "");
    memcpy(out, block, out_len);
}

static void derive(const unsigned char *secret, const char *label,
                   unsigned char *out, size_t out_len)
{
    expand(secret, label, strlen(label), out, out_len);
}

static void step(unsigned char secret[KEY], const char *label)
{
    unsigned char next[KEY];

    derive(secret, label, next, KEY);
    memcpy(secret, next, KEY);
}

static void ticket_key(const unsigned char *root, const unsigned char *salt,
                       const unsigned char *binding, unsigned char *key)
{
    static const char label[] = "ticketshim v2 ticket";
    unsigned char info[sizeof(label) - 1 + INSTANCE + 32];

    memcpy(info, label, sizeof(label) - 1);
    memcpy(info + sizeof(label) - 1, salt, INSTANCE);
    memcpy(info + sizeof(label) - 1 + INSTANCE, binding, 32);
    expand(root, info, sizeof(info), key, KEY);
}

/* ---- the ticket ----------------------------------------------------------------------- */

static void nonce_of(const unsigned char *salt, unsigned char nonce[12])
{
    memset(nonce, 0, 8);
    memcpy(nonce + 8, salt + INSTANCE, 4);
}

static int open_gcm(const unsigned char *key, const unsigned char *nonce,
                    const unsigned char *in, size_t len,
                    const unsigned char *tag, unsigned char *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n, last, good;

    good = c != NULL
        && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1
        && EVP_DecryptUpdate(c, out, &n, in, (int)len) == 1
        && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, (void *)tag) == 1
        && EVP_DecryptFinal_ex(c, out + n, &last) == 1;
    EVP_CIPHER_CTX_free(c);
    return good;
}

/* The length of a header, by its first byte: 0 for one that there is not. */
static size_t header_len(unsigned char kind)
{
    if (kind > 15 || (kind & 3) == 3)
        return 0;
    return HEADER + (kind & 4 ? 4 : 0) + (kind & 8 ? 7 : 0);
}

/*
 * The whole way, from an epoch's link: header and DER to `out`. Returns the
 * DER's length, or -1 and what is wrong.
 */
static long open_ticket(const unsigned char *link, const unsigned char *binding,
                        const unsigned char *ticket, size_t len,
                        unsigned char *out, const char **why)
{
    unsigned char name[NAME], mac_key[KEY], root[KEY], key[KEY], nonce[12],
        mac[MAC];
    const unsigned char *salt = ticket + NAME, *sealed = salt + SALT;

    *why = "too short";
    if (len < OVERHEAD)
        return -1;
    *why = "another epoch's key name";
    derive(link, "ticketshim v2 key name", name, NAME);
    if (memcmp(name, ticket, NAME) != 0)
        return -1;
    *why = "wrong MAC";
    derive(link, "ticketshim v2 mac", mac_key, KEY);
    if (HMAC(EVP_sha256(), mac_key, KEY, ticket, len - MAC, mac, NULL) == NULL
        || CRYPTO_memcmp(mac, ticket + len - MAC, MAC) != 0)
        return -1;
    *why = "sealed for another place";
    derive(link, "ticketshim v2 root", root, KEY);
    ticket_key(root, salt, binding, key);
    nonce_of(salt, nonce);
    len -= NAME + SALT + TAG + MAC;
    if (!open_gcm(key, nonce, sealed, len, sealed + len, out))
        return -1;
    *why = "no header of this version";
    if (header_len(out[0]) == 0 || header_len(out[0]) > len)
        return -1;
    return (long)(len - header_len(out[0]));
}

/* ---- the binding -------------------------------------------------------------------- */

static void field(EVP_MD_CTX *h, unsigned char tag, const void *data, size_t len)
{
    unsigned char head[5] = { tag, (unsigned char)(len >> 24),
        (unsigned char)(len >> 16), (unsigned char)(len >> 8),
        (unsigned char)len };

    if (EVP_DigestUpdate(h, head, sizeof(head)) != 1
        || EVP_DigestUpdate(h, data, len) != 1)
        fail("SHA-256", "");
}

static EVP_MD_CTX *start(const char *label)
{
    EVP_MD_CTX *h = EVP_MD_CTX_new();

    if (h == NULL || EVP_DigestInit_ex(h, EVP_sha256(), NULL) != 1)
        fail("SHA-256", "");
    field(h, 0, label, strlen(label));
    return h;
}

static void finish(EVP_MD_CTX *h, unsigned char out[32])
{
    if (EVP_DigestFinal_ex(h, out, NULL) != 1)
        fail("SHA-256", "");
    EVP_MD_CTX_free(h);
}

static void fields(EVP_MD_CTX *h, unsigned char tag, const char *name)
{
    const value *v;

    for (int i = 0; (v = nth(name, i)) != NULL; i++)
        field(h, tag, v->bytes, v->len);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* A field for each digest of what has that name, in the order of the digests. */
static void sorted(EVP_MD_CTX *h, unsigned char tag, const char *name)
{
    unsigned char digests[8][32];
    size_t n = 0;
    const value *v;

    for (; n < 8 && (v = nth(name, (int)n)) != NULL; n++)
        if (EVP_Digest(v->bytes, v->len, digests[n], NULL, EVP_sha256(), NULL)
            != 1)
            fail("SHA-256", "");
    qsort(digests, n, 32, by_bytes);
    for (size_t i = 0; i < n; i++)
        field(h, tag, digests[i], 32);
}

static void check_policies(void)
{
    unsigned char digest[32];
    const unsigned char nobody[4] = { 0, 0, 0, 0 };
    EVP_MD_CTX *h = start("ticketshim v2 trust");

    sorted(h, 1, "certificate");
    sorted(h, 2, "revocation_list");
    finish(h, digest);
    is("trust_digest", digest, 32);

    h = start("ticketshim v2 policy");
    field(h, 1, nobody, 4);
    finish(h, digest);
    is("policy_digest_open", digest, 32);

    h = start("ticketshim v2 policy");
    field(h, 1, get("verify_mode", 4), 4);
    field(h, 2, get("verify_depth", 4), 4);
    field(h, 8, get("store_depth", 4), 4);
    field(h, 9, get("security_level", 4), 4);
    field(h, 6, get("verify_flags", 4), 4);
    field(h, 10, get("app_hooks", 4), 4);
    fields(h, 3, "client_ca_name");
    fields(h, 5, "ca_name");
    field(h, 7, get("trust_digest", 32), 32);
    finish(h, digest);
    is("policy_digest", digest, 32);
}

static void check_context(const char *name, const char *sid_ctx, const char *id)
{
    unsigned char digest[32];
    EVP_MD_CTX *h = start("ticketshim v2 context");

    field(h, 1, get(sid_ctx, 0), length(sid_ctx));
    field(h, 4, get(id, 0), length(id));
    finish(h, digest);
    is(name, digest, 32);
}

static void check_binding(const char *name, unsigned char tag, const char *server,
                          const char *context, const char *policy)
{
    unsigned char digest[32];
    EVP_MD_CTX *h = start("ticketshim v2 binding");

    field(h, 1, get("protocol", 3), 3);
    field(h, tag, get(server, 0), length(server));
    field(h, 4, get(context, 32), 32);
    field(h, 5, get(policy, 32), 32);
    finish(h, digest);
    is(name, digest, 32);
}

static void check_bindings(void)
{
    unsigned char digest[32];
    EVP_MD_CTX *h;

    check_context("context_digest", "session_id_context", "no_context_id");
    check_context("context_digest_isolated", "session_id_context", "context_id");
    if (EVP_Digest(get("public_key", 0), length("public_key"), digest, NULL,
                   EVP_sha256(), NULL) != 1)
        fail("SHA-256", "");
    is("public_key_digest", digest, 32);
    check_binding("binding_public_key", 3, "public_key_digest", "context_digest",
                  "policy_digest_open");
    check_binding("binding", 2, "server_name", "context_digest", "policy_digest");
    check_binding("binding_isolated", 2, "server_name", "context_digest_isolated",
                  "policy_digest");

    h = start("ticketshim v2 context");
    field(h, 1, "", 0);
    field(h, 4, get("context_id", 16), 16);
    finish(h, digest);
    h = start("ticketshim v2 context only");
    field(h, 4, digest, 32);
    finish(h, digest);
    is("binding_stock", digest, 32);
}

/* ---- all of it ------------------------------------------------------------------------ */

static void check_chain(void)
{
    unsigned char era[KEY], link[KEY], out[KEY];
    const unsigned char *e = get("epoch", 8);
    uint64_t epoch = 0;

    for (int i = 0; i < 8; i++)
        epoch = epoch << 8 | e[i];
    if (epoch / ERA > 1000000) { /* only when a bit was flipped */
        ok(0, "epoch");
        return;
    }
    memcpy(era, get("seed", KEY), KEY);
    for (uint64_t i = 0; i < epoch / ERA; i++)
        step(era, "ticketshim v1 era");
    derive(era, "ticketshim v1 first", link, KEY);
    for (uint64_t i = 0; i < epoch % ERA; i++)
        step(link, "ticketshim v1 next");
    is("link", link, KEY);
    step(era, "ticketshim v1 era");
    is("next_era", era, KEY);
    derive(era, "ticketshim v1 first", out, KEY);
    is("next_era_first_link", out, KEY);
}

static void check_ticket(void)
{
    static const struct {
        const char *ticket, *header, *binding, *not_binding;
    } sealed[] = {
        { "ticket", "header", "binding", "binding_public_key" },
        { "ticket_portable", "header_portable", "binding", "binding_isolated" },
        { "ticket_portable_early", "header_portable_early", "binding",
          "binding_isolated" },
        { "ticket_isolated", "header_isolated", "binding_isolated", "binding" },
    };
    static unsigned char plain[MAX_BYTES];
    unsigned char out[KEY];
    const unsigned char *link = get("link", KEY), *ticket = get("ticket", 0);
    const char *why;
    long n;

    derive(link, "ticketshim v2 key name", out, NAME);
    is("key_name", out, NAME);
    derive(link, "ticketshim v2 mac", out, KEY);
    is("mac_key", out, KEY);
    derive(link, "ticketshim v2 root", out, KEY);
    is("root", out, KEY);
    derive(link, "ticketshim v1 next", out, KEY);
    is("next_link", out, KEY);

    nonce_of(get("salt", SALT), out);
    is("nonce", out, 12);
    ticket_key(get("root", KEY), get("salt", SALT), get("binding", 32), out);
    is("ticket_aes_key", out, KEY);
    ok(memcmp(ticket + NAME, get("salt", SALT), SALT) == 0,
       "the salt is in the ticket");

    for (size_t i = 0; i < sizeof(sealed) / sizeof(*sealed); i++) {
        n = open_ticket(link, get(sealed[i].binding, 32), get(sealed[i].ticket, 0),
                        length(sealed[i].ticket), plain, &why);
        ok(n >= 0, "the ticket opens");
        if (n < 0) {
            if (!quiet)
                fprintf(stderr, "# %s does not open: %s\n", sealed[i].ticket, why);
            return;
        }
        is(sealed[i].header, plain, header_len(plain[0]));
        is("der", plain + header_len(plain[0]), (size_t)n);
        n = open_ticket(link, get(sealed[i].not_binding, 32),
                        get(sealed[i].ticket, 0), length(sealed[i].ticket), plain,
                        &why);
        ok(n < 0 && strcmp(why, "sealed for another place") == 0,
           "it does not open elsewhere");
    }
}

static void check_all(void)
{
    check_chain();
    check_policies();
    check_bindings();
    check_ticket();
}

/* A bit flipped in any line of the files is noticed: so every line is used. */
static void check_the_check(void)
{
    int before = failed, n = tests, unnoticed = 0;

    quiet = 1;
    for (int i = 0; i < n_values; i++) {
        if (values[i].len == 0)
            continue;
        values[i].bytes[values[i].len - 1] ^= 1;
        failed = 0;
        check_all();
        if (failed == 0) {
            fprintf(stderr, "# nobody noticed a change in %s\n",
                    values[i].name);
            unnoticed++;
        }
        values[i].bytes[values[i].len - 1] ^= 1;
    }
    quiet = 0;
    tests = n;
    failed = before;
    ok(unnoticed == 0, "a bit flipped in any line is noticed");
}

static int open_one(char **hex)
{
    static unsigned char link[KEY], binding[32], ticket[1 << 16], plain[1 << 16];
    long len = unhex(hex[2], ticket, sizeof(ticket)), n;
    const char *why;

    if (unhex(hex[0], link, KEY) != KEY || unhex(hex[1], binding, 32) != 32
        || len < 0) {
        fprintf(stderr, "ticket: link and binding are 32 bytes each, in "
                "lower-case hexadecimal\n");
        return 2;
    }
    n = open_ticket(link, binding, ticket, (size_t)len, plain, &why);
    if (n < 0) {
        fprintf(stderr, "ticket: does not open: %s\n", why);
        return 1;
    }
    printf("full handshake at %lu (Unix seconds modulo 2^32)\nder ",
           (unsigned long)plain[1] << 24 | (unsigned long)plain[2] << 16
           | (unsigned long)plain[3] << 8 | plain[4]);
    for (long i = 0; i < n; i++)
        printf("%02x", plain[header_len(plain[0]) + (size_t)i]);
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "open") == 0)
        return open_one(argv + 2);
    if (argc < 3 || strcmp(argv[1], "check") != 0) {
        fprintf(stderr, "usage: ticket check FILE… | open LINK BINDING TICKET\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        read_file(argv[i]);
    check_all();
    check_the_check();
    printf("1..%d\n", tests);
    return failed > 0;
}
