/*
 * test_resolver.c: from targets to places: literals, registries, their caps and what is skipped.
 */
#include "tests/support/test.h"

#include "client/internal.h"
#include "runtime/transport/registry.h"

#include <farcall/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];

typedef struct fixture {
	fc_clock clock;
	fc_loop *loop;
	fc_resolver resolver; /* first of what `done` sees */
	int times;
	fc_error error;
} fixture;

static fixture *current;

static void
no_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

static void
begin(fixture *f)
{
	memset(f, 0, sizeof *f);
	f->clock.is_virtual = true;
	f->loop = fc_loop_open(&f->clock, NULL);
	assert_non_null(f->loop);
	current = f;
	strcpy(dir, "/tmp/farcall-resolver-XXXXXX");
	assert_non_null(mkdtemp(dir));
	farcall_log_set(no_log, NULL);
}

static void
end(fixture *f)
{
	fc_resolver_stop(&f->resolver);
	fc_loop_close(f->loop);
	assert_int_equal(rmdir(dir), 0);
	farcall_log_set(NULL, NULL);
}

static void
on_done(fc_resolver *resolver, const fc_error *error)
{
	assert_ptr_equal(resolver, &current->resolver);
	current->times++;
	fc_error_clear(&current->error);
	if (error != NULL)
		current->error = *error;
}

/* OK, or what went wrong at once or later; f->resolver has the places. */
static farcall_code
resolve(fixture *f, const char *target)
{
	fc_address address;
	farcall_code code;

	fc_error_clear(&f->error);
	assert_int_equal(fc_address_parse(&address, target, &f->error), FARCALL_OK);
	f->times = 0;
	code = fc_resolver_start(&f->resolver, f->loop, &address, on_done, &f->error);
	assert_int_equal(f->times, 0);
	for (int i = 0; i < 1000 && code == FARCALL_OK && f->times == 0; i++)
		fc_loop_turn(f->loop, 0);
	assert_int_equal(f->times, code == FARCALL_OK ? 1 : 0);
	fc_address_fini(&address);
	return f->error.code;
}

static farcall_code
resolve_interface(fixture *f, const char *name)
{
	char target[128];

	snprintf(target, sizeof target, "file://%s/%s", dir, name);
	return resolve(f, target);
}

static fc_record *
publish(const char *const *addresses, size_t n)
{
	fc_error error;
	fc_record *record;

	fc_error_clear(&error);
	record = fc_record_publish(dir, "demo.Greeter", addresses, n, &error);
	assert_non_null(record);
	return record;
}

static void
literals_become_places(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(resolve(&f, "127.0.0.1:80"), FARCALL_OK);
	assert_int_equal(f.resolver.n, 1);
	assert_string_equal(f.resolver.places[0].text, "ipv4:127.0.0.1:80");
	assert_int_equal(resolve(&f, "ipv4:127.0.0.1:80,127.0.0.2:81"), FARCALL_OK);
	assert_int_equal(f.resolver.n, 2);
	assert_string_equal(f.resolver.places[1].text, "ipv4:127.0.0.2:81");
	assert_int_equal(resolve(&f, "unix:/run/x"), FARCALL_OK);
	assert_string_equal(f.resolver.places[0].text, "unix:/run/x");
	assert_int_equal(resolve(&f, "mem:x"), FARCALL_OK);
	assert_int_equal(f.resolver.places[0].kind, FC_PLACE_MEM);
	end(&f);
}

