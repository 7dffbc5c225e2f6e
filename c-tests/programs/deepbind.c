/*
 * deepbind.c: dlopen.c with RTLD_DEEPBIND, as hosts of plugins do: what libssl calls
 * is looked for in libssl and what it needs first, before anything preloaded.
 */
#define _GNU_SOURCE /* RTLD_DEEPBIND */
#include <dlfcn.h>

#define FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#include "dlopen.c"
