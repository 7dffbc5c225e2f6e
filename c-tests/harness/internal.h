/* internal.h: what the harness's own files share. Scenarios use ts.h only. */
#ifndef TS_INTERNAL_H
#define TS_INTERNAL_H

#include "ts.h"

void *ts_xmalloc(size_t n);             /* never NULL, zeroed */
int ts_plan(void);                      /* TAP's last line; whether all passed */
void ts_show_errors(const char *who);   /* OpenSSL's error queue to stderr */
void ts_pki_free(void);                 /* pki.c's certificates */
void ts_dgram_bio_method_free(void);    /* dgram.c's method */
int ts_core_check(void);                /* core.c; 0 when as announced */
BIO *ts_dgram_bio_new(void);            /* keeps datagrams apart */
BIO *ts_stream_bio_new(void);           /* a memory BIO that asks to retry */
SSL_CTX *ts_ctx_new(ts_kind kind, const SSL_METHOD *method); /* or NULL */
void ts_library_free(void);             /* compat.c's library context */
void ts_count_ticket(void);             /* one more for ts_total_tickets() */

/* contract_pki.c: clients from a file in `dir`, or made and written there. */
void ts_contract_pki(const char *dir, int make);
void ts_contract_pki_free(void);
ts_cert *ts_intermediate(void);
void ts_has_expired(void);              /* what is to expire has, before this process */

#endif
