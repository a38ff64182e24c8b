/*
 * check.c: refuses what protoc accepts but C cannot carry, with file, line and column.
 *
 * Every name that would be emitted for the files to be generated, and for what they import, goes
 * into one table with its owner; a name that two owners would have is refused at the later one.
 */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

/* google.protobuf.FileDescriptorProto, DescriptorProto: numbers of fields, for places. */
#define FIELD_MESSAGE_TYPE 4
#define FIELD_SYNTAX 12
#define FIELD_FIELD 2
#define FIELD_NESTED_TYPE 3

#define MOST_PATH 256 /* the guard lets messages nest 100 deep, two numbers each */

/* The first protobuf-c that has proto3 optional. */
#define PROTOBUF_C_WITH_OPTIONAL 1005000u

typedef struct fc_taken {
	const char *name;
	const char *what;      /* "method" */
	const char *full_name; /* "demo.Greeter.SayHello" */
	const fc_place *place;
	size_t order;
} fc_taken;

struct fc_table {
	fc_run *run;
	fc_taken *rows;
	size_t n_rows, room;
};

void
fc_claim(fc_table *table, const char *name, const char *what, const char *full_name,
    const fc_place *place)
{
	fc_taken *row;

	if (table->n_rows == table->room) {
		fc_taken *more;

		table->room = table->room * 2 + 64;
		more = (fc_taken *)fc_take(table->run, table->room, sizeof *more);
		if (table->n_rows != 0)
			memcpy(more, table->rows, table->n_rows * sizeof *more);
		table->rows = more;
	}
	row = &table->rows[table->n_rows];
	row->name = name;
	row->what = what;
	row->full_name = full_name;
	row->place = place;
	row->order = table->n_rows++;
}

static void
add_method(fc_table *table, const fc_service *service, const fc_method *method)
{
	fc_run *run = table->run;
	size_t i;

	fc_claim(table, method->stub, "method", method->full_name, &method->place);
	/* Delete and Delete_: a member has no other's name though the functions differ. */
	fc_claim(table, fc_say(run, "%s.%s", service->prefix, method->member), "method",
	    method->full_name, &method->place);
	fc_claim(table, fc_say(run, "%s__%s", service->protobuf_c, fc_c_lower(run, method->name)),
	    "method", method->full_name, &method->place);
	for (i = 0; i < fc_n_steps; i++) {
		const fc_step *step = &fc_steps[i];
		const char *stub;

		if (!fc_step_of(step, method))
			continue;
		stub = fc_say(run, "%s%s", method->stub, step->word);
		if (step->word[0] != '\0')
			fc_claim(table, stub, "method", method->full_name, &method->place);
		if (!step->async)
			continue;
		fc_claim(table, fc_say(run, "%s__async", stub), "method", method->full_name,
		    &method->place);
		if (step->out != FC_NOTHING)
			fc_claim(table, fc_say(run, "%s__done", stub), "method", method->full_name,
			    &method->place);
	}
}

static void
add_service(fc_table *table, const fc_service *service)
{
	static const char *const ours[] = {"", "__interface", "__methods", "__register"};
	/* What protoc-c makes of a service, in the same name space when there is no package. */
	static const char *const others[] = {
	    "__init", "__descriptor", "__method_descriptors", "__method_indices_by_name"};
	size_t i;

	for (i = 0; i < FC_COUNT(ours); i++)
		fc_claim(table, fc_say(table->run, "%s%s", service->prefix, ours[i]), "service",
		    service->full_name, &service->place);
	for (i = 0; i < FC_COUNT(others); i++)
		fc_claim(table, fc_say(table->run, "%s%s", service->protobuf_c, others[i]),
		    "service", service->full_name, &service->place);
	for (i = 0; i < service->n_methods; i++)
		add_method(table, service, &service->methods[i]);
}

static int
compare_rows(const void *a, const void *b)
{
	const fc_taken *one = (const fc_taken *)a, *other = (const fc_taken *)b;
	int order = strcmp(one->name, other->name);

	if (order != 0)
		return order;
	return one->order < other->order ? -1 : 1;
}

static int
compare_clashes(const void *a, const void *b)
{
	const fc_taken *const *one = (const fc_taken *const *)a;
	const fc_taken *const *other = (const fc_taken *const *)b;

	if (one[1]->place != other[1]->place)
		return one[1]->place < other[1]->place ? -1 : 1;
	return one[1]->order < other[1]->order ? -1 : 1;
}

/* Of the clashes of one owner only the first is told. */
static void
tell_clashes(fc_run *run, fc_taken *(*clashes)[2], size_t n_clashes)
{
	size_t i;

	if (n_clashes != 0)
		qsort(clashes, n_clashes, sizeof *clashes, compare_clashes);
	for (i = 0; i < n_clashes; i++) {
		const fc_taken *first = clashes[i][0], *later = clashes[i][1];

		if (i > 0 && clashes[i - 1][1]->place == later->place)
			continue;
		fc_refuse(run, later->place, "%s %s becomes '%s' in C, and so does %s %s",
		    later->what, later->full_name, later->name, first->what, first->full_name);
	}
}

