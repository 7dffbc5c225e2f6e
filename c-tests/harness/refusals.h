/* refusals.h: the reasons to refuse a ticket. `make header` writes it. */
#define TS_REFUSALS(X) \
    X(refused_unknown_key) \
    X(refused_expired) \
    X(refused_bad_mac) \
    X(refused_binding) \
    X(refused_too_old) \
    X(refused_malformed) \
    X(refused_no_sid_ctx) \
    X(refused_policy) \
    X(refused_client_expired)
