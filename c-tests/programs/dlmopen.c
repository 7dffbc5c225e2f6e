/*
 * dlmopen.c: dlopen.c in a link namespace of its own (dlmopen(3)), with a libc of its
 * own, where nothing is preloaded: there all is as without the shim. (Where there
 * are no link namespaces, it is dlopen.c again.)
 */
#define _GNU_SOURCE /* LM_ID_NEWLM */
#include <dlfcn.h>

#ifdef LM_ID_NEWLM
# define SPACE LM_ID_NEWLM
#endif
#include "dlopen.c"
