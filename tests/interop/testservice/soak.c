/*
 * soak.c: rpc_soak and channel_soak: large unary calls one after the other, on one channel or each
 * on a new one, on one or more threads. Each call, and what all took, is told as gRPC's own clients
 * tell it.
 */
#include "tests/interop/testservice/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

typedef struct soak_thread {
	const interop_client *client;
	bool new_channels;
	uint64_t deadline_ns;
	long iterations;
	long done, failed;
	uint64_t *ms; /* of each call */
	uv_thread_t id;
} soak_thread;

/* One call; on failure it said why. */
static bool
call_once(const soak_thread *t)
{
	const interop_soak *soak = &t->client->soak;
	farcall_channel *channel = t->client->channel;
	bool good;

	if (t->new_channels)
		channel = interop_open(t->client);
	if (channel == NULL)
		return false;
	good = interop_large_unary_on(interop_call_on(t->client, channel),
	    (size_t)soak->request_size, (size_t)soak->response_size);
	if (t->new_channels)
		farcall_channel_close(channel);
	return good;
}

static void
run_thread(void *data)
{
	soak_thread *t = (soak_thread *)data;
	const interop_soak *soak = &t->client->soak;

	for (; t->done < t->iterations; t->done++) {
		uint64_t begin = uv_hrtime(), ms;
		bool good;

		if (begin >= t->deadline_ns)
			break;
		good = call_once(t);
		ms = (uv_hrtime() - begin) / 1000000;
		t->ms[t->done] = ms;
		if (good && ms > (uint64_t)soak->most_ms)
			good = interop_wrong("soak iteration: %ld elapsed_ms: %" PRIu64
			                     " exceeds max acceptable latency: %ld",
			    t->done, ms, soak->most_ms);
		t->failed += !good;
		if (ms < (uint64_t)soak->between_ms)
			uv_sleep((unsigned)((uint64_t)soak->between_ms - ms));
	}
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
tell(const interop_client *client, uint64_t *ms, long done, long failed, long wanted)
{
	const interop_soak *soak = &client->soak;

	qsort(ms, (size_t)done, sizeof *ms, by_size);
	fprintf(stderr,
	    "(server_uri: %s) soak test ran: %ld / %ld iterations. total_failures: %ld.",
	    client->target, done, wanted, failed);
	if (done > 0)
		fprintf(stderr, " p50: %" PRIu64 " ms, p90: %" PRIu64 " ms, p100: %" PRIu64 " ms.",
		    ms[done / 2], ms[done * 9 / 10], ms[done - 1]);
	fputc('\n', stderr);
	if (done < wanted)
		return interop_wrong("the soak ended after %ld s with %ld of %ld iterations",
		    soak->overall_timeout_seconds, done, wanted);
	if (failed > soak->max_failures)
		return interop_wrong("%ld iterations failed, more than soak_max_failures: %ld",
		    failed, soak->max_failures);
	return true;
}

/* Threads share the iterations; the first ones have one more if that leaves a rest. */
static bool
run_threads(soak_thread *threads, uint64_t *ms, const interop_client *client, bool new_channels)
{
	const interop_soak *soak = &client->soak;
	long n = soak->threads, done = 0, failed = 0, started = 0, at = 0;

	for (; started < n; started++) {
		soak_thread *t = &threads[started];

		t->client = client;
		t->new_channels = new_channels;
		t->deadline_ns =
		    uv_hrtime() + (uint64_t)soak->overall_timeout_seconds * UINT64_C(1000000000);
		t->iterations = soak->iterations / n + (started < soak->iterations % n);
		t->ms = ms + at;
		at += t->iterations;
		if (uv_thread_create(&t->id, run_thread, t) != 0)
			break;
	}
	for (long i = 0; i < started; i++) {
		soak_thread *t = &threads[i];

		uv_thread_join(&t->id);
		for (long j = 0; j < t->done; j++)
			ms[done + j] = t->ms[j];
		done += t->done;
		failed += t->failed;
	}
	return tell(client, ms, done, failed, soak->iterations);
}

static bool
soak(const interop_client *client, bool new_channels)
{
	size_t n = (size_t)client->soak.iterations;
	soak_thread *threads = (soak_thread *)calloc((size_t)client->soak.threads, sizeof *threads);
	uint64_t *ms = (uint64_t *)calloc(n > 0 ? n : 1, sizeof *ms);
	bool good = false;

	if (threads != NULL && ms != NULL)
		good = run_threads(threads, ms, client, new_channels);
	else
		interop_wrong("no memory for %zu iterations", n);
	free(ms);
	free(threads);
	return good;
}

bool
interop_rpc_soak(const interop_client *client)
{
	return soak(client, false);
}

bool
interop_channel_soak(const interop_client *client)
{
	return soak(client, true);
}
