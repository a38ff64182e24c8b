/*
 * test_herd.c: a server with 1,000 clients goes away for a while, under a virtual clock: they do
 * not come back in step.
 */
#include "tests/unit/client/attempts.h"

#include <stdio.h>

enum { CLIENTS = 1000, BUCKET_MS = 50, BUCKETS = 1200 };

static unsigned came[BUCKETS]; /* connections in each 50 ms */
static uint64_t began;

static void
count(tiny_conn *conn)
{
	uint64_t bucket = (fc_loop_now(conn->server->loop) - began) / (BUCKET_MS * FC_NS_PER_MS);

	assert_true(bucket < BUCKETS);
	came[bucket]++;
}

typedef struct herd {
	fixture f;
	farcall_channel *channels[CLIENTS];
	farcall_call *calls[CLIENTS];
	outcome outcomes[CLIENTS];
} herd;

/* Each has a call that waits for the server. */
static void
begin_herd(herd *h)
{
	begin(&h->f);
	h->f.server.on_complete = echo_nothing;
	h->channels[0] = h->f.channel;
	for (size_t i = 0; i < CLIENTS; i++) {
		if (i > 0) {
			h->channels[i] = farcall_channel_open("mem:attempt");
			farcall_channel_set_loop(h->channels[i], h->f.loop);
			fc_channel_seed(h->channels[i], i + 1);
		}
		h->f.channel = h->channels[i];
		assert_int_equal(call_with_timeout(&h->f, UINT64_MAX), FARCALL_OK);
	}
	assert_int_equal(h->f.server.n_conns, CLIENTS);
	tiny_stop(&h->f.server);
	turns(&h->f, 10);
	began = h->f.clock.now;
	for (size_t i = 0; i < CLIENTS; i++) {
		h->f.channel = h->channels[i];
		h->calls[i] = start_async(&h->f, UINT64_MAX, true, &h->outcomes[i]);
	}
	turns(&h->f, 10);
}

static void
end_herd(herd *h)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		while (h->outcomes[i].times == 0)
			fc_loop_turn(h->f.loop, FC_NEVER);
		assert_int_equal(h->outcomes[i].code, FARCALL_OK);
		farcall_call_free(h->calls[i]);
		if (i > 0)
			farcall_channel_close(h->channels[i]);
	}
	h->f.channel = h->channels[0];
	end(&h->f);
}

/* The server is back after `away_ms`. Among `width` buckets that the clients of one attempt can
 * meet, no bucket has more than `most` of 1,000. */
static void
come_back(uint64_t away_ms, unsigned first, unsigned width, unsigned most)
{
	static herd h;
	unsigned total = 0, fullest = 0, used = 0;

	memset(&h, 0, sizeof h);
	memset(came, 0, sizeof came);
	begin_herd(&h);
	while (h.f.clock.now - began < away_ms * FC_NS_PER_MS) {
		h.f.clock.now += FC_NS_PER_MS;
		turns(&h.f, 3);
	}
	h.f.server.n_conns = 0;
	h.f.server.on_accept = count;
	tiny_start(&h.f.server, h.f.loop, "mem:attempt");
	while (h.f.server.n_conns < CLIENTS) {
		h.f.clock.now += FC_NS_PER_MS;
		turns(&h.f, 3);
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		total += came[i];
		used += came[i] != 0;
		fullest = came[i] > fullest ? came[i] : fullest;
		if (i < first || i >= first + width)
			assert_int_equal(came[i], 0);
	}
	print_message("away %u ms: %u of 50 ms in use, at most %u in one\n", (unsigned)away_ms,
	    used, fullest);
	assert_int_equal(total, CLIENTS);
	assert_true(fullest <= most);
	end_herd(&h);
}

/* The second attempt comes 0.8 to 1.2 s after the first: 8 buckets, 125 in each if they were even;
 * 180 is five standard deviations more. */
static void
after_a_short_absence(void **state)
{
	(void)state;
	come_back(100, 16, 9, 180);
}

/* Away for 5 s: the fourth attempt at 3.2 … 6.2 s, the fifth after that; at most 1 in 10 in one. */
static void
after_a_longer_absence(void **state)
{
	(void)state;
	come_back(5000, 100, 130, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(after_a_short_absence),
	    clean_test(after_a_longer_absence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
