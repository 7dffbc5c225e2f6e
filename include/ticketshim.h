/* ticketshim.h: session tickets done right, in front of a program's own OpenSSL.
 *
 * Three functions are OpenSSL's (manual page SSL_CTX_set_session_ticket_cb(3)); what is
 * ticketshim's own is prefixed ticketshim_. With <openssl/ssl.h> at hand, types and constants
 * come from there; without it (or with TICKETSHIM_STANDALONE defined) the same are declared here.
 *
 * Generated from src/exports by cbindgen. Do not edit: `make header` writes it.
 */

#ifndef TICKETSHIM_H
#define TICKETSHIM_H

#include <stddef.h>
#include <stdint.h>

#if !defined(TICKETSHIM_STANDALONE) && defined(__has_include)
#  if __has_include(<openssl/ssl.h>)
#    include <openssl/ssl.h>
#    define TICKETSHIM_OPENSSL_HEADER 1
#  endif
#endif

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Called when a ticket is about to be made for connection s; SSL_get_session(s) gives the session to put application
// data into. Returns 1 to go on; 0 ends the connection with an internal_error alert.
typedef int (*SSL_CTX_generate_session_ticket_fn)(struct ssl_st *s, void *arg);
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// What dec_cb wants done: one of the SSL_TICKET_RETURN_... values.
typedef int SSL_TICKET_RETURN;
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// What came of decrypting a ticket: one of SSL_TICKET_EMPTY, _NO_DECRYPT, _SUCCESS, _SUCCESS_RENEW (the others never
// reach a callback).
typedef int SSL_TICKET_STATUS;
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Called when decrypting a ticket has been tried. ss is valid only with status SSL_TICKET_SUCCESS or
// SSL_TICKET_SUCCESS_RENEW and is not to be freed; keyname (keyname_len bytes, 16 or what there is of a shorter
// ticket) names the key, and is valid during the call. Returns what is to be done.
typedef SSL_TICKET_RETURN (*SSL_CTX_decrypt_session_ticket_fn)(struct ssl_st *s,
                                                               struct ssl_session_st *ss,
                                                               const unsigned char *keyname,
                                                               size_t keyname_len,
                                                               SSL_TICKET_STATUS status,
                                                               void *arg);
#endif

// Counters of this process, since it was started (a forked child goes on from its parent's). Later versions may
// add members at the end: ticketshim_get_stats() fills what the caller's structure has.
struct ticketshim_stats {
  // SSL_CTX whose tickets the library seals, just now.
  uint64_t attached;
  // SSL_CTX whose application brings ticket keys of its own, just now.
  uint64_t detached;
  // Tickets sealed.
  uint64_t sealed;
  // Tickets opened: connections resumed.
  uint64_t opened;
  // Tickets opened for which a new one was due (TLS 1.3: all; TLS 1.2: those under an older key).
  uint64_t renewed;
  // Refused: the key was never known here (another server's ticket, or libssl's own).
  uint64_t refused_unknown_key;
  // Refused: the key has left the accept window.
  uint64_t refused_expired;
  // Refused: altered, or made up.
  uint64_t refused_bad_mac;
  // Refused: sealed here for another server name, context, client certificate policy or protocol version.
  uint64_t refused_binding;
  // Refused: the last full handshake is too long ago.
  uint64_t refused_too_old;
  // Refused: authentic, and holds no session.
  uint64_t refused_malformed;
  // Refused: libssl would end the handshake, because the server asks for client certificates and has no session id
  // context (SSL_CTX_set_session_id_context).
  uint64_t refused_no_sid_ctx;
  // Troubles of the library's own, such as no memory. Each became a full handshake, or a connection without a
  // ticket.
  uint64_t failures;
  // Refused: which client certificates this server name demands is not known yet (the first connection to a name,
  // if the server has several SSL_CTX and asks for client certificates somewhere).
  uint64_t refused_policy;
  // Handshakes that were ended: a ticket had opened, and then the server's callbacks demanded other client
  // certificates for that name than before.
  uint64_t ended;
  // Of the sealed tickets, those whose session was serialised once instead of five times (where the calls that
  // libssl makes of its own functions can be seen).
  uint64_t serialised_once;
  // Refused: a certificate that the client was let in with has expired since.
  uint64_t refused_client_expired;
  // Connections that resumed and whose early data (0-RTT) was declined by TICKETSHIM_EARLY_DATA: the ticket came
  // from elsewhere, or its early data had come before.
  uint64_t early_data_declined;
};

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: fatal error, out of memory. Never given to dec_cb.
#define SSL_TICKET_FATAL_ERR_MALLOC 0
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: fatal error, or dec_cb has returned SSL_TICKET_RETURN_ABORT. Never given to dec_cb.
#define SSL_TICKET_FATAL_ERR_OTHER 1
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: no ticket present. Never given to dec_cb.
#define SSL_TICKET_NONE 2
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: the client sent an empty ticket, asking for one (TLS 1.2 and below).
#define SSL_TICKET_EMPTY 3
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: the ticket could not be decrypted.
#define SSL_TICKET_NO_DECRYPT 4
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: decrypted.
#define SSL_TICKET_SUCCESS 5
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Status: decrypted, and a new ticket is due.
#define SSL_TICKET_SUCCESS_RENEW 6
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Answer: end the handshake.
#define SSL_TICKET_RETURN_ABORT 0
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Answer: full handshake, no new ticket.
#define SSL_TICKET_RETURN_IGNORE 1
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Answer: full handshake, new ticket.
#define SSL_TICKET_RETURN_IGNORE_RENEW 2
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Answer: resume, no new ticket.
#define SSL_TICKET_RETURN_USE 3
#endif

