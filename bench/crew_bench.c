/*
 * crew_bench.c: what a crew costs and what it saves.
 *
 * First: ns an item that does nothing, in turns of 64, on a loop without threads and on one with a
 * crew that nothing blocks. Then: 10,000 items a second, of which one in so many sleeps 100 ms; how
 * late are the others? From the time an item was due until its done(), so that waiting counts.
 *
 *   crew_bench [seconds of each part]
 */
#include "runtime/base/alloc.h"
#include "runtime/loop/crew.h"
#include "runtime/loop/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 64
#define A_SECOND 10000u
#define SLEEP_MS 100

typedef struct part {
	fc_loop *loop;
	fc_crew *crew;
	fc_work_kind quick, slow;
	atomic_bool over;
} part;

static bool
is_over(void *data)
{
	return atomic_load_explicit(&((part *)data)->over, memory_order_relaxed);
}

static void
part_open(part *p, unsigned threads)
{
	const fc_crew_config config = {.threads = threads, .queue = 100000};
	fc_error error;

	fc_error_clear(&error);
	p->loop = fc_loop_open(NULL, &error);
	p->crew = p->loop != NULL ? fc_crew_open(p->loop, &config, &error) : NULL;
	if (p->crew == NULL) {
		fprintf(stderr, "crew_bench: %s\n", error.text);
		exit(1);
	}
	atomic_init(&p->over, false);
	fc_work_kind_init(&p->quick, p->crew, "quick", FC_WORK_LEARNS);
	fc_work_kind_init(&p->slow, p->crew, "slow", FC_WORK_LEARNS);
}

static void
part_close(part *p)
{
	fc_loop_close(p->loop);
	fc_crew_close(p->crew);
}

/* ---- ns an item ---- */

typedef struct mill {
	part part;
	fc_work items[BATCH];
	fc_task again;
	uint64_t n, begin, length, took;
} mill;

static void
nothing(fc_work *work)
{
	(void)work;
}

static void
nothing_done(fc_work *work, bool ran)
{
	(void)work;
	(void)ran;
}

static void
turn_mill(fc_task *task)
{
	mill *m = FC_CONTAINER(task, mill, again);

	if (m->n == 0)
		m->begin = uv_hrtime();
	m->took = uv_hrtime() - m->begin;
	if (m->took >= m->length) {
		atomic_store(&m->part.over, true);
		return;
	}
	for (int i = 0; i < BATCH; i++)
		fc_crew_ready(&m->items[i]);
	m->n += BATCH;
	fc_loop_post(m->part.loop, task);
}

static void
grind(const char *name, unsigned threads, double seconds)
{
	mill *m = (mill *)fc_calloc(1, sizeof *m);

	part_open(&m->part, threads);
	m->length = (uint64_t)(seconds * 1e9);
	for (int i = 0; i < BATCH; i++) {
		m->items[i].kind = &m->part.quick;
		m->items[i].run = nothing;
		m->items[i].done = nothing_done;
	}
	m->again.run = turn_mill;
	fc_loop_post(m->part.loop, &m->again);
	fc_crew_run(m->part.crew, is_over, &m->part);
	printf("%-24s %6.1f ns an item, its share of a turn of %d included\n", name,
	    (double)m->took / (double)m->n, BATCH);
	part_close(&m->part);
	fc_free(m);
}

/* ---- how late the others are ---- */

typedef struct stream stream;

typedef struct piece {
	fc_work work;
	fc_task come;
	stream *stream;
	uint64_t due;
	bool sleeps;
	uint32_t late; /* ns / 16 */
} piece;

struct stream {
	part part;
	fc_thread feeder;
	piece *pieces;
	size_t n, done;
	uint64_t begin;
	unsigned one_in;
};

static void
run_piece(fc_work *work)
{
	if (FC_CONTAINER(work, piece, work)->sleeps)
		uv_sleep(SLEEP_MS);
}

static void
piece_done(fc_work *work, bool ran)
{
	piece *p = FC_CONTAINER(work, piece, work);
	uint64_t late = (uv_hrtime() - p->due) / 16;

	p->late = ran && late < UINT32_MAX ? (uint32_t)late : UINT32_MAX;
	if (++p->stream->done == p->stream->n)
		atomic_store(&p->stream->part.over, true);
}

static void
come(fc_task *task)
{
	fc_crew_ready(&FC_CONTAINER(task, piece, come)->work);
}

/* A thread of its own posts what is due, about every 100 µs. */
static void
feed(void *data)
{
	stream *s = (stream *)data;
	fc_mutex mutex;
	fc_cond cond;
	fc_error error;

	fc_mutex_init(&mutex, &error);
	fc_cond_init(&cond, &error);
	fc_lock(&mutex);
	for (size_t i = 0; i < s->n; i++) {
		while (uv_hrtime() < s->pieces[i].due)
			fc_cond_wait_ns(&cond, &mutex, 20000);
		fc_loop_post(s->part.loop, &s->pieces[i].come);
	}
	fc_unlock(&mutex);
	fc_cond_fini(&cond);
	fc_mutex_fini(&mutex);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
report(const stream *s, const char *name)
{
	uint32_t *late = (uint32_t *)fc_malloc(s->n * sizeof *late);
	fc_crew_counts counts;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!s->pieces[i].sleeps)
			late[n++] = s->pieces[i].late;
	qsort(late, n, sizeof *late, compare);
	fc_crew_counts_get(s->part.crew, &counts);
	printf("%-12s 1 in %-5u p50 %8.0f  p99 %8.0f  p99.9 %8.0f  max %8.0f us;"
	       " taken %zu, pooled %zu, threads %zu\n",
	    name, s->one_in, late[n / 2] * .016, late[n - n / 100 - 1] * .016,
	    late[n - n / 1000 - 1] * .016, late[n - 1] * .016, counts.taken, counts.pooled,
	    counts.threads);
	fc_free(late);
}

static void
flow(const char *name, unsigned threads, unsigned one_in, double seconds)
{
	stream *s = (stream *)fc_calloc(1, sizeof *s);
	fc_error error;

	part_open(&s->part, threads);
	s->n = (size_t)(A_SECOND * seconds);
	s->one_in = one_in;
	s->pieces = (piece *)fc_calloc(s->n, sizeof *s->pieces);
	s->begin = uv_hrtime() + 50 * FC_NS_PER_MS;
	for (size_t i = 0; i < s->n; i++) {
		piece *p = &s->pieces[i];

		p->stream = s;
		p->come.run = come;
		p->sleeps = one_in != 0 && i % one_in == one_in - 1;
		p->due = s->begin + i * (FC_NS_PER_S / A_SECOND);
		p->work.kind = p->sleeps ? &s->part.slow : &s->part.quick;
		p->work.run = run_piece;
		p->work.done = piece_done;
	}
	fc_error_clear(&error);
	if (fc_thread_start(&s->feeder, feed, s, &error) != FARCALL_OK)
		exit(1);
	fc_crew_run(s->part.crew, is_over, &s->part);
	fc_thread_join(&s->feeder);
	report(s, name);
	part_close(&s->part);
	fc_free(s->pieces);
	fc_free(s);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;

	for (int round = 0; round < 3; round++) {
		grind("no threads", 1, seconds / 4);
		grind("crew, watched", 0, seconds / 4);
	}
	flow("no sleepers", 0, 0, seconds);
	flow("64 threads", 0, 100, seconds);
	flow("256 threads", 256, 100, seconds);
	flow("64 threads", 0, 10, seconds);
	flow("256 threads", 256, 10, seconds);
	return 0;
}
