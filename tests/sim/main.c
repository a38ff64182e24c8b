/*
 * main.c: runs universes: `sim --seeds FROM COUNT`, `sim --seed N [--trace]`. See docs/testing.md.
 *
 * Each worker is a process of its own, so that a universe that ends badly, or for good, takes
 * nothing with it: the parent knows the seed, looks for the smallest number of acts that still
 * fails, and prints how to see it again.
 */
#include "tests/sim/sim.h"

#include "tests/sim/memory.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MOST 16
#define ACTS 50u
#define FAILURES_MOST 3
#define SEED_SECONDS 120 /* real ones; a universe that takes longer hangs */

typedef struct options {
	uint64_t from, count;
	unsigned acts, jobs;
	bool trace, twice, shrink;
} options;

/* Shared with the workers. */
typedef struct worker {
	uint64_t seed; /* under way */
	uint64_t hash; /* of all so far, in any order */
	sim_totals totals;
	int pid;
} worker;

static sim world;

static uint64_t
run_one(uint64_t seed, unsigned acts, bool trace, sim_totals *totals)
{
	memset(&world, 0, sizeof world);
	world.seed = seed;
	world.n_actions = acts;
	world.trace = trace;
	world.totals = totals;
	sim_run(&world);
	return world.hash;
}

static void
prepare(void)
{
	test_random random;

	test_random_seed(&random, 1);
	for (size_t i = 0; i < SIM_BLOB; i++)
		sim_blob[i] = (uint8_t)(test_random_next(&random) & 15); /* some of it compresses */
	farcall_log_set_level(FARCALL_LOG_INFO);
	sim_memory_install();
	/* what the process keeps from its first loop on is not left over from a universe */
	farcall_loop_free(farcall_loop_new());
}

/* ---- workers ---- */

static void
work(worker *self, const options *o, uint64_t first, unsigned step)
{
	prepare();
	for (uint64_t seed = first; seed < o->from + o->count; seed += step) {
		uint64_t hash;

		self->seed = seed;
		alarm(SEED_SECONDS);
		hash = run_one(seed, o->acts, o->trace, &self->totals);
		if (o->trace)
			printf("seed %llu: hash %016llx\n", (unsigned long long)seed,
			    (unsigned long long)hash);
		if (o->twice && run_one(seed, o->acts, o->trace, &self->totals) != hash) {
			fprintf(stderr, "sim: seed %llu: a second run is another one\n",
			    (unsigned long long)seed);
			_exit(3);
		}
		self->hash += hash * (2 * seed + 1);
	}
	fflush(stdout);
	_exit(0);
}

static void
start_worker(worker *self, const options *o, uint64_t first, unsigned step)
{
	int pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid == 0)
		work(self, o, first, step);
	self->pid = pid;
}

/* How it went: 0 well; else the exit status or the signal. */
static int
wait_for(int pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- what failed ---- */

static bool
fails_with(worker *scratch, uint64_t seed, unsigned acts)
{
	options o = {.from = seed, .count = 1, .acts = acts};
	int pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(4);
		work(scratch, &o, seed, 1);
	}
	return wait_for(pid) != 0;
}

/* Fewer acts need not fail where more do, so this is a guess that is tried. */
static unsigned
fewest_acts(worker *scratch, uint64_t seed, unsigned acts)
{
	unsigned passes = 0, fails = acts;

	while (passes + 1 < fails) {
		unsigned middle = (passes + fails) / 2;

		if (fails_with(scratch, seed, middle))
			fails = middle;
		else
			passes = middle;
	}
	return fails;
}

static void
stop_all(const worker *workers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (workers[i].pid > 0 && kill(workers[i].pid, SIGTERM) == 0)
			wait_for(workers[i].pid);
}

static void
report(worker *scratch, const options *o, uint64_t seed, int how)
{
	unsigned acts = o->shrink ? fewest_acts(scratch, seed, o->acts) : o->acts;

	if (how > 1000)
		fprintf(stderr, "sim: seed %llu: %s %d\n", (unsigned long long)seed,
		    how == 1000 + SIGALRM ? "hangs: signal" : "killed by signal", how - 1000);
	fprintf(stderr, "sim: to see it again:  sim --seed %llu --acts %u --trace\n",
	    (unsigned long long)seed, acts);
}

/* ---- all of them ---- */

static void
add(sim_totals *to, const sim_totals *from)
{
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)to, peak = FC_MAX(to->peak, from->peak);

	for (size_t i = 0; i < sizeof *to / sizeof *out; i++)
		out[i] += in[i];
	to->peak = peak;
}

