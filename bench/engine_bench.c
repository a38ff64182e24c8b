/*
 * engine_bench.c: a server engine in memory, fed with unary calls in batches of 64, each answered
 * with 64 bytes. Prints calls a second; under callgrind, the difference of two run lengths gives
 * the instructions of one call:
 *
 *	valgrind --tool=callgrind engine_bench 2000     (and 22000)
 *
 * The client's bytes are those of a client engine, with the numbers of the streams patched in: some
 * 20 instructions a call are the bench's own.
 */
#include "runtime/protocol/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH 64u
#define MESSAGE 64u
#define CALL_MOST 512u

static const fc_engine_ops *const ops = &fc_h2_engine;
static fc_engine *server;
static uint64_t answered;

static void
flat(const fc_payload *payload, uint8_t *to)
{
	memcpy(to, payload->message, payload->size);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	sink->add(sink, (const uint8_t *)payload->message, payload->size);
}

static uint8_t message[MESSAGE];
static const fc_payload payload = {MESSAGE, flat, pour, message};

/* ---- server ---- */

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)path, (void)size;
	return owner;
}

static void
on_request(void *owner, fc_stream *stream, const fc_head *head)
{
	stream->user = owner;
	(void)head;
}

static void
on_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	(void)owner, (void)stream;
	message[0] ^= bytes[size - 1];
}

static void
on_half_close(void *owner, fc_stream *stream)
{
	static const fc_tail tail = {FARCALL_OK, {"", 0}, 0, NULL, FARCALL_CAUSE_NONE};

	(void)owner;
	ops->send_message(server, stream, &payload, false);
	ops->send_tail(server, stream, &tail);
	ops->release(server, stream);
	answered++;
}

static void
on_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	(void)owner, (void)stream;
	fprintf(stderr, "abort: %s\n", abort->text);
	exit(1);
}

static void
on_dead(void *owner, const fc_error *why)
{
	(void)owner;
	fprintf(stderr, "dead: %s\n", why->text);
	exit(1);
}

static const fc_engine_events events = {.lookup = lookup,
    .on_request = on_request,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_abort = on_abort,
    .on_dead = on_dead};

/* ---- the client's bytes ---- */

static size_t
take_output(fc_engine *engine, uint8_t *to)
{
	fc_piece pieces[16];
	size_t n = ops->output(engine, pieces, 16), size = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(to + size, pieces[i].at, pieces[i].size);
		size += pieces[i].size;
	}
	ops->wrote(engine, size);
	return size;
}

/* Makes one call; answers the size of its bytes. */
static size_t
client_call(fc_engine *client, uint8_t *to)
{
	static const fc_request request = {{"/demo.Greeter/SayHello", 22}, FC_NEVER, 0, NULL, 0};
	fc_stream *stream = ops->open_stream(client, &request, NULL);

	ops->send_message(client, stream, &payload, true);
	return take_output(client, to);
}

/* Both frames of a call carry its number. */
static void
patch(uint8_t *call, uint32_t id)
{
	fc_put32(call + 5, id);
	fc_put32(call + 9 + fc_get24(call) + 5, id);
}

static void
drop_output(void)
{
	fc_piece pieces[64];
	size_t n, size;

	do {
		size = 0;
		n = ops->output(server, pieces, 64);
		for (size_t i = 0; i < n; i++)
			size += pieces[i].size;
		ops->wrote(server, size);
	} while (size != 0);
}

int
main(int argc, char **argv)
{
	uint32_t calls = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	static uint8_t first[1024], batch[BATCH * CALL_MOST + 32];
	static const uint8_t update[13] = {0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0x20, 0};
	size_t first_size, size = 0;
	struct timespec start, end;
	uint32_t id = 7;
	fc_pool pool;
	fc_engine_config config = {.client = true,
	    .pool = &pool,
	    .max_message = 4u << 20,
	    .max_metadata = 8192,
	    .max_streams = 100,
	    .stream_window = 1u << 20,
	    .connection_window = 16u << 20,
	    .settings_timeout_ns = FC_NEVER - 1,
	    .authority = "localhost:27015",
	    .user_agent = "farcall/0.1",
	    .scheme = "http"};
	fc_engine *client;
	double seconds;

	fc_pool_init(&pool, 4u << 20);
	client = ops->open(&config, &events, NULL, 1);
	config.client = false;
	server = ops->open(&config, &events, NULL, 1);
	if (client == NULL || server == NULL)
		return 1;
	/* Three calls: names enter the table, templates are made, templates are used. */
	first_size = client_call(client, first);
	first_size += client_call(client, first + first_size);
	ops->input(server, first, first_size, 1);
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t call[CALL_MOST];
		size_t call_size = client_call(client, call);

		memcpy(batch + size, call, call_size);
		size += call_size;
	}
	memcpy(batch + size, update, sizeof update);
	drop_output();
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint32_t done = 0; done < calls; done += BATCH, id += 2 * BATCH) {
		size_t step = size / BATCH;

		for (uint32_t i = 0; i < BATCH; i++)
			patch(batch + i * step, id + 2 * i);
		ops->input(server, batch, size + sizeof update, 1 + done);
		drop_output();
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds =
	    (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
	printf("%llu calls, %.0f a second, %.0f ns each; %zu bytes a call came in\n",
	    (unsigned long long)answered, (double)answered / seconds,
	    1e9 * seconds / (double)answered, size / BATCH);
	ops->free(client);
	ops->free(server);
	fc_pool_fini(&pool);
	return 0;
}
