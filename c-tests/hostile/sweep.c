/*
 * sweep.c: a client that offers a server tickets that are none of its own, over
 * and over: changed, cut, lengthened, joined, of other servers, forged.
 *
 *   sweep PORT 1.2|1.3 ATTEMPTS NAME [foreign=FILE…] [weak=FILE]
 *   sweep PORT 1.2|1.3 forge NAME weak=FILE link=HEX
 *
 * With 0 attempts each ticket is offered once. NAME is the server name to ask for. Two tickets of the server's own are got
 * first. `foreign` are sessions of other servers, other names, other
 * versions: offered as they are. `weak` is one that a stock server made under
 * ticket keys of all zeros: it opens by hand, and what is in it is sealed again
 * under keys that were published, in libssl's layout and in ours.
 *
 * Prints one line of "name=number": attempts (handshakes with such a ticket),
 * full (those that were completed in full, with an answer), resumed, failed,
 * counted (those whose ticket libssl hands on), genuine (handshakes with the
 * server's own ticket in between), opened (those that resumed), different
 * (tickets), longest (bytes). What went wrong is on stderr, and ends it with 1.
 *
 * With `forge` the keys are the server's, at TICKETSHIM_BIND=none: the control
 * that what is forged here would open if the keys were known.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "internal.h"
#include "offered.h"

#define PASSED_ON (NAME + SALT) /* libssl's callback sees no shorter ticket */

static SSL_CTX *ctx;
static SSL_SESSION *newest;
static const char *host;
static int port, version;

/* ---- one handshake ----------------------------------------------------------- */

typedef enum { FULL, RESUMED, FAILED, UNSENT } outcome;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

static int connect_to(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 20 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        ts_bail("nobody is listening on port %d", port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/* The whole of it: with a request and the beginning of an answer. */
static outcome offer(SSL_SESSION *session)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[4096];
    SSL *ssl = SSL_new(ctx);
    int fd = connect_to();
    outcome out = FAILED;

    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, host);
    if (session != NULL) {
        SSL_SESSION *copy = ts_der_copy(session);

        SSL_set_session(ssl, copy);
        SSL_SESSION_free(copy);
    }
    ERR_clear_error();
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, sizeof(request) - 1) > 0
        && SSL_read(ssl, answer, sizeof(answer)) > 0)
        out = SSL_session_reused(ssl) ? RESUMED : FULL;
    else if (SSL_get_state(ssl) == TLS_ST_BEFORE || ERR_GET_REASON(ERR_peek_error()) == ERR_R_INTERNAL_ERROR
             || ERR_GET_REASON(ERR_peek_error()) == SSL_R_EXCESSIVE_MESSAGE_SIZE)
        out = UNSENT;
    if (out == FAILED)
        ts_show_errors("client");
    if (version == TLS1_2_VERSION && out != FAILED && out != UNSENT) {
        SSL_SESSION *got = SSL_get1_session(ssl);

        if (SSL_SESSION_has_ticket(got))
            on_session(ssl, got);
        else
            SSL_SESSION_free(got);
    }
    /* In good order, or libssl forgets the session. */
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    return out;
}

static SSL_SESSION *fresh(void)
{
    SSL_SESSION_free(newest);
    newest = NULL;
    if (offer(NULL) != FULL || newest == NULL)
        ts_bail("no ticket of the server's own");
    SSL_SESSION_up_ref(newest);
    return newest;
}

static SSL_SESSION *load(const char *path)
{
    FILE *f = fopen(path, "r");
    SSL_SESSION *session = f != NULL ? PEM_read_SSL_SESSION(f, NULL, NULL, NULL) : NULL;

    if (session == NULL)
        ts_bail("no session in %s", path);
    fclose(f);
    return session;
}

/* ---- forged --------------------------------------------------------------------- */

static void hmac(const unsigned char *key, const unsigned char *data, size_t len, unsigned char *out)
{
    if (HMAC(EVP_sha256(), key, 32, data, len, out, NULL) == NULL)
        ts_bail("HMAC failed");
}

/* The session in a ticket of libssl's layout under keys of all zeros. */
static bytes open_weak(bytes t)
{
    static const unsigned char zeros[32];
    unsigned char mac[MAC];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bytes der = { ts_xmalloc(t.len + 16), 0 };
    int n, last;

    hmac(zeros, t.data, t.len - MAC, mac);
    if (t.len <= NAME + SALT + MAC || memcmp(mac, t.data + t.len - MAC, MAC) != 0)
        ts_bail("the weak ticket is not under keys of zeros");
    if (EVP_DecryptInit_ex(c, EVP_aes_256_cbc(), NULL, zeros, t.data + NAME) != 1
        || EVP_DecryptUpdate(c, der.data, &n, t.data + NAME + SALT, (int)(t.len - NAME - SALT - MAC)) != 1
        || EVP_DecryptFinal_ex(c, der.data + n, &last) != 1)
        ts_bail("the weak ticket does not open");
    EVP_CIPHER_CTX_free(c);
    der.len = (size_t)(n + last);
    return der;
}

