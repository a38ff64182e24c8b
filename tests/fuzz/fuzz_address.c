/*
 * fuzz_address.c: any bytes as an address, and as a record in a registry, which whoever may write
 * the folder has written. The first byte says which, the second which allocation fails (0: none).
 * What is taken must keep the rules of address.h and registry.h; what is not must say where, or be
 * skipped.
 */
#include "tests/fuzz/fuzz.h"

#include "runtime/transport/registry.h"
#include "runtime/transport/transport.h"

#include <farcall/alloc.h>
#include <farcall/log.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long countdown;
static size_t blocks;

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

static void *
fuzz_malloc(size_t size, void *data)
{
	void *memory = countdown != 0 && --countdown == 0 ? NULL : malloc(size);

	(void)data;
	blocks += memory != NULL;
	return memory;
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	void *to = countdown != 0 && --countdown == 0 ? NULL : realloc(memory, size);

	(void)data;
	blocks += memory == NULL && to != NULL;
	return to;
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	blocks -= memory != NULL;
	free(memory);
}

static void
no_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)data;
	must(strlen(text) < 10000, "a line of the log");
	for (; *text != 0; text++)
		must((unsigned char)*text >= 0x20, "no control characters in the log");
}

/* ---- addresses ---- */

static void
check_address(fc_address *address, const char *text)
{
	const char *authority = fc_address_authority(address);
	fc_error error;

	must(strcmp(address->text, text) == 0, "the text as it was given");
	must(authority[0] != 0 && strlen(authority) <= strlen(text) + 9, "an authority");
	must(address->n_hosts <= FC_HOSTS_MOST, "hosts");
	for (size_t i = 0; i < address->n_hosts; i++) {
		const fc_host *host = &address->hosts[i];

		must(host->name[0] != 0 && strlen(host->name) <= 253, "a host's name");
		must(host->name_at < host->port_at && host->port_at < strlen(text), "its columns");
	}
	must((address->n_hosts == 0) == (address->path != NULL || address->scheme == FC_SCHEME_FD),
	    "hosts or a path");
	fc_error_clear(&error);
	must((fc_address_check_target(address, &error) == FARCALL_OK) == (error.code == FARCALL_OK),
	    "a target, or why not");
	fc_address_fini(address);
}

static void
try_address(const char *text, bool starved)
{
	fc_address address;
	fc_error error;

	fc_error_clear(&error);
	if (fc_address_parse(&address, text, &error) == FARCALL_OK) {
		check_address(&address, text);
		return;
	}
	must(error.code == FARCALL_INVALID_ARGUMENT
	        ? strncmp(error.text, "bad address \"", 13) == 0
	        : starved && error.code == FARCALL_RESOURCE_EXHAUSTED,
	    "what is wrong, and where");
}

/* ---- records ---- */

static char dir[] = "/tmp/farcall-fuzz-XXXXXX";
static fc_record *record;
static int file = -1;

static void
clean_up(void)
{
	close(file);
	fc_record_withdraw(record);
	rmdir(dir);
}

/* A record that is alive, whose text is then written over. */
static void
make_record(void)
{
	static const char *const addresses[] = {"mem:fuzz"};
	char path[600];
	DIR *folder;
	struct dirent *entry;

	must(mkdtemp(dir) != NULL, "a folder");
	record = fc_record_publish(dir, "a.B", addresses, 1, NULL);
	must(record != NULL, "a record");
	folder = opendir(dir);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		file = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(folder);
	must(file >= 0, "the record's file");
	atexit(clean_up);
}

static void
give(void *data, const char *address)
{
	++*(size_t *)data;
	must(address[0] != 0 && strlen(address) <= FC_ADDRESS_MOST, "an address");
	for (; *address != 0; address++)
		must((unsigned char)*address >= 0x20 && *address != 0x7f, "a printable one");
}

static void
try_record(const uint8_t *text, size_t size, bool starved)
{
	char path[sizeof dir + 8];
	size_t n = 0;
	fc_error error;

	must(ftruncate(file, 0) == 0 && pwrite(file, text, size, 0) == (ssize_t)size, "a file");
	snprintf(path, sizeof path, "%s/a.B", dir);
	fc_error_clear(&error);
	if (fc_record_find(path, give, &n, &error) == FARCALL_OK)
		must(n != 0 && n <= FC_RECORD_ADDRESSES, "addresses");
	else
		must(n == 0 && (error.code == FARCALL_UNAVAILABLE || starved), "or none");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const farcall_allocator allocator = {fuzz_malloc, fuzz_realloc, fuzz_free, NULL};
	static bool prepared;
	size_t before;

	if (!prepared) {
		prepared = true;
		farcall_set_allocator(&allocator);
		farcall_log_set(no_log, NULL);
	}
	if (size < 2)
		return 0;
	if (file < 0 && (data[0] & 1) != 0)
		make_record();
	before = blocks;
	countdown = data[1];
	if ((data[0] & 1) != 0) {
		try_record(data + 2, size - 2, data[1] != 0);
	} else {
		char *text = (char *)malloc(size - 1);

		memcpy(text, data + 2, size - 2);
		text[size - 2] = 0;
		try_address(text, data[1] != 0);
		free(text);
	}
	countdown = 0;
	must(blocks == before, "no memory is left over");
	return 0;
}
