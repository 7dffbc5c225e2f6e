/*
 * compare.c: include/ticketshim.h against the OpenSSL that is installed, and
 * both against the manual page: every constant, every type and every prototype,
 * at compile time. Needs C11; nothing of this is ever run.
 *
 * Compiled twice: as it is, and with TICKETSHIM_STANDALONE, where the header's
 * own definitions are taken down before OpenSSL's come.
 */
#include <ticketshim.h>

#define SAME(a, b, text) _Static_assert(__builtin_types_compatible_p(a, b), text)
#define IS(value, number, text) _Static_assert((value) == (number), text)

/* ---- ours, as seen before <openssl/ssl.h> (or by way of it) ---------------------- */

enum {
    our_fatal_malloc = SSL_TICKET_FATAL_ERR_MALLOC,
    our_fatal_other = SSL_TICKET_FATAL_ERR_OTHER,
    our_none = SSL_TICKET_NONE,
    our_empty = SSL_TICKET_EMPTY,
    our_no_decrypt = SSL_TICKET_NO_DECRYPT,
    our_success = SSL_TICKET_SUCCESS,
    our_success_renew = SSL_TICKET_SUCCESS_RENEW,
    our_abort = SSL_TICKET_RETURN_ABORT,
    our_ignore = SSL_TICKET_RETURN_IGNORE,
    our_ignore_renew = SSL_TICKET_RETURN_IGNORE_RENEW,
    our_use = SSL_TICKET_RETURN_USE,
    our_use_renew = SSL_TICKET_RETURN_USE_RENEW
};
typedef SSL_TICKET_STATUS our_status;
typedef SSL_TICKET_RETURN our_return;
typedef SSL_CTX_generate_session_ticket_fn our_generate_fn;
typedef SSL_CTX_decrypt_session_ticket_fn our_decrypt_fn;
typedef __typeof__(SSL_CTX_set_session_ticket_cb) our_set_cb;
typedef __typeof__(SSL_SESSION_set1_ticket_appdata) our_set1;
typedef __typeof__(SSL_SESSION_get0_ticket_appdata) our_get0;

#ifdef TICKETSHIM_STANDALONE
/* Else a different definition in a system header would pass in silence. */
# undef SSL_TICKET_FATAL_ERR_MALLOC
# undef SSL_TICKET_FATAL_ERR_OTHER
# undef SSL_TICKET_NONE
# undef SSL_TICKET_EMPTY
# undef SSL_TICKET_NO_DECRYPT
# undef SSL_TICKET_SUCCESS
# undef SSL_TICKET_SUCCESS_RENEW
# undef SSL_TICKET_RETURN_ABORT
# undef SSL_TICKET_RETURN_IGNORE
# undef SSL_TICKET_RETURN_IGNORE_RENEW
# undef SSL_TICKET_RETURN_USE
# undef SSL_TICKET_RETURN_USE_RENEW
#endif

/* ---- theirs ------------------------------------------------------------------------ */

#include <openssl/ssl.h>

IS(our_fatal_malloc, SSL_TICKET_FATAL_ERR_MALLOC, "SSL_TICKET_FATAL_ERR_MALLOC");
IS(our_fatal_other, SSL_TICKET_FATAL_ERR_OTHER, "SSL_TICKET_FATAL_ERR_OTHER");
IS(our_none, SSL_TICKET_NONE, "SSL_TICKET_NONE");
IS(our_empty, SSL_TICKET_EMPTY, "SSL_TICKET_EMPTY");
IS(our_no_decrypt, SSL_TICKET_NO_DECRYPT, "SSL_TICKET_NO_DECRYPT");
IS(our_success, SSL_TICKET_SUCCESS, "SSL_TICKET_SUCCESS");
IS(our_success_renew, SSL_TICKET_SUCCESS_RENEW, "SSL_TICKET_SUCCESS_RENEW");
IS(our_abort, SSL_TICKET_RETURN_ABORT, "SSL_TICKET_RETURN_ABORT");
IS(our_ignore, SSL_TICKET_RETURN_IGNORE, "SSL_TICKET_RETURN_IGNORE");
IS(our_ignore_renew, SSL_TICKET_RETURN_IGNORE_RENEW,
   "SSL_TICKET_RETURN_IGNORE_RENEW");
