/*
 * test_crew_stress.c: each change of roles, many times, under few and many threads, with and
 * without the debug switch. Each item must be done exactly once, on the loop, whatever happens.
 * FARCALL_TEST_ROUNDS=n repeats all n times, at most 20.
 */
#include "tests/unit/loop/crew_rig.h"

#include <stdlib.h>

#define ITEMS 400

typedef struct mix {
	const char *name;
	void (*slow)(item *item);
	unsigned slow_us, one_in; /* one in so many is slow */
	uint64_t patience;
	int rounds;
} mix;

static const mix mixes[] = {
    {"sleeps around the patience", act_sleep, 300, 40, 200000, 5},
    {"spins across it", act_spin, 250, 30, 200000, 5},
    {"blocks long", act_sleep, 3000, 100, 300000, 4},
    {"gives away and is quick", act_give, 0, 4, PATIENT, 8},
    {"gives away and waits for its loop", act_give, 0, 3, 500000, 8},
    {"never blocks", NULL, 0, 1, FC_NS_PER_MS, 8},
};

static const unsigned caps[] = {1, 2, 3, 8, 64};

typedef struct shuffle {
	feed feed;
	rig *rig;
	bool forget;
} shuffle;

/* Feeds; forgets what was learned, so that loops change hands again. */
static void
run_shuffle(fc_task *task)
{
	feed *f = FC_CONTAINER(task, feed, task);
	shuffle *s = FC_CONTAINER(f, shuffle, feed);

	if (s->forget)
		s->rig->kinds[0].pooled = s->rig->kinds[3].pooled = false;
	for (int i = 0; i < f->n; i++)
		fc_crew_ready(&f->items[i].work);
	atomic_store(&f->fed, 1);
}

static void
send_shuffle(rig *r, shuffle *s, item *items, int n, bool forget)
{
	memset(s, 0, sizeof *s);
	s->feed.task.run = run_shuffle;
	s->feed.items = items;
	s->feed.n = n;
	s->rig = r;
	s->forget = forget;
	fc_loop_post(r->loop, &s->feed.task);
}

static void
fill(item *items, int n, rig *r, const mix *m, test_random *random)
{
	for (int i = 0; i < n; i++) {
		bool slow = test_random_below(random, m->one_in) == 0;
		int kind = (int)test_random_below(random, 8);

		kind = kind < 5 ? 0 : kind - 4;
		item_init(&items[i], r, kind, slow ? m->slow : NULL, m->slow_us);
	}
}

/* Items come in pieces of random size; `stop` asks for the end while the last ones run. */
static void
run_mix(const mix *m, unsigned cap, bool stop, uint64_t seed)
{
	const fc_crew_config config = {
	    .threads = cap, .queue = stop ? 20 : 10000, .patience = m->patience};
	static item items[ITEMS];
	static shuffle shuffles[ITEMS];
	fc_crew_counts counts;
	test_random random;
	rig r;

	test_random_seed(&random, seed);
	rig_start(&r, &config);
	for (int round = 0; round < m->rounds; round++) {
		int n_shuffles = 0;

		fill(items, ITEMS, &r, m, &random);
		for (int i = 0, n; i < ITEMS; i += n) {
			n = 1 + (int)test_random_below(&random, 60);
			n = FC_MIN(n, ITEMS - i);
			send_shuffle(&r, &shuffles[n_shuffles++], items + i, n,
			    test_random_below(&random, 2) == 0);
		}
		if (stop && round == m->rounds - 1)
			break;
		wait_until(&r.n_done, ITEMS * (round + 1));
		for (int i = 0; i < n_shuffles; i++)
			wait_until(&shuffles[i].feed.fed, 1);
	}
	counts = rig_stop(&r);
	if (atomic_load(&r.n_done) != ITEMS * m->rounds || r.handled != (uint64_t)r.n_done)
		print_message("%s, cap %u, seed %u: %d done\n", m->name, cap, (unsigned)seed,
		    atomic_load(&r.n_done));
	assert_int_equal(atomic_load(&r.n_done), ITEMS * m->rounds);
	assert_int_equal(r.handled, ITEMS * m->rounds);
	assert_int_equal(atomic_load(&r.n_ran) + atomic_load(&r.n_refused), ITEMS * m->rounds);
	assert_true(counts.threads < cap);
	assert_int_equal(counts.refused, atomic_load(&r.n_refused));
	if (!stop)
		assert_int_equal(counts.refused, 0);
	for (int i = 0; i < ITEMS; i++)
		assert_int_equal(items[i].done, 1);
}

