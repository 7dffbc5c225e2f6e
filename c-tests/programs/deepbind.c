/*
 * deepbind.c: dlopen.c with RTLD_DEEPBIND, as hosts of plugins do: what libssl calls
 * is looked for in libssl and what it needs first, before anything preloaded.
 * (AddressSanitizer ends a program that asks for it; there it is dlopen.c again.)
 */
#define _GNU_SOURCE /* RTLD_DEEPBIND */
#include <dlfcn.h>

#if defined(__has_feature)
# if __has_feature(address_sanitizer)
#  define SANITIZED
# endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED)
# define FLAGS (RTLD_NOW | RTLD_LOCAL)
#else
# define FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#endif
#include "dlopen.c"