IS(our_use, SSL_TICKET_RETURN_USE, "SSL_TICKET_RETURN_USE");
IS(our_use_renew, SSL_TICKET_RETURN_USE_RENEW, "SSL_TICKET_RETURN_USE_RENEW");

SAME(our_status, SSL_TICKET_STATUS, "SSL_TICKET_STATUS");
SAME(our_return, SSL_TICKET_RETURN, "SSL_TICKET_RETURN");
SAME(our_generate_fn, SSL_CTX_generate_session_ticket_fn, "generate_fn");
SAME(our_decrypt_fn, SSL_CTX_decrypt_session_ticket_fn, "decrypt_fn");

/* ---- both, as the manual page has them --------------------------------------------- */

/* The numbers are OpenSSL's since 1.1.1, and in programs that were compiled then. */
IS(our_fatal_malloc, 0, "SSL_TICKET_FATAL_ERR_MALLOC is 0");
IS(our_fatal_other, 1, "SSL_TICKET_FATAL_ERR_OTHER is 1");
IS(our_none, 2, "SSL_TICKET_NONE is 2");
IS(our_empty, 3, "SSL_TICKET_EMPTY is 3");
IS(our_no_decrypt, 4, "SSL_TICKET_NO_DECRYPT is 4");
IS(our_success, 5, "SSL_TICKET_SUCCESS is 5");
IS(our_success_renew, 6, "SSL_TICKET_SUCCESS_RENEW is 6");
IS(our_abort, 0, "SSL_TICKET_RETURN_ABORT is 0");
IS(our_ignore, 1, "SSL_TICKET_RETURN_IGNORE is 1");
IS(our_ignore_renew, 2, "SSL_TICKET_RETURN_IGNORE_RENEW is 2");
IS(our_use, 3, "SSL_TICKET_RETURN_USE is 3");
IS(our_use_renew, 4, "SSL_TICKET_RETURN_USE_RENEW is 4");

SAME(our_status, int, "SSL_TICKET_STATUS is int");
SAME(our_return, int, "SSL_TICKET_RETURN is int");
SAME(our_generate_fn, int (*)(SSL *, void *), "the page's generate_fn");
SAME(our_decrypt_fn,
     SSL_TICKET_RETURN (*)(SSL *, SSL_SESSION *, const unsigned char *, size_t,
                           SSL_TICKET_STATUS, void *),
     "the page's decrypt_fn");
SAME(our_set_cb,
     int (SSL_CTX *, SSL_CTX_generate_session_ticket_fn,
          SSL_CTX_decrypt_session_ticket_fn, void *),
     "the page's SSL_CTX_set_session_ticket_cb()");
SAME(our_set1, int (SSL_SESSION *, const void *, size_t),
     "the page's SSL_SESSION_set1_ticket_appdata()");
SAME(our_get0, int (SSL_SESSION *, void **, size_t *),
     "the page's SSL_SESSION_get0_ticket_appdata()");

/* ---- our own two -------------------------------------------------------------------- */

SAME(__typeof__(ticketshim_version), const char *(void), "ticketshim_version()");
SAME(__typeof__(ticketshim_get_stats), int (struct ticketshim_stats *, size_t),
     "ticketshim_get_stats()");
/* Only ever longer, at the end: programs are compiled with its size. */
IS(sizeof(struct ticketshim_stats) % 8, 0, "counters of 8 bytes, no padding");
IS(sizeof(struct ticketshim_stats) >= 13 * 8, 1, "no counter has gone");
IS(offsetof(struct ticketshim_stats, attached), 0, "attached is the first");
IS(offsetof(struct ticketshim_stats, sealed), 16, "sealed is the third");
IS(offsetof(struct ticketshim_stats, failures), 96, "failures is the 13th");

int nothing_is_run_here;
