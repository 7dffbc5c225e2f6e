/* throw.h: C++ exceptions for scenarios in C (harness/throw.cc). Not part of ts.h. */
#ifndef TS_THROW_H
#define TS_THROW_H

#ifdef __cplusplus
extern "C" {
#endif

/* Is there C++ in this program? 0 if it was built without a C++ compiler. */
int ts_can_throw(void);

/* Throws an exception of a type of its own. */
void ts_throw(void)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

/* Calls `body`. 1 if that exception came out of it, 0 if it returned. */
int ts_catch(void (*body)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
