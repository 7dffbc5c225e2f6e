/*
 * contract_time.c: the contract (harness/contract.h), where a client certificate expires. It is valid when it is shown, and
 * for two seconds after that.
 */
#include "ts.h"

static void demands(SSL_CTX *ctx, int strict)
{
    (void)strict;
    ts_demand(ctx, ts_client_ca(), NULL);
}

/* The lax one does not look at the time. */
static void looks_or_not(SSL_CTX *ctx, int strict)
{
    ts_demand(ctx, ts_client_ca(), NULL);
    if (!strict
        && X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_NO_CHECK_TIME) != 1)
        ts_bail("cannot set a flag");
}

static const ts_way ways[] = {
    { .name = "expired", .ctx = demands, .intruder = TS_EXPIRING, .wait = ts_until_expired,
      .within_lax = "refused", .exception = "a client certificate that has expired since the full handshake" },
    { .name = "expired, and nobody looks at the time", .protos = TS_ON(TS_TLS13), .ctx = looks_or_not,
      .intruder = TS_EXPIRING, .wait = ts_until_expired, .twin = TS_EITHER },
};

int main(int argc, char **argv)
{
    return ts_contract(argc, argv, ways, sizeof(ways) / sizeof(ways[0]));
}
