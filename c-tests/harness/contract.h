/*
 * contract.h: the contract of docs/binding.md, held by tables (contract.c). Part of ts.h.
 *
 * A way is one in which a server decides about a client: a verify mode, a
 * callback, a PSK … Each is set up laxly and strictly: the intruder gets in
 * where it is lax, and the member at both. The programs contrast/contract_*.c
 * are tables of ways. Every way and protocol is tried in processes of their
 * own, which are this very program again: stock, under the shim, and once more
 * with the same state file, which is a restart. Then three rules are checked:
 *
 *   across  the intruder's ticket from the lax context comes to nothing but
 *           what a full handshake would come to at the strict one;
 *   within  a context resumes its own tickets exactly when stock does;
 *   twin    what libssl alone decides resumes at a context that is set up
 *           alike, here and after a restart; all else does not.
 */
#ifndef TS_CONTRACT_H
#define TS_CONTRACT_H

#include <openssl/ssl.h>

/* Clients. */
typedef enum ts_who {
    TS_NOBODY,                    /* has nothing to show */
    TS_MEMBER,                    /* certificate of the CA: with every name, purpose and policy */
    TS_GUEST,                     /* of the CA, too, with other ones */
    TS_OTHER,                     /* certificate of the other CA */
    TS_EVIL,                      /* signed by itself */
    TS_DEEP,                      /* of the CA by way of an intermediate */
    TS_SMALL,                     /* of the CA, with RSA of 1024 bits */
    TS_EXPIRING,                  /* of the CA, valid for two more seconds */
    TS_ALICE, TS_BOB              /* have no certificate, but a PSK or a password */
} ts_who;

/* What becomes of the member's ticket at a context that is set up alike. */
typedef enum ts_twin {
    TS_PORTABLE,                  /* resumes */
    TS_ISOLATED,                  /* never does */
    TS_EITHER                     /* depends on what this libssl lets one read */
} ts_twin;

typedef struct ts_way {
    const char *name;
    unsigned protos;              /* TS_ON(TS_TLS13) | …; 0: all */
    ts_who intruder, member;      /* TS_NOBODY and, by default, TS_MEMBER */
    int nobody_is_member;         /* … the member has nothing to show, too */
    int harmless;                 /* the strict one lets the intruder in, too, in full */
    int plain;                    /* … and resumes its ticket: nobody is asked anything */
    int learns;                   /* a name is known only after one full handshake */
    int no_cert;                  /* the strict server has no certificate */
    ts_twin twin;
    void (*ctx)(SSL_CTX *ctx, int strict);         /* sets up the server's context … */
    void (*server)(ts_conn *c, int strict);        /* … its connection */
    void (*client)(ts_conn *c, ts_who who);        /* … and the client's */
    void (*client_ctx)(SSL_CTX *ctx, ts_who who);  /* … and its context */
    void (*later)(ts_conn *c, int strict);         /* asks, when the handshake is over */
    void (*wait)(void);           /* after the intruder and the member have got their tickets */
    /* Where the contract says otherwise than stock: in its words, and what comes of it. */
    const char *exception;
    const char *within, *within_lax; /* "resumed", "full", "refused"; NULL: as stock */
    /* Rules that do not hold yet, and why; nothing else is to be here. */
    const char *awaits;           /* of "across", "within", "twin", with spaces between */
} ts_way;

#define TS_ON(proto) (1u << (proto))

/* What a program of this kind consists of: main()'s return value. */
int ts_contract(int argc, char **argv, const ts_way *ways, size_t n);

/* ---- for the hooks ------------------------------------------------------------ */

ts_cert *ts_cert_of(ts_who who);  /* NULL: has none */
ts_cert *ts_client_ca(void);      /* issuer of most */
ts_cert *ts_other_ca(void);
X509_CRL *ts_guest_crl(void);     /* revokes the guest's certificate */

/* Demand a certificate of that CA, with this verify callback. */
void ts_demand(SSL_CTX *ctx, const ts_cert *of, SSL_verify_cb callback);

/* SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT */
#define TS_DEMANDS (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT)

/* Is this certificate the guest's, by its subject? */
int ts_is_guest(X509 *cert);

/* A context that lives until the end. */
SSL_CTX *ts_for_good(SSL_CTX *ctx);

/* The server took an external PSK: this handshake was no resumption by ticket. */
void ts_took_psk(void);

/* ts_way.wait: until TS_EXPIRING has. */
void ts_until_expired(void);

#endif