static void
print_totals(const sim_totals *t, uint64_t hash, double seconds)
{
	static const char *const faults[] = {
	    "none", "stalls", "half closes", "resets", "holes", "blocks"};

	printf("%llu seeds in %.1f s (%.0f a second), hash %016llx\n", (unsigned long long)t->seeds,
	    seconds, (double)t->seeds / seconds, (unsigned long long)hash);
	printf("%llu calls, %llu children, %llu blocking, %llu cancelled, %llu attempts more; "
	       "%llu events, %llu turns; "
	       "%llu virtual s; at most %llu KiB\n",
	    (unsigned long long)t->calls, (unsigned long long)t->children,
	    (unsigned long long)t->blocking, (unsigned long long)t->cancels,
	    (unsigned long long)t->again, (unsigned long long)t->events,
	    (unsigned long long)t->turns, (unsigned long long)t->virtual_ms / 1000,
	    (unsigned long long)t->peak / 1024);
	printf("%llu streams, %llu messages, %llu of them held back, %llu heads waited for; "
	       "%llu finished early, %llu cancelled or freed by plan\n",
	    (unsigned long long)t->streams, (unsigned long long)t->messages,
	    (unsigned long long)t->held, (unsigned long long)t->heads,
	    (unsigned long long)t->left[SIM_FINISHES],
	    (unsigned long long)(t->left[SIM_CANCELS] + t->left[SIM_FREES]));
	printf("%llu hooks, %llu of them pended, %llu refused; %llu connections turned away; "
	       "%llu blocking steps\n",
	    (unsigned long long)t->hooks, (unsigned long long)t->hooks_pended,
	    (unsigned long long)t->hooks_refused, (unsigned long long)t->turned_away,
	    (unsigned long long)t->steps);
	for (int i = 0; i <= FARCALL_UNAUTHENTICATED; i++)
		printf("%s%s %llu", i == 0 ? "" : ", ", farcall_code_name((farcall_code)i),
		    (unsigned long long)t->codes[i]);
	printf("\n%llu links", (unsigned long long)t->links);
	for (int i = 1; i < SIM_FAULTS; i++)
		printf(", %llu %s", (unsigned long long)t->faults[i], faults[i]);
	printf("; %llu servers, %llu freed, %llu of them while time passed; %llu channels closed; "
	       "%llu allocations failed\n",
	    (unsigned long long)t->restarts, (unsigned long long)t->frees,
	    (unsigned long long)t->jumps, (unsigned long long)t->closes,
	    (unsigned long long)t->oom);
}

static double
now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* A worker that has failed is started again behind the seed that it failed at. */
static int
run_all(const options *o)
{
	worker *workers = (worker *)mmap(NULL, (JOBS_MOST + 1) * sizeof *workers,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	worker *all = &workers[JOBS_MOST];
	unsigned failures = 0;
	double start = now();

	if (workers == MAP_FAILED)
		return 2;
	for (unsigned i = 0; i < o->jobs; i++)
		start_worker(&workers[i], o, o->from + i, o->jobs);
	for (unsigned i = 0; i < o->jobs; i++) {
		worker *w = &workers[i];
		int how;

		while ((how = wait_for(w->pid)) != 0) {
			w->pid = 0;
			report(all, o, w->seed, how);
			if (++failures >= FAILURES_MOST) {
				stop_all(workers, o->jobs);
				return 1;
			}
			start_worker(w, o, w->seed + o->jobs, o->jobs);
		}
		w->pid = 0;
	}
	memset(all, 0, sizeof *all);
	for (unsigned i = 0; i < o->jobs; i++) {
		add(&all->totals, &workers[i].totals);
		all->hash += workers[i].hash;
	}
	print_totals(&all->totals, all->hash, now() - start);
	return failures != 0;
}

/* ---- options ---- */

static int
usage(const char *what)
{
	fprintf(stderr,
	    "sim: %s\n"
	    "sim --seeds FROM COUNT [--jobs N] [--twice]   many universes\n"
	    "sim --seed N [--trace]                        one\n"
	    "  --acts N    of the driver, before everything is healed (default %u)\n"
	    "  --trace     every event\n"
	    "  --twice     each seed again: it must be the same run\n"
	    "FARCALL_TEST_ROUNDS multiplies COUNT, FARCALL_TEST_SEED is added to FROM.\n",
	    what, ACTS);
	return 2;
}

static uint64_t
environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
	options o = {.count = 1000, .acts = ACTS, .jobs = 1, .shrink = true};
	bool one = false;

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (strcmp(name, "--trace") == 0) {
			o.trace = true;
		} else if (strcmp(name, "--twice") == 0) {
			o.twice = true;
		} else if (strcmp(name, "--seeds") == 0 && i + 2 < argc) {
			o.from = strtoull(argv[++i], NULL, 10);
			o.count = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(name, "--seed") == 0 && i + 1 < argc) {
			o.from = strtoull(argv[++i], NULL, 10);
			o.count = 1;
			one = true;
		} else if (strcmp(name, "--acts") == 0 && i + 1 < argc) {
			o.acts = (unsigned)strtoul(argv[++i], NULL, 10);
		} else if (strcmp(name, "--jobs") == 0 && i + 1 < argc) {
			o.jobs = (unsigned)strtoul(argv[++i], NULL, 10);
		} else {
			return usage(name);
		}
	}
	if (o.jobs == 0 || o.jobs > JOBS_MOST)
		return usage("--jobs: 1 to 16");
	if (!one) {
		o.count *= environment("FARCALL_TEST_ROUNDS", 1);
		o.from += environment("FARCALL_TEST_SEED", 0);
	} else {
		o.shrink = !o.trace;
	}
	return run_all(&o);
}
