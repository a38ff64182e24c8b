/*
 * registry.c: see registry.h. Here is the text of a record and the order of what was found; the
 * files themselves are registry_posix.c's. The text is lines of "key value":
 *
 *	farcall-record 1
 *	interface demo.Greeter
 *	pid 4711
 *	started 1767225600000000000
 *	address ipv4:127.0.0.1:27015
 *
 * The first line tells the version; unknown keys are skipped, so that version 1 can grow. A record
 * was written by whoever may write the folder: nothing in it is believed beyond its form.
 */
#include "runtime/transport/registry.h"

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/log.h"
#include "runtime/transport/registry_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char version[] = "farcall-record 1\n";

/* Largest record: every address at its cap, and room for keys to come. */
#define RECORD_MOST ((size_t)FC_RECORD_ADDRESSES * (FC_ADDRESS_MOST + 16) + 4096)

struct fc_record {
	fc_record_file file;
	char *interface_name, *text;
	size_t size;
};

/* ---- names ---- */

bool
fc_record_is_interface(const char *name)
{
	size_t size = strlen(name);
	bool good = size != 0 && size <= FC_RECORD_INTERFACE_MOST;

	for (size_t i = 0; i < size && good; i++) {
		char c = name[i];

		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '_' || (c == '.' && i != 0);
	}
	return good;
}

static farcall_code
check_interface(const char *name, fc_error *error)
{
	if (fc_record_is_interface(name))
		return FARCALL_OK;
	return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "\"%.80s\" is not the name of an interface, such as demo.Greeter", name);
}

/* What may stand on a line of a record. */
static bool
is_address(const char *text, size_t size)
{
	if (size == 0 || size > FC_ADDRESS_MOST)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* ---- publishing ---- */

static farcall_code
check_addresses(const char *const *addresses, size_t n, fc_error *error)
{
	if (n == 0 || n > FC_RECORD_ADDRESSES)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_LIMIT,
		    "a record has 1 to %d addresses, not %zu", FC_RECORD_ADDRESSES, n);
	for (size_t i = 0; i < n; i++)
		if (!is_address(addresses[i], strlen(addresses[i])))
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
			    "address %zu of the record is empty, too long or has a control "
			    "character",
			    i);
	return FARCALL_OK;
}

static bool
write_text(fc_record *record, const char *const *addresses, size_t n)
{
	size_t room = sizeof version + strlen(record->interface_name) + 128, at;

	for (size_t i = 0; i < n; i++)
		room += strlen(addresses[i]) + 16;
	record->text = (char *)fc_malloc(room);
	if (record->text == NULL)
		return false;
	at = (size_t)snprintf(record->text, room,
	    "%sinterface %s\npid %" PRId64 "\nstarted %" PRIu64 "\n", version,
	    record->interface_name, fc_record_pid(), fc_record_clock());
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(record->text + at, room - at, "address %s\n", addresses[i]);
	record->size = at;
	return true;
}

fc_record *
fc_record_publish(const char *dir, const char *interface_name, const char *const *addresses,
    size_t n, fc_error *error)
{
	fc_record *record;
	fc_error why;

	if (check_interface(interface_name, error) != FARCALL_OK ||
	    check_addresses(addresses, n, error) != FARCALL_OK)
		return NULL;
	record = (fc_record *)fc_calloc(1, sizeof *record);
	if (record == NULL) {
		fc_fail_memory(error, "publish");
		return NULL;
	}
	record->file.dir = record->file.fd = -1;
	record->interface_name = fc_strdup(interface_name);
	if (record->interface_name == NULL || !write_text(record, addresses, n)) {
		fc_fail_memory(error, "publish");
		goto out;
	}
	if (fc_record_folder_open(&record->file, dir, error) != FARCALL_OK)
		goto out;
	fc_error_clear(&why);
	if (fc_record_file_create(
	        &record->file, interface_name, record->text, record->size, &why) == FARCALL_OK)
		return record;
	fc_fail(error, why.code, why.cause, "%s (in %s)", why.text, dir);
out:
	fc_record_withdraw(record);
	return NULL;
}

farcall_code
fc_record_renew(fc_record *record, fc_error *error)
{
	bool gone = false;
	farcall_code code = fc_record_file_renew(&record->file, &gone, error);

	if (code != FARCALL_OK || !gone)
		return code;
	fc_log(FARCALL_LOG_WARNING, "record of %s was removed by somebody: published again",
	    record->interface_name);
	return fc_record_file_create(
	    &record->file, record->interface_name, record->text, record->size, error);
}

void
fc_record_withdraw(fc_record *record)
{
	if (record == NULL)
		return;
	fc_record_file_remove(&record->file);
	fc_free(record->interface_name);
	fc_free(record->text);
	fc_free(record);
}

/* ---- finding ---- */

/* A record found, in memory of its own: the addresses follow, each ended by a NUL. */
typedef struct found {
	uint64_t started;
	size_t n;
	char addresses[];
} found;

typedef struct search {
	const char *interface_name;
	found *at[FC_RECORDS_MOST];
	size_t n;
	bool no_memory;
} search;

typedef struct line {
	const char *key, *value;
	size_t key_size, value_size;
} line;

