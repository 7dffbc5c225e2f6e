/*
 * appdata.c: a server keeps data of its own in the client's session ticket.
 *
 * On the first connection gen_cb puts "user=alice" into the session, so it goes
 * into the ticket, sealed. On the second the client offers the ticket, and
 * dec_cb gets the data back. Client and server are in this one program and talk
 * over two memory BIOs; a real server only has the two callbacks.
 *
 *   cc appdata.c -lssl -lcrypto && ./a.out            libssl's own tickets
 *   LD_PRELOAD=libticketshim.so.0 ./a.out             sealed by ticketshim
 *   cc appdata.c -lticketshim -lssl -lcrypto          the same, linked
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static const char user[] = "user=alice";

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s failed\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* A ticket is about to be made: put data into its session. */
static int gen_cb(SSL *s, void *arg)
{
    (void)arg;
    printf("  server: new ticket, puts in \"%s\"\n", user);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(s), user,
                                           sizeof(user) - 1);
}

/* The client has offered a ticket, and decrypting it has been tried. */
static SSL_TICKET_RETURN dec_cb(SSL *s, SSL_SESSION *ss,
                                const unsigned char *keyname, size_t keyname_len,
                                SSL_TICKET_STATUS status, void *arg)
{
    void *data;
    size_t len;

    (void)s;
    (void)keyname;
    (void)keyname_len;
    (void)arg;
    if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
        return SSL_TICKET_RETURN_IGNORE_RENEW; /* full handshake, new ticket */
    if (SSL_SESSION_get0_ticket_appdata(ss, &data, &len) != 1)
        return SSL_TICKET_RETURN_ABORT;
    printf("  server: ticket opened, finds \"%.*s\"\n", (int)len,
           data != NULL ? (char *)data : "");
    return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW
        : SSL_TICKET_RETURN_USE;
}

/* A throw-away key and self-signed certificate. */
static void make_certificate(SSL_CTX *ctx)
{
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    EVP_PKEY *key = NULL;
    X509 *cert = X509_new();

    check(gen != NULL && cert != NULL && EVP_PKEY_keygen_init(gen) == 1
          && EVP_PKEY_CTX_set_ec_paramgen_curve_nid(gen, NID_X9_62_prime256v1)
             == 1 && EVP_PKEY_keygen(gen, &key) == 1, "making a key");
    check(X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL
          && X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL
          && X509_set_pubkey(cert, key) == 1
          && X509_sign(cert, key, EVP_sha256()) > 0
          && SSL_CTX_use_certificate(ctx, cert) == 1
          && SSL_CTX_use_PrivateKey(ctx, key) == 1, "making a certificate");
    X509_free(cert);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(gen);
}

/* One connection, offering `session` if there is one; returns the client's. */
static SSL_SESSION *connect_once(SSL_CTX *server_ctx, SSL_CTX *client_ctx,
                                 SSL_SESSION *session)
{
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
    SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
    char byte;
    int in = 0, out = 0;

    check(up != NULL && down != NULL && server != NULL && client != NULL
          && BIO_up_ref(up) == 1 && BIO_up_ref(down) == 1, "making SSLs");
    SSL_set_bio(server, up, down);
    SSL_set_bio(client, down, up);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    check(session == NULL || SSL_set_session(client, session) == 1,
          "SSL_set_session()");
    for (int i = 0; i < 10 && !(in == 1 && out == 1); i++) {
        in = SSL_do_handshake(client);
        out = SSL_do_handshake(server);
    }
    check(in == 1 && out == 1, "the handshake");
    /* In TLS 1.3 tickets come after the handshake: read until they are there. */
    check(SSL_write(server, "!", 1) == 1 && SSL_read(client, &byte, 1) == 1,
          "writing and reading");
    printf("  client: %s\n", SSL_session_reused(client) ? "resumed"
           : "full handshake");
    session = SSL_get1_session(client);
    SSL_shutdown(client); /* else the session is taken for a broken one's */
    SSL_shutdown(server);
    SSL_free(client);
    SSL_free(server);
    return session;
}

int main(void)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    for (int i = 0; i < 2; i++) {
        SSL_CTX *server = SSL_CTX_new(TLS_server_method());
        SSL_CTX *client = SSL_CTX_new(TLS_client_method());
        SSL_SESSION *first, *second;

        check(server != NULL && client != NULL
              && SSL_CTX_set_max_proto_version(server, versions[i]) == 1
              && SSL_CTX_set_session_ticket_cb(server, gen_cb, dec_cb, NULL)
                 == 1, "setting up");
        make_certificate(server);
        printf("%s\n", versions[i] == TLS1_2_VERSION ? "TLS 1.2" : "TLS 1.3");
        first = connect_once(server, client, NULL);
        second = connect_once(server, client, first);
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
    return 0;
}
