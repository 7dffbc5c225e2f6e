/*
 * audit.c: a library for LD_AUDIT (rtld-audit(7)) that wants to be told of every
 * library and every binding, and changes none.
 */
#define _GNU_SOURCE
#include <link.h>

unsigned int la_version(unsigned int version)
{
    return version;
}

unsigned int la_objopen(struct link_map *map, Lmid_t where, uintptr_t *cookie)
{
    (void)map;
    (void)where;
    (void)cookie;
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
