// throw.cc: see throw.h. Compiled as C (-x c), it says that it cannot.
#include <stdlib.h>

#include "throw.h"

#ifdef __cplusplus

namespace {
struct thrown {};
}

int ts_can_throw(void) { return 1; }

void ts_throw(void) { throw thrown(); }

int ts_catch(void (*body)(void *), void *arg)
{
    try {
        body(arg);
    } catch (const thrown &) {
        return 1;
    }
    return 0;
}

#else

int ts_can_throw(void) { return 0; }

void ts_throw(void) { abort(); }

int ts_catch(void (*body)(void *), void *arg)
{
    body(arg);
    return 0;
}

#endif
