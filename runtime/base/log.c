/*
 * log.c: see log.h. No lock: a line is made on the stack and given away in one piece.
 */
#include "runtime/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#define LINE 512

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static atomic_int least_level = FARCALL_LOG_WARNING;

static void
to_stderr(farcall_log_level level, const char *text, void *data)
{
	(void)data;
	fprintf(stderr, "farcall: %s: %s\n", level_names[level], text);
}

static farcall_log_fn *log_fn = to_stderr;
static void *log_data;

void
farcall_log_set(farcall_log_fn *fn, void *data)
{
	log_fn = fn != NULL ? fn : to_stderr;
	log_data = data;
}

void
farcall_log_set_level(farcall_log_level least)
{
	atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

static void
escape(char *to, size_t room, const char *from)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *from != 0 && n + 5 < room; from++) {
		unsigned char c = (unsigned char)*from;

		if (c >= 0x20 && c < 0x7f) {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '\\';
		to[n++] = 'x';
		to[n++] = digits[c >> 4];
		to[n++] = digits[c & 15];
	}
	to[n] = 0;
}

void
fc_log(farcall_log_level level, const char *format, ...)
{
	char raw[LINE], line[2 * LINE];
	va_list arguments;

	if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed) ||
	    level >= FARCALL_LOG_NONE)
		return;
	va_start(arguments, format);
	if (vsnprintf(raw, sizeof raw, format, arguments) < 0)
		raw[0] = 0;
	va_end(arguments);
	escape(line, sizeof line, raw);
	log_fn(level, line, log_data);
}
