/* contract_visits.h: what the two halves of the contract's tests share: contract.c runs and judges, contract_visits.c visits. */
#ifndef TS_CONTRACT_VISITS_H
#define TS_CONTRACT_VISITS_H

#include "internal.h"

/* In the environment: where the certificates and the state file are. */
#define TS_CONTRACT_DIR "TS_CONTRACT_DIR"

/* Handshakes, in their order: first those of the first process. */
enum {
    FRESH_LAX, MEMBER_STRICT,     /* these two give the tickets that the others offer */
    ACROSS_COLD, FRESH_MEMBER, ACROSS_WARM, FRESH_STRICT,
    WITHIN_LAX, ACROSS_RENEWED,
    WITHIN_1, WITHIN_2, WITHIN_3,
    TWIN_COLD, TWIN_FRESH, TWIN_WARM, TWIN_BACK,
    /* of the second: a restart */
    RESTART_COLD, RESTART_FRESH, RESTART_WARM, RESTART_STRICT,
    RESTART_TWIN_COLD, RESTART_TWIN_WARM,
    N_VISITS
};

typedef struct ts_visit {
    char fate[16];                /* "resumed", "full", "refused" */
    long offered, opened, refused, unknown, sealed;
    char outcome[96];             /* in more words */
} ts_visit;

/* A process of its own: does the visits of a role ("here:WAY:PROTOCOL", "there:…"), and writes down what came of them. */
int ts_contract_role(const char *role, const ts_way *ways, size_t n);

#endif