/* As libssl and nginx make them: AES-128 or -256 in CBC, HMAC-SHA-256. */
static bytes seal_as_libssl(const unsigned char *name, const unsigned char *key, int bits, bytes der)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bytes t = { ts_xmalloc(der.len + 128), NAME + SALT };
    int n, last;

    memcpy(t.data, name, NAME);
    memset(t.data + NAME, 0x42, SALT);
    if (EVP_EncryptInit_ex(c, bits == 128 ? EVP_aes_128_cbc() : EVP_aes_256_cbc(), NULL, key, t.data + NAME) != 1
        || EVP_EncryptUpdate(c, t.data + t.len, &n, der.data, (int)der.len) != 1
        || EVP_EncryptFinal_ex(c, t.data + t.len + n, &last) != 1)
        ts_bail("cannot encrypt");
    EVP_CIPHER_CTX_free(c);
    t.len += (size_t)(n + last);
    hmac(key, t.data, t.len, t.data + t.len);
    t.len += MAC;
    return t;
}

/* HKDF-Expand of one block (RFC 5869). */
static void expand(const unsigned char *key, const char *label, const unsigned char *more, size_t more_len,
                   unsigned char *out)
{
    unsigned char info[128];
    size_t n = strlen(label);

    memcpy(info, label, n);
    memcpy(info + n, more, more_len);
    info[n + more_len] = 1;
    hmac(key, info, n + more_len + 1, out);
}

/* docs/binding.md: TICKETSHIM_BIND=none, which binds to the version only. */
static void binding_none(unsigned char out[32])
{
    static const char label[] = "ticketshim v2 binding";
    unsigned char m[64] = { 0, 0, 0, 0, sizeof(label) - 1 };
    size_t n = 5 + sizeof(label) - 1;
    const unsigned char protocol[] = { 1, 0, 0, 0, 3, 1, 3, version == TLS1_3_VERSION ? 4 : 3 };

    memcpy(m + 5, label, sizeof(label) - 1);
    memcpy(m + n, protocol, sizeof(protocol));
    EVP_Digest(m, n + sizeof(protocol), out, NULL, EVP_sha256(), NULL);
}

/* As docs/ticket-format.md has it, under a link; `name` NULL: the link's own. */
static bytes seal_as_ours(const unsigned char *name, const unsigned char *link, bytes der)
{
    unsigned char own[32], mac[32], root[32], key[32], more[12 + 32], nonce[12] = { 0 }, header[5] = { 0 /* anonymous */ };
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bytes t = { ts_xmalloc(der.len + 128), NAME + SALT };
    uint32_t now = (uint32_t)time(NULL);
    int n, last;

    expand(link, "ticketshim v2 key name", NULL, 0, own);
    expand(link, "ticketshim v2 mac", NULL, 0, mac);
    expand(link, "ticketshim v2 root", NULL, 0, root);
    memcpy(t.data, name != NULL ? name : own, NAME);
    memset(t.data + NAME, 0x42, SALT);
    memcpy(more, t.data + NAME, 12);
    binding_none(more + 12);
    expand(root, "ticketshim v2 ticket", more, sizeof(more), key);
    memcpy(nonce + 8, t.data + NAME + 12, 4);
    for (int i = 0; i < 4; i++)
        header[1 + i] = (unsigned char)(now >> (24 - 8 * i));
    if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1
        || EVP_EncryptUpdate(c, t.data + t.len, &n, header, 5) != 1
        || EVP_EncryptUpdate(c, t.data + t.len + 5, &n, der.data, (int)der.len) != 1
        || EVP_EncryptFinal_ex(c, t.data + t.len + 5 + n, &last) != 1
        || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, t.data + t.len + 5 + der.len) != 1)
        ts_bail("cannot encrypt");
    EVP_CIPHER_CTX_free(c);
    t.len += 5 + der.len + TAG;
    hmac(mac, t.data, t.len, t.data + t.len);
    t.len += MAC;
    return t;
}

/*
 * Keys that were found in the wild or in documents: all zeros (CVE-2020-13777,
 * and what a forgotten initialisation leaves), sixteen times "1" and then zeros
 * ("We Really Need to Talk About Session Tickets", USENIX Security 2023), and
 * what people type.
 */
