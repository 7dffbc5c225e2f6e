/* program.c: what begins and ends the whole of a program; the other files know nothing of each other's beginnings and ends. */
#include "internal.h"

void ts_before_threads(void)
{
    ts_server_cert();
    BIO_free(ts_dgram_bio_new());
}

int ts_done(void)
{
    int core = ts_core_check();
    int passed = ts_plan();

    ts_pki_free();
    ts_library_free();
    ts_dgram_bio_method_free();
    return passed && core == 0 ? 0 : 1;
}