/* Takes a line of "key value\n" off [*at, end); false: there is no such line. */
static bool
take_line(line *to, const char **at, const char *end)
{
	const char *nl = (const char *)memchr(*at, '\n', (size_t)(end - *at));
	const char *blank = nl != NULL ? (const char *)memchr(*at, ' ', (size_t)(nl - *at)) : NULL;

	if (blank == NULL)
		return false;
	to->key = *at;
	to->key_size = (size_t)(blank - *at);
	to->value = blank + 1;
	to->value_size = (size_t)(nl - blank - 1);
	*at = nl + 1;
	return true;
}

static bool
is_key(const line *from, const char *key)
{
	return from->key_size == strlen(key) && memcmp(from->key, key, from->key_size) == 0;
}

/* Decimal digits alone; what does not fit counts as 0, so such a record comes last. */
static uint64_t
number(const line *from)
{
	uint64_t value = 0;

	for (size_t i = 0; i < from->value_size; i++) {
		char c = from->value[i];

		if (c < '0' || c > '9' || value > (UINT64_MAX - 9) / 10)
			return 0;
		value = value * 10 + (uint64_t)(c - '0');
	}
	return value;
}

/* What is wrong with the record; NULL: nothing. `to` has room for the whole text. */
static const char *
parse(found *to, const char *interface_name, const char *text, size_t size)
{
	const char *at = text + sizeof version - 1, *end = text + size;
	char *address = to->addresses;
	bool named = false;
	line now;

	if (size < sizeof version - 1 || memcmp(text, version, sizeof version - 1) != 0)
		return "its first line is not \"farcall-record 1\"";
	while (at < end) {
		if (!take_line(&now, &at, end))
			return "a line is not \"key value\"";
		if (is_key(&now, "started"))
			to->started = number(&now);
		if (is_key(&now, "interface"))
			named = now.value_size == strlen(interface_name) &&
			    memcmp(now.value, interface_name, now.value_size) == 0;
		if (!is_key(&now, "address"))
			continue;
		if (!is_address(now.value, now.value_size))
			return "an address is empty, too long or has a control character";
		if (to->n++ == FC_RECORD_ADDRESSES)
			return "it has too many addresses";
		memcpy(address, now.value, now.value_size);
		address[now.value_size] = 0;
		address += now.value_size + 1;
	}
	if (!named)
		return "it is of another interface";
	return to->n == 0 ? "it has no address" : NULL;
}

static void
on_record(void *data, const char *name, const char *text, size_t size)
{
	search *into = (search *)data;
	const char *wrong;
	found *now;

	if (into->n == FC_RECORDS_MOST)
		return;
	now = (found *)fc_malloc(sizeof *now + size + 1);
	if (now == NULL) {
		into->no_memory = true;
		return;
	}
	now->started = 0;
	now->n = 0;
	wrong = parse(now, into->interface_name, text, size);
	if (wrong == NULL) {
		into->at[into->n++] = now;
		return;
	}
	fc_log(FARCALL_LOG_WARNING, "record %s is skipped: %s", name, wrong);
	fc_free(now);
}

static int
newest_first(const void *a, const void *b)
{
	const found *x = *(found *const *)a, *y = *(found *const *)b;

	return x->started < y->started ? 1 : x->started > y->started ? -1 : 0;
}

/* "DIR/pkg.Service" → DIR; a bare name is in the working folder. NULL: out of memory. */
static char *
folder_of(const char *path, const char *slash)
{
	char *dir = fc_strdup(slash != NULL ? path : ".");

	if (dir != NULL && slash != NULL)
		dir[slash == path ? 1 : slash - path] = 0;
	return dir;
}

static farcall_code
find(search *into, const char *dir, fc_error *error)
{
	fc_error why;
	farcall_code code;

	fc_error_clear(&why);
	code = fc_record_files_read(dir, into->interface_name, RECORD_MOST, on_record, into, &why);
	if (code == FARCALL_NOT_FOUND)
		return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND,
		    "no server has published %s in %s: %s", into->interface_name, dir, why.text);
	if (code != FARCALL_OK)
		return fc_fail(error, code, why.cause, "%s", why.text);
	if (into->no_memory)
		return fc_fail_memory(error, "records");
	if (into->n == 0)
		return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND,
		    "no server has published %s in %s", into->interface_name, dir);
	qsort(into->at, into->n, sizeof into->at[0], newest_first);
	return FARCALL_OK;
}

farcall_code
fc_record_find(
    const char *path, void (*give)(void *data, const char *address), void *data, fc_error *error)
{
	const char *slash = strrchr(path, '/');
	search *into;
	char *dir = NULL;
	farcall_code code;

	code = check_interface(slash != NULL ? slash + 1 : path, error);
	if (code != FARCALL_OK)
		return code;
	into = (search *)fc_calloc(1, sizeof *into);
	if (into == NULL || (dir = folder_of(path, slash)) == NULL) {
		code = fc_fail_memory(error, "records");
		goto out;
	}
	into->interface_name = slash != NULL ? slash + 1 : path;
	code = find(into, dir, error);
	for (size_t i = 0; code == FARCALL_OK && i < into->n; i++) {
		const char *address = into->at[i]->addresses;

		for (size_t j = 0; j < into->at[i]->n; j++, address += strlen(address) + 1)
			give(data, address);
	}
out:
	for (size_t i = 0; into != NULL && i < into->n; i++)
		fc_free(into->at[i]);
	fc_free(into);
	fc_free(dir);
	return code;
}
