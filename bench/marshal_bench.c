/*
 * marshal_bench.c: messages to bytes and back, our own marshalling against protobuf-c's. One kind
 *of work, so many times; under callgrind the difference of two run lengths gives the instructions
 *of one. Without callgrind it prints nanoseconds.
 *
 *	marshal_bench WORK COUNT [BYTES]
 *	valgrind --tool=callgrind marshal_bench unpack 2000     (and 22000)
 *
 * WORK: unpack and pack are ours (pack: the size too), unpack-c and pack-c protobuf-c's; "nothing"
 * is what the loop takes by itself. The message holds one field of BYTES (64) bytes.
 */
#include "runtime/call/marshal.h"

#include "bench.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST 65536u

static const ProtobufCMessageDescriptor *const type = &bench__echo_msg__descriptor;
static uint8_t lent[2 * MOST], wire[MOST + 16], out[MOST + 16];
static size_t wire_size;
static Bench__EchoMsg message;
static fc_arena arena;
static uint64_t sum;

static void
do_nothing(void)
{
	fc_arena_reset(&arena);
}

static void
do_unpack(void)
{
	ProtobufCMessage *unpacked = NULL;
	fc_error error;

	fc_arena_reset(&arena);
	error.code = FARCALL_OK;
	if (fc_unpack(type, wire, wire_size, &fc_guard_defaults, &arena, &unpacked, &error) !=
	    FARCALL_OK)
		abort();
	sum += ((Bench__EchoMsg *)(void *)unpacked)->payload.len;
}

static void
do_pack(void)
{
	fc_payload payload;

	if (!fc_payload_of_message(&payload, &message.base))
		abort();
	payload.flat(&payload, out);
	sum += payload.size;
}

/* ---- protobuf-c ---- */

static void *
arena_alloc(void *data, size_t size)
{
	return fc_arena_alloc((fc_arena *)data, size + (size == 0));
}

static void
arena_free(void *data, void *memory)
{
	(void)data, (void)memory;
}

static void
do_unpack_c(void)
{
	ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
	ProtobufCMessage *unpacked;

	fc_arena_reset(&arena);
	unpacked = protobuf_c_message_unpack(type, &allocator, wire_size, wire);
	if (unpacked == NULL)
		abort();
	sum += ((Bench__EchoMsg *)(void *)unpacked)->payload.len;
}

static void
do_pack_c(void)
{
	sum += protobuf_c_message_get_packed_size(&message.base);
	protobuf_c_message_pack(&message.base, out);
}

static const struct work {
	const char *name;
	void (*run)(void);
} works[] = {
    {"nothing", do_nothing},
    {"unpack", do_unpack},
    {"unpack-c", do_unpack_c},
    {"pack", do_pack},
    {"pack-c", do_pack_c},
};

static int
measure(void (*run)(void), unsigned long n)
{
	struct timespec from, to;
	double ns;

	timespec_get(&from, TIME_UTC);
	for (unsigned long i = 0; i < n; i++)
		run();
	timespec_get(&to, TIME_UTC);
	ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
	printf("%.1f ns each (%llu)\n", ns / (double)n, (unsigned long long)sum);
	return 0;
}

int
main(int argc, char **argv)
{
	static uint8_t contents[MOST];
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 64;

	bench__echo_msg__init(&message);
	message.payload.data = contents;
	message.payload.len = FC_MIN(size, MOST);
	wire_size = protobuf_c_message_pack(&message.base, wire);
	fc_arena_init(&arena, NULL, sizeof lent, lent, sizeof lent);
	for (size_t i = 0; argc > 2 && i < FC_COUNT(works); i++) {
		if (strcmp(argv[1], works[i].name) == 0)
			return measure(works[i].run, strtoul(argv[2], NULL, 10));
	}
	fprintf(stderr, "usage: marshal_bench nothing|unpack|unpack-c|pack|pack-c COUNT [BYTES]\n");
	return 2;
}