static void add_forged(bytes der, const unsigned char *server_name, SSL_SESSION *as)
{
    static const unsigned char zeros[NAME];
    unsigned char key[7][32];

    memset(key, 0, sizeof(key));
    memset(key[1], 0x31, 16);
    memset(key[2], 0xff, 32);
    memset(key[3], 'A', 32);
    memcpy(key[5], "0123456789abcdef0123456789abcdef", 32);
    memcpy(key[6], "passwordpasswordpasswordpassword", 32);
    for (int i = 0; i < 32; i++)
        key[4][i] = (unsigned char)i;
    for (int k = 0; k < 7; k++)
        for (int with = 0; with < 3; with++) {
            const unsigned char *name = with == 0 ? zeros : with == 1 ? server_name : key[k];
            bytes forged[] = { seal_as_libssl(name, key[k], 128, der), seal_as_libssl(name, key[k], 256, der),
                               seal_as_ours(with == 2 ? NULL : name, key[k], der) };

            add("forged in libssl's layout, AES-128", forged[0].data, forged[0].len, as);
            add("forged in libssl's layout, AES-256", forged[1].data, forged[1].len, as);
            add("forged in our layout", forged[2].data, forged[2].len, as);
            for (int i = 0; i < 3; i++)
                free(forged[i].data);
        }
}

/* ---- main ------------------------------------------------------------------------ */

static const char *option(int argc, char **argv, int *at, const char *name)
{
    size_t n = strlen(name);

    for (; *at < argc; ++*at)
        if (strncmp(argv[*at], name, n) == 0 && argv[*at][n] == '=')
            return argv[(*at)++] + n + 1;
    return NULL;
}

static const char *first(int argc, char **argv, const char *name)
{
    int at = 5;

    return option(argc, argv, &at, name);
}

static int forge(int argc, char **argv)
{
    const char *hex = first(argc, argv, "link");
    SSL_SESSION *as = load(first(argc, argv, "weak"));
    unsigned char link[32];
    unsigned byte;
    bytes t;

    for (size_t i = 0; i < sizeof(link); i++) {
        if (hex == NULL || sscanf(hex + 2 * i, "%2x", &byte) != 1)
            ts_bail("link=HEX");
        link[i] = (unsigned char)byte;
    }
    t = seal_as_ours(NULL, link, open_weak(ticket_of(as)));
    puts(offer(ts_with_ticket(as, t.data, t.len)) == RESUMED ? "resumed" : "not resumed");
    return 0;
}

int main(int argc, char **argv)
{
    long wanted, attempts = 0, counts[4] = { 0 }, counted = 0, genuine = 0, opened = 0;
    size_t longest = 0;
    SSL_SESSION *own, *weak;
    const char *path;
    bytes t, sibling;

    if (argc < 5)
        return 2;
    port = atoi(argv[1]);
    version = strcmp(argv[2], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    wanted = atol(argv[3]);
    host = argv[4];
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (version == TLS1_3_VERSION)
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    if (strcmp(argv[3], "forge") == 0)
        return forge(argc, argv);

    own = fresh();
    t = ticket_of(own);
    sibling = ticket_of(fresh());
    genuine_tickets[0] = t;
    genuine_tickets[1] = sibling;
    add_changed(t);
    add_mixed(t, sibling);
    add_mixed(sibling, t);
    for (int at = 5; (path = option(argc, argv, &at, "foreign")) != NULL;) {
        SSL_SESSION *foreign = load(path);
        bytes its = ticket_of(foreign);

        /* With its own secret, if the version allows, and with ours. */
        if (SSL_SESSION_get_protocol_version(foreign) == version)
            add("another server's", its.data, its.len, foreign);
        add("another server's, with our secret", its.data, its.len, NULL);
    }
    if ((path = first(argc, argv, "weak")) != NULL) {
        weak = load(path);
        add_forged(open_weak(ticket_of(weak)), t.data, weak);
    }

    if (wanted == 0)
        wanted = (long)listed;
    for (long i = 0; attempts + counts[UNSENT] < wanted; i++) {
        size_t n = (size_t)i % listed;
        SSL_SESSION *session = ts_with_ticket(list[n].as != NULL ? list[n].as : own, list[n].ticket.data,
                                              list[n].ticket.len);
        outcome out = offer(session);

        counts[out]++;
        attempts += out != UNSENT;
        counted += out != UNSENT && list[n].ticket.len >= PASSED_ON;
        if (out == RESUMED || out == FAILED)
            fprintf(stderr, "%s (%zu bytes, number %zu): %s\n", list[n].kind, list[n].ticket.len, n,
                    out == RESUMED ? "resumed" : "failed");
        if (out != UNSENT && list[n].ticket.len > longest)
            longest = list[n].ticket.len;
        SSL_SESSION_free(session);
        /* The server still takes what is its own. */
        if (i % 500 == 0) {
            SSL_SESSION *good = fresh();

            genuine++;
            opened += offer(good) == RESUMED;
            SSL_SESSION_free(good);
        }
    }
    printf("attempts=%ld full=%ld resumed=%ld failed=%ld unsent=%ld counted=%ld genuine=%ld opened=%ld "
           "different=%zu longest=%zu\n", attempts, counts[FULL], counts[RESUMED], counts[FAILED],
           counts[UNSENT], counted, genuine, opened, listed, longest);
    return counts[RESUMED] != 0 || counts[FAILED] != 0 || genuine != opened;
}
