/*
 * memory.c: memory of one run, text that grows, and the way out when nothing helps.
 *
 * A compiler's plugin lives for milliseconds: everything is kept until the run ends and freed in
 * one go, so nothing here can leak or dangle. Out of memory ends the run with a message.
 */
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fc_block {
	union {
		struct fc_block *next;
		max_align_t aligned;
	} head;
};

void
fc_die(const char *format, ...)
{
	va_list arguments;

	fputs("protoc-gen-farcall: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static void *
take(void *data, size_t size)
{
	fc_run *run = (fc_run *)data;
	struct fc_block *block = NULL;

	if (size <= SIZE_MAX - sizeof *block)
		block = (struct fc_block *)malloc(sizeof *block + size);
	if (block == NULL)
		fc_die("out of memory");
	block->head.next = run->blocks;
	run->blocks = block;
	return block + 1;
}

static void
keep(void *data, void *memory)
{
	(void)data;
	(void)memory;
}

ProtobufCAllocator
fc_run_allocator(fc_run *run)
{
	ProtobufCAllocator allocator = {take, keep, run};

	return allocator;
}

void *
fc_take(fc_run *run, size_t count, size_t size)
{
	void *memory;

	if (size != 0 && count > SIZE_MAX / 2 / size)
		fc_die("out of memory");
	memory = take(run, count * size);
	memset(memory, 0, count * size);
	return memory;
}

void
fc_run_fini(fc_run *run)
{
	while (run->blocks != NULL) {
		struct fc_block *next = run->blocks->head.next;

		free(run->blocks);
		run->blocks = next;
	}
}

static void
reserve(fc_out *out, size_t size)
{
	char *text;

	if (out->room - out->size > size)
		return;
	out->room = out->room * 2 + size + 256;
	text = (char *)fc_take(out->run, out->room, 1);
	if (out->size != 0)
		memcpy(text, out->text, out->size);
	out->text = text;
}

void
fc_put_bytes(fc_out *out, const char *bytes, size_t size)
{
	reserve(out, size);
	memcpy(out->text + out->size, bytes, size);
	out->size += size;
	out->text[out->size] = '\0';
}

void
fc_put_list(fc_out *out, const char *format, va_list arguments)
{
	va_list again;
	int size;

	va_copy(again, arguments);
	size = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (size < 0)
		fc_die("cannot format text");
	reserve(out, (size_t)size);
	vsnprintf(out->text + out->size, (size_t)size + 1, format, arguments);
	out->size += (size_t)size;
}

void
fc_put(fc_out *out, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fc_put_list(out, format, arguments);
	va_end(arguments);
}

char *
fc_say(fc_run *run, const char *format, ...)
{
	fc_out out = {run, NULL, 0, 0};
	va_list arguments;

	va_start(arguments, format);
	fc_put_list(&out, format, arguments);
	va_end(arguments);
	return out.text;
}
