/*
 * farcall/log.h: what the library has to say that is no answer to a call.
 */
#ifndef FARCALL_LOG_H
#define FARCALL_LOG_H

#include <farcall/api.h>

FARCALL_BEGIN_DECLS

typedef enum farcall_log_level {
	FARCALL_LOG_DEBUG,
	FARCALL_LOG_INFO,
	FARCALL_LOG_WARNING,
	FARCALL_LOG_ERROR,
	FARCALL_LOG_NONE
} farcall_log_level;

/* `text` is one line without its end; printable, lives for the call of `fn` only. `fn` may be
 * called from any thread and must not call the library. */
typedef void farcall_log_fn(farcall_log_level level, const char *text, void *data);

/* Before the first use of the library. NULL: back to the default, standard error. */
FARCALL_API void farcall_log_set(farcall_log_fn *fn, void *data);

/* What is below `least` is dropped. Default FARCALL_LOG_WARNING. Any thread. */
FARCALL_API void farcall_log_set_level(farcall_log_level least);

FARCALL_END_DECLS

#endif
