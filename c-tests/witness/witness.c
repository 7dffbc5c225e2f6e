/*
 * witness.c: preloaded beside the shim into a program that knows nothing of the
 * harness. When the program ends, it ends it badly unless the core has sealed
 * tickets and opened some: same output alone does not show that.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ticketshim.h"

__attribute__((destructor)) static void testify(void)
{
    struct ticketshim_stats stats;
    int (*get)(struct ticketshim_stats *, size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "ticketshim_get_stats");

    memcpy(&get, &symbol, sizeof(get));
    memset(&stats, 0, sizeof(stats));
    if (symbol == NULL)
        fputs("witness: the shim is not loaded\n", stderr);
    else if (get(&stats, sizeof(stats)) != 1 || stats.sealed == 0 || stats.opened == 0)
        fprintf(stderr, "witness: the core has sealed %llu tickets and opened %llu\n",
                (unsigned long long)stats.sealed, (unsigned long long)stats.opened);
    else
        return;
    fflush(NULL);
    _exit(98);
}
