/* use.h: what a program does with the header; included by the units of header-check. */
#ifdef __cplusplus
# define TS_NULL nullptr
#else
# define TS_NULL ((void *)0)
#endif

static int ts_generate(struct ssl_st *s, void *arg)
{
    return s != TS_NULL && arg == TS_NULL;
}

static SSL_TICKET_RETURN ts_decrypt(struct ssl_st *s, struct ssl_session_st *ss,
                                    const unsigned char *keyname,
                                    size_t keyname_len, SSL_TICKET_STATUS status,
                                    void *arg)
{
    void *data;
    size_t len;

    (void)s;
    (void)keyname;
    (void)keyname_len;
    (void)arg;
    if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get0_ticket_appdata(ss, &data, &len) != 1)
        return SSL_TICKET_RETURN_ABORT;
    return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW
        : SSL_TICKET_RETURN_USE;
}

int ts_use(struct ssl_ctx_st *ctx, struct ssl_session_st *ss);
int ts_use(struct ssl_ctx_st *ctx, struct ssl_session_st *ss)
{
    SSL_CTX_generate_session_ticket_fn gen = ts_generate;
    SSL_CTX_decrypt_session_ticket_fn dec = ts_decrypt;
    struct ticketshim_stats stats;

    return SSL_CTX_set_session_ticket_cb(ctx, gen, dec, TS_NULL) == 1
        && SSL_SESSION_set1_ticket_appdata(ss, "data", 4) == 1
        && ticketshim_get_stats(&stats, sizeof(stats)) == 1
        && stats.sealed >= stats.failures && ticketshim_version() != TS_NULL;
}