static void
a_registry_gives_all_of_its_servers(void **state)
{
	static const char *const first[] = {"ipv4:127.0.0.1:1", "mem:one"};
	static const char *const second[] = {
	    "gopher:", "fd:3", "file:///etc/demo.Greeter", "mem:two"};
	fc_record *a, *b;
	fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(resolve_interface(&f, "demo.Greeter"), FARCALL_UNAVAILABLE);
	assert_int_equal(f.error.cause, FARCALL_CAUSE_HOST_NOT_FOUND);
	a = publish(first, 2);
	b = publish(second, 4); /* what a client cannot use is skipped */
	assert_int_equal(resolve_interface(&f, "demo.Greeter"), FARCALL_OK);
	assert_int_equal(f.resolver.n, 3);
	assert_string_equal(f.resolver.places[0].text, "mem:two");
	assert_string_equal(f.resolver.places[1].text, "ipv4:127.0.0.1:1");
	assert_string_equal(f.resolver.places[2].text, "mem:one");
	fc_record_withdraw(a);
	fc_record_withdraw(b);
	a = publish(second, 3);
	assert_int_equal(resolve_interface(&f, "demo.Greeter"), FARCALL_UNAVAILABLE);
	assert_non_null(strstr(f.error.text, "has a usable address"));
	fc_record_withdraw(a);
	end(&f);
}

/* Publishes `n` addresses, 32 a record. */
static size_t
publish_many(fc_record **records, size_t n)
{
	char text[FC_RECORD_ADDRESSES][32];
	const char *addresses[FC_RECORD_ADDRESSES];
	size_t made = 0;

	for (size_t at = 0; at < n; at += FC_RECORD_ADDRESSES) {
		size_t some = FC_MIN(n - at, (size_t)FC_RECORD_ADDRESSES);

		for (size_t i = 0; i < some; i++) {
			snprintf(text[i], sizeof text[i], "ipv4:127.0.0.1:%zu", at + i + 1);
			addresses[i] = text[i];
		}
		records[made++] = publish(addresses, some);
	}
	return made;
}

static void
places_are_capped(void **state)
{
	fc_record *records[4];
	fixture f;

	(void)state;
	begin(&f);
	for (size_t n = FC_CLIENT_PLACES_MOST; n <= FC_CLIENT_PLACES_MOST + 1; n++) {
		size_t made = publish_many(records, n);

		assert_int_equal(resolve_interface(&f, "demo.Greeter"), FARCALL_OK);
		assert_int_equal(f.resolver.n, FC_CLIENT_PLACES_MOST);
		while (made > 0)
			fc_record_withdraw(records[--made]);
	}
	end(&f);
}

static void
stopped_it_says_nothing(void **state)
{
	fc_address address;
	fc_error error;
	fixture f;

	(void)state;
	begin(&f);
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, "127.0.0.1:80", &error), FARCALL_OK);
	assert_int_equal(
	    fc_resolver_start(&f.resolver, f.loop, &address, on_done, &error), FARCALL_OK);
	fc_resolver_stop(&f.resolver);
	for (int i = 0; i < 10; i++)
		fc_loop_turn(f.loop, 0);
	assert_int_equal(f.times, 0);
	fc_address_fini(&address);
	end(&f);
}

static void
memory_may_fail_anywhere(void **state)
{
	static const char *const addresses[] = {"ipv4:127.0.0.1:1", "mem:one"};
	fc_record *record;
	fc_address address;
	fixture f;
	bool failed = true;

	(void)state;
	begin(&f);
	record = publish(addresses, 2);
	for (size_t nth = 1; failed; nth++) {
		char target[128];

		snprintf(target, sizeof target, "file://%s/demo.Greeter", dir);
		fc_error_clear(&f.error);
		assert_int_equal(fc_address_parse(&address, target, &f.error), FARCALL_OK);
		f.times = 0;
		test_allocator_fail_at(nth, false);
		if (fc_resolver_start(&f.resolver, f.loop, &address, on_done, &f.error) ==
		    FARCALL_OK)
			for (int i = 0; i < 100 && f.times == 0; i++)
				fc_loop_turn(f.loop, 0);
		failed = test_allocator_failed();
		test_allocator_fail_at(0, false);
		if (f.error.code == FARCALL_OK)
			assert_in_range(f.resolver.n, failed ? 1 : 2, 2);
		else
			assert_int_equal(f.error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
		fc_address_fini(&address);
	}
	fc_record_withdraw(record);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(literals_become_places),
	    clean_test(a_registry_gives_all_of_its_servers),
	    clean_test(places_are_capped),
	    clean_test(stopped_it_says_nothing),
	    clean_test(memory_may_fail_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