static void
check_clashes(fc_table *table)
{
	fc_taken *(*clashes)[2];
	size_t n_clashes = 0, i;

	clashes = (fc_taken * (*)[2]) fc_take(table->run, table->n_rows + 1, sizeof(fc_taken *[2]));
	if (table->n_rows != 0)
		qsort(table->rows, table->n_rows, sizeof *table->rows, compare_rows);
	for (i = 1; i < table->n_rows; i++) {
		fc_taken *first = &table->rows[i - 1], *later = &table->rows[i];

		if (strcmp(first->name, later->name) != 0 || first->place == later->place)
			continue;
		/* What is not generated now may stand; the other one then is refused. */
		clashes[n_clashes][0] = later->place->file->wanted ? first : later;
		clashes[n_clashes][1] = later->place->file->wanted ? later : first;
		if (clashes[n_clashes][1]->place->file->wanted)
			n_clashes++;
	}
	tell_clashes(table->run, clashes, n_clashes);
}

static void
check_method(fc_run *run, const fc_method *method)
{
	const char *owner = fc_word_owner(method->member);

	if (owner == NULL)
		owner = fc_word_owner(method->stub);
	if (method->name[0] == '_')
		fc_refuse(run, &method->place, "method %s begins with '_'", method->full_name);
	else if (strstr(method->name, "__") != NULL)
		fc_refuse(run, &method->place,
		    "method %s contains '__', which introduces names of farcall",
		    method->full_name);
	else if (owner != NULL)
		fc_refuse(run, &method->place, "method %s becomes '%s' in C, %s", method->full_name,
		    fc_word_owner(method->member) ? method->member : method->stub, owner);
}

/* "farcall" and "farcall_call" are the library's, "farcall_map_v1_map" is free to use. */
static bool
is_the_librarys(const fc_service *service)
{
	static const char ours[] = "farcall";
	const char *dot = strchr(service->c_name, '.');
	size_t size = sizeof ours - 1;

	if (dot != NULL && strchr(dot + 1, '.') != NULL)
		return false;
	return strncmp(service->prefix, ours, size) == 0 &&
	    (service->prefix[size] == '\0' || service->prefix[size] == '_');
}

static void
check_service(fc_run *run, const fc_service *service)
{
	const char *owner = fc_word_owner(service->prefix);
	size_t i;

	if (is_the_librarys(service))
		fc_refuse(run, &service->place,
		    "service %s becomes '%s' in C, where the library's own names are; use a "
		    "package of two names or more",
		    service->full_name, service->prefix);
	else if (owner != NULL)
		fc_refuse(run, &service->place, "service %s becomes '%s' in C, %s",
		    service->full_name, service->prefix, owner);
	for (i = 0; i < service->n_methods; i++)
		check_method(run, &service->methods[i]);
}

static void
check_messages(fc_run *run, const fc_file *file, fc_message_proto *const *messages,
    size_t n_messages, int32_t *path, size_t depth)
{
	size_t i, j;

	if (depth + 4 > MOST_PATH)
		return;
	for (i = 0; i < n_messages; i++) {
		path[depth] = (int32_t)i;
		for (j = 0; j < messages[i]->n_field; j++) {
			const Google__Protobuf__FieldDescriptorProto *field = messages[i]->field[j];
			fc_place place;

			if (!field->has_proto3_optional || !field->proto3_optional)
				continue;
			path[depth + 1] = FIELD_FIELD;
			path[depth + 2] = (int32_t)j;
			place = fc_place_of(run, file, depth + 3, path);
			fc_refuse(run, &place,
			    "proto3 optional needs protobuf-c 1.5 or later; use a wrapper type or "
			    "proto2");
		}
		path[depth + 1] = FIELD_NESTED_TYPE;
		check_messages(run, file, messages[i]->nested_type, messages[i]->n_nested_type,
		    path, depth + 2);
	}
}

static void
check_syntax(fc_run *run, const fc_file *file)
{
	static const int32_t path[] = {FIELD_SYNTAX};
	const char *syntax = file->proto->syntax;
	fc_place place;

	if (syntax == NULL || strcmp(syntax, "proto2") == 0 || strcmp(syntax, "proto3") == 0)
		return;
	place = fc_place_of(run, file, FC_COUNT(path), path);
	if (strcmp(syntax, "editions") == 0)
		fc_refuse(run, &place, "editions are not supported; use proto2 or proto3");
	else
		fc_refuse(run, &place, "unknown syntax; use proto2 or proto3");
}

void
fc_check(fc_run *run)
{
	fc_table table = {run, NULL, 0, 0};
	int32_t path[MOST_PATH] = {FIELD_MESSAGE_TYPE};
	size_t i, j;

	for (i = 0; i < run->n_files; i++) {
		const fc_file *file = &run->files[i];

		for (j = 0; j < file->n_services; j++)
			add_service(&table, &file->services[j]);
		fc_claim_types(run, &table, file);
		if (!file->wanted)
			continue;
		check_syntax(run, file);
		if (protobuf_c_version_number() < PROTOBUF_C_WITH_OPTIONAL)
			check_messages(run, file, file->proto->message_type,
			    file->proto->n_message_type, path, 1);
		for (j = 0; j < file->n_services; j++)
			check_service(run, &file->services[j]);
	}
	check_clashes(&table);
}
