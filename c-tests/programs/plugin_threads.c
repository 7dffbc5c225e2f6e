/*
 * plugin_threads.c: plugin.c in a host that has threads already, which are busy
 * while the plugin, and libssl with it, is loaded, works and goes.
 */
#define THREADS 4
#include "plugin.c"