static int
repeats(void)
{
	const char *text = getenv("FARCALL_TEST_ROUNDS");
	int n = text != NULL ? atoi(text) : 1;

	return FC_MIN(FC_MAX(n, 1), 20);
}

static void
run_all(bool debug, bool stop)
{
	fc_crew_debug_handover(debug);
	for (int n = 0; n < repeats(); n++)
		for (size_t m = 0; m < FC_COUNT(mixes); m++)
			for (size_t c = 0; c < FC_COUNT(caps); c++)
				run_mix(&mixes[m], caps[c], stop, (uint64_t)n * 100 + m * 10 + c);
}

static void
roles_change(void **state)
{
	(void)state;
	run_all(false, false);
}

static void
roles_change_before_every_item(void **state)
{
	(void)state;
	run_all(true, false);
}

static void
stopped_in_the_middle(void **state)
{
	(void)state;
	run_all(false, true);
	run_all(true, true);
}

/* Before every run() the loop is handed over, if there is somebody. */
static void
the_debug_switch_hands_over(void **state)
{
	static const unsigned few[] = {2, 3, 8};
	static item items[300];
	fc_crew_counts counts;
	rig r;

	(void)state;
	fc_crew_debug_handover(true);
	for (size_t c = 0; c < FC_COUNT(few); c++) {
		const fc_crew_config config = {.threads = few[c], .patience = PATIENT};

		rig_start(&r, &config);
		for (int i = 0; i < 300; i++)
			item_init(&items[i], &r, 0, NULL, 0);
		for (int i = 0; i < 300; i += 3)
			rig_do(&r, items + i, 3);
		counts = rig_stop(&r);
		assert_int_equal(counts.given, 300);
		assert_true(counts.got_back < 300);
		assert_int_equal(counts.learned, 0);
	}
}

/* A whole crew inside an item of another one. */
typedef struct nest {
	rig inner;
	item items[50];
	feed feed;
	atomic_int inside;
} nest;

static nest *nests;
static rig outer;

static void
act_inside_both(item *i)
{
	nest *n = FC_CONTAINER(i->rig, nest, inner);

	if (fc_crew_inside(i->rig->crew) && fc_crew_inside(outer.crew) == (i->us == 1))
		atomic_fetch_add(&n->inside, 1);
	fc_crew_block_begin();
}

static bool
all_done(void *data)
{
	return atomic_load(&((nest *)data)->inner.n_done) == 50;
}

static void
act_run_inner(item *i)
{
	nest *n = &nests[i->us];

	fc_crew_block_begin();
	fc_crew_run(n->inner.crew, all_done, n);
}

/* The first item of each runs on the thread that is inside both: nothing has changed hands yet. */
static void
nested_crews(void **state)
{
	const fc_crew_config config = {.threads = 8, .patience = PATIENT};
	item items[4];

	(void)state;
	fc_crew_debug_handover(false);
	nests = (nest *)test_calloc(4, sizeof *nests);
	rig_start(&outer, &config);
	for (unsigned k = 0; k < 4; k++) {
		nest *n = &nests[k];

		rig_open(&n->inner, NULL, &config);
		for (int i = 0; i < 50; i++)
			item_init(&n->items[i], &n->inner, i == 0 ? 0 : 1 + 2 * (i % 2),
			    act_inside_both, i == 0);
		rig_feed(&n->inner, &n->feed, n->items, 1);
		item_init(&items[k], &outer, 0, act_run_inner, k);
	}
	for (unsigned k = 0; k < 4; k++) {
		feed f;

		rig_feed(&outer, &f, &items[k], 1);
		wait_until(&nests[k].inner.n_done, 1);
		assert_int_equal(atomic_load(&nests[k].inside), 1);
		rig_feed(&nests[k].inner, &nests[k].feed, nests[k].items + 1, 49);
		wait_until(&outer.n_done, (int)k + 1);
	}
	rig_stop(&outer);
	for (unsigned k = 0; k < 4; k++) {
		assert_int_equal(nests[k].inner.handled, 50);
		assert_int_equal(atomic_load(&nests[k].inner.n_twice), 0);
		rig_close(&nests[k].inner);
	}
	test_free(nests);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(roles_change),
	    clean_test(roles_change_before_every_item),
	    clean_test(stopped_in_the_middle),
	    clean_test(the_debug_switch_hands_over),
	    clean_test(nested_crews),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