#if !defined(TICKETSHIM_OPENSSL_HEADER)
// Answer: resume, new ticket.
#define SSL_TICKET_RETURN_USE_RENEW 4
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Sets the callbacks for session ticket application data on a server's context. Either callback may be NULL, which
// takes it back; arg is handed to both and stays the caller's. See SSL_CTX_set_session_ticket_cb(3).
//
// Returns 1, or 0 with an entry on the error queue if ctx is NULL.
//
// # Safety
// ctx is NULL or a live SSL_CTX; the callbacks and arg stay valid for as long as ctx lives or until they are replaced.
int SSL_CTX_set_session_ticket_cb(struct ssl_ctx_st *ctx,
                                  SSL_CTX_generate_session_ticket_fn gen_cb,
                                  SSL_CTX_decrypt_session_ticket_fn dec_cb,
                                  void *arg);

// Copies len bytes at data into session ss, to go into every ticket that is made of it from then on; data stays the
// caller's. NULL or a len of 0 clears it. May be called at any time before the ticket is made, usually in gen_cb.
//
// Returns 1, or 0 with an entry on the error queue: ss is NULL, memory has run out, or len is over 65,280, which no
// ticket can hold; then the session's application data is left as it was. As with libssl alone, data that fits by
// itself and not together with the rest of the session (65,280 bytes of DER in all) is accepted here and ends the
// handshake with internal_error when the ticket is made: only then is the session's size known.
//
// # Safety
// ss is NULL or a live session that no other thread changes; data is NULL or has len readable bytes.
int SSL_SESSION_set1_ticket_appdata(struct ssl_session_st *ss,
                                    const void *data,
                                    size_t len);

// Gives the application data of session ss: *data points to it and *len is its length in bytes. It belongs to the
// session and is valid until the session is freed or other data is set. Without any, *data is NULL and *len is 0.
//
// Returns 1, or 0 with an entry on the error queue if a pointer is NULL; then nothing is written.
//
// # Safety
// ss is NULL or a live session; data and len are NULL or writable.
int SSL_SESSION_get0_ticket_appdata(struct ssl_session_st *ss,
                                    void **data,
                                    size_t *len);

// The library's version, as "0.1.0". Belongs to the library. Never NULL.
const char *ticketshim_version(void);

// Writes this process's counters to *stats. size is sizeof(struct ticketshim_stats) as the caller knows it: a caller
// of an older header gets the members it has; members that this library does not have are 0.
//
// Returns 1, or 0 with an entry on the error queue if stats is NULL or size is not a multiple of 8.
//
// # Safety
// stats is NULL or has size writable bytes.
int ticketshim_get_stats(struct ticketshim_stats *stats,
                         size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TICKETSHIM_H */
