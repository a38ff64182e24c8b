/*
 * farcall/api.h: what every public header needs of the compiler. The only place where the library
 * uses attributes.
 */
#ifndef FARCALL_API_H
#define FARCALL_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define FARCALL_BEGIN_DECLS extern "C" {
#define FARCALL_END_DECLS }
#else
#define FARCALL_BEGIN_DECLS
#define FARCALL_END_DECLS
#endif

/* FARCALL_STATIC: a program that links the static library on Windows defines it. */
#if defined(_WIN32) && defined(FARCALL_BUILDING) && defined(FARCALL_SHARED)
#define FARCALL_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(FARCALL_BUILDING) && !defined(FARCALL_STATIC)
#define FARCALL_API __declspec(dllimport)
#elif defined(__GNUC__)
#define FARCALL_API __attribute__((visibility("default")))
#else
#define FARCALL_API
#endif

#if defined(__GNUC__)
#define FARCALL_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define FARCALL_LIKELY(x) __builtin_expect(!!(x), 1)
#define FARCALL_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FARCALL_UNUSED __attribute__((unused))
#else
#define FARCALL_PRINTF(text, first)
#define FARCALL_LIKELY(x) (x)
#define FARCALL_UNLIKELY(x) (x)
#define FARCALL_UNUSED
#endif

#endif
