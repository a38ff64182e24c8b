/*
 * locate.c: where things stand in their .proto file, what is said of them there, and refusals that
 * name the place as compilers do.
 */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

static int
compare_paths(const int32_t *a, size_t a_depth, const int32_t *b, size_t b_depth)
{
	size_t i;

	for (i = 0; i < a_depth && i < b_depth; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return a_depth == b_depth ? 0 : a_depth < b_depth ? -1 : 1;
}

static int
compare_locations(const void *a, const void *b)
{
	const fc_location *one = *(const fc_location *const *)a;
	const fc_location *other = *(const fc_location *const *)b;

	return compare_paths(one->path, one->n_path, other->path, other->n_path);
}

static int
compare_place(const void *key, const void *element)
{
	const fc_place *place = (const fc_place *)key;
	const fc_location *location = *(const fc_location *const *)element;

	return compare_paths(place->path, place->depth, location->path, location->n_path);
}

void
fc_locate_init(fc_run *run, fc_file *file)
{
	const Google__Protobuf__SourceCodeInfo *info = file->proto->source_code_info;

	if (info == NULL || info->n_location == 0)
		return;
	file->n_locations = info->n_location;
	file->locations =
	    (const fc_location **)fc_take(run, info->n_location, sizeof *file->locations);
	memcpy(file->locations, info->location, info->n_location * sizeof *file->locations);
	qsort(file->locations, file->n_locations, sizeof *file->locations, compare_locations);
}

fc_place
fc_place_of(fc_run *run, const fc_file *file, size_t depth, const int32_t *path)
{
	int32_t *copy = (int32_t *)fc_take(run, depth + 1, sizeof *copy);
	fc_place place = {file, copy, depth};

	memcpy(copy, path, depth * sizeof *copy);
	copy[depth] = 1; /* of the name itself: field 1 of every descriptor */
	return place;
}

static const fc_location *
find(const fc_place *place)
{
	const fc_location *const *found;

	if (place->file->n_locations == 0)
		return NULL;
	found = (const fc_location *const *)bsearch(place, place->file->locations,
	    place->file->n_locations, sizeof *place->file->locations, compare_place);
	return found == NULL ? NULL : *found;
}

const char *
fc_comment_at(const fc_place *place)
{
	const fc_location *location = find(place);

	if (location == NULL)
		return NULL;
	return location->leading_comments != NULL ? location->leading_comments
	                                          : location->trailing_comments;
}

static void
add_refusal(fc_run *run, fc_refusal refusal)
{
	if (run->n_refusals == run->room_refusals) {
		fc_refusal *more;

		run->room_refusals = run->room_refusals * 2 + 16;
		more = (fc_refusal *)fc_take(run, run->room_refusals, sizeof *more);
		if (run->n_refusals != 0)
			memcpy(more, run->refusals, run->n_refusals * sizeof *more);
		run->refusals = more;
	}
	refusal.order = run->n_refusals;
	run->refusals[run->n_refusals++] = refusal;
}

void
fc_refuse(fc_run *run, const fc_place *place, const char *format, ...)
{
	fc_out out = {run, NULL, 0, 0};
	fc_refusal refusal = {place->file, 1, 1, 0, NULL};
	fc_place at = *place;
	const fc_location *location;
	va_list arguments;

	/* The name if its place is known, else the thing, else what is around it. */
	at.depth++;
	while ((location = find(&at)) == NULL && at.depth != 0)
		at.depth--;
	if (location != NULL && location->n_span >= 3 && location->span[0] >= 0 &&
	    location->span[1] >= 0 && location->span[0] < INT32_MAX &&
	    location->span[1] < INT32_MAX) {
		refusal.line = location->span[0] + 1;
		refusal.column = location->span[1] + 1;
	}
	va_start(arguments, format);
	fc_put_list(&out, format, arguments);
	va_end(arguments);
	refusal.text = out.text;
	add_refusal(run, refusal);
}

static int
compare_refusals(const void *a, const void *b)
{
	const fc_refusal *one = (const fc_refusal *)a, *other = (const fc_refusal *)b;

	if (one->file != other->file)
		return one->file < other->file ? -1 : 1;
	if (one->line != other->line)
		return one->line < other->line ? -1 : 1;
	if (one->column != other->column)
		return one->column < other->column ? -1 : 1;
	return one->order < other->order ? -1 : 1;
}

const char *
fc_refusals(fc_run *run)
{
	fc_out out = {run, NULL, 0, 0};
	size_t i;

	if (run->n_refusals != 0)
		qsort(run->refusals, run->n_refusals, sizeof *run->refusals, compare_refusals);
	for (i = 0; i < run->n_refusals; i++) {
		const fc_refusal *refusal = &run->refusals[i];

		fc_put(&out, "%s%s:%d:%d: %s", i == 0 ? "" : "\n", refusal->file->name,
		    refusal->line, refusal->column, refusal->text);
	}
	return out.text;
}
