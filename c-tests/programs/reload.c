/*
 * reload.c: dlopen.c three times: libssl is let go of and loaded again, twice.
 */
#define TIMES 3
#include "dlopen.c"
