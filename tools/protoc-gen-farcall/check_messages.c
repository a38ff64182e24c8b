/*
 * check_messages.c: the names that protoc-c gives to messages, enums and their members, entered
 * into the table of check.c: those that C would have twice are refused here, with their place,
 * before a compiler stumbles over protoc-c's output. As protobuf-c 1.4.1 and 1.5 name them
 * (protoc-c/c_message.cc, c_field.cc); nothing is refused that would compile.
 */
#include "plugin.h"

#include <string.h>

/* google.protobuf.FileDescriptorProto, DescriptorProto: numbers of fields, for places. */
#define FILE_MESSAGE_TYPE 4
#define FILE_ENUM_TYPE 5
#define MESSAGE_FIELD 2
#define MESSAGE_NESTED_TYPE 3
#define MESSAGE_ENUM_TYPE 4
#define MESSAGE_ONEOF_DECL 8

#define PB_C_MESSAGE 1019 /* extension of MessageOptions: the struct's head may be renamed */
#define MOST_PATH 256     /* the guard lets messages nest 100 deep, two numbers each */

typedef Google__Protobuf__FieldDescriptorProto fc_field_proto;
typedef Google__Protobuf__EnumDescriptorProto fc_enum_proto;

typedef struct fc_walk {
	fc_table *table;
	fc_run *run;
	const fc_file *file;
	int32_t path[MOST_PATH];
} fc_walk;

/* protoc-c appends '_' to these; "restrict" is a keyword that it does not know. */
static bool
has_underscore_added(const char *name)
{
	static const char *const words[] = {"and", "and_eq", "asm", "auto", "bitand", "bitor",
	    "bool", "break", "case", "catch", "char", "class", "compl", "const", "const_cast",
	    "continue", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
	    "explicit", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int",
	    "long", "mutable", "namespace", "new", "not", "not_eq", "operator", "or", "or_eq",
	    "private", "protected", "public", "register", "reinterpret_cast", "return", "short",
	    "signed", "sizeof", "static", "static_cast", "struct", "switch", "template", "this",
	    "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using",
	    "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq"};
	size_t i;

	for (i = 0; i < FC_COUNT(words); i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

static char *
member_of(fc_run *run, const char *name)
{
	char *lower = fc_say(run, "%s", name), *at;

	for (at = lower; *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	return has_underscore_added(lower) ? fc_say(run, "%s_", lower) : lower;
}

/* Without a message or a string: these are NULL when they are absent. */
static bool
has_flag(const fc_file *file, const fc_field_proto *field)
{
	return (file->proto->syntax == NULL || strcmp(file->proto->syntax, "proto2") == 0) &&
	    field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_OPTIONAL &&
	    !field->has_oneof_index &&
	    field->type != GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_STRING &&
	    field->type != GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE &&
	    field->type != GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP;
}

static bool
head_may_be_renamed(const fc_message_proto *message)
{
	unsigned i;

	if (message->options == NULL)
		return false;
	for (i = 0; i < message->options->base.n_unknown_fields; i++)
		if (message->options->base.unknown_fields[i].tag == PB_C_MESSAGE)
			return true;
	return false;
}

static void
claim_field(fc_walk *walk, const fc_message_proto *message, const char *full_name, const char *type,
    const fc_field_proto *field, const fc_place *place)
{
	fc_run *run = walk->run;
	const char *member, *name;

	if (field->name == NULL || field->name[0] == '\0')
		return;
	member = member_of(run, field->name);
	name = fc_say(run, "%s.%s", full_name, field->name);
	if (walk->file->wanted && strcmp(member, "restrict") == 0)
		fc_refuse(run, place, "field %s becomes '%s' in C, a keyword of C", name, member);
	if (walk->file->wanted && strcmp(member, "base") == 0 && !head_may_be_renamed(message))
		fc_refuse(run, place,
		    "field %s becomes 'base' in C, the head of every message; give the message "
		    "the option (pb_c_msg).base_field_name",
		    name);
	fc_claim(walk->table, fc_say(run, "%s.%s", type, member), "field", name, place);
	if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED)
		fc_claim(walk->table, fc_say(run, "%s.n_%s", type, member), "field", name, place);
	else if (has_flag(walk->file, field))
		fc_claim(walk->table, fc_say(run, "%s.has_%s", type, member), "field", name, place);
}

static void
claim_members(fc_walk *walk, const fc_message_proto *message, const char *full_name,
    const char *type, size_t depth)
{
	size_t i;

	walk->path[depth] = MESSAGE_FIELD;
	for (i = 0; i < message->n_field; i++) {
		fc_place *place = (fc_place *)fc_take(walk->run, 1, sizeof *place);

		walk->path[depth + 1] = (int32_t)i;
		*place = fc_place_of(walk->run, walk->file, depth + 2, walk->path);
		claim_field(walk, message, full_name, type, message->field[i], place);
	}
	walk->path[depth] = MESSAGE_ONEOF_DECL;
	for (i = 0; i < message->n_oneof_decl; i++) {
		fc_place *place = (fc_place *)fc_take(walk->run, 1, sizeof *place);
		const char *name = message->oneof_decl[i]->name;

		if (name == NULL)
			continue;
		walk->path[depth + 1] = (int32_t)i;
		*place = fc_place_of(walk->run, walk->file, depth + 2, walk->path);
		fc_claim(walk->table,
		    fc_say(walk->run, "%s.%s_case", type, fc_c_lower(walk->run, name)), "oneof",
		    fc_say(walk->run, "%s.%s", full_name, name), place);
	}
}

/* A type's own name, and that of its descriptor, which services have, too. The C name is given
 * back; NULL: it has none. */
static const char *
claim_type(fc_walk *walk, const char *what, const char *scope, const char *name, size_t depth,
    const char **full_name)
{
	fc_run *run = walk->run;
	fc_place *place;
	const char *c_name, *type;

	if (name == NULL || !fc_is_name(name, strlen(name)))
		return NULL;
	place = (fc_place *)fc_take(run, 1, sizeof *place);
	*full_name = fc_say(run, "%s%s%s", scope, scope[0] == '\0' ? "" : ".", name);
	*place = fc_place_of(run, walk->file, depth, walk->path);
	c_name = fc_c_full_name(run, walk->file, *full_name);
	type = fc_c_type(run, c_name);
	fc_claim(walk->table, type, what, *full_name, place);
	fc_claim(walk->table, fc_say(run, "%s__descriptor", fc_c_lower(run, c_name)), what,
	    *full_name, place);
	return type;
}

static void
claim_enums(fc_walk *walk, const char *scope, fc_enum_proto *const *enums, size_t n, size_t depth)
{
	const char *full_name;
	size_t i;

	for (i = 0; i < n; i++) {
		walk->path[depth] = (int32_t)i;
		claim_type(walk, "enum", scope, enums[i]->name, depth + 1, &full_name);
	}
}

static void
claim_messages(
    fc_walk *walk, const char *scope, fc_message_proto *const *messages, size_t n, size_t depth)
{
	const char *full_name, *type;
	size_t i;

	if (depth + 4 > MOST_PATH)
		return;
	for (i = 0; i < n; i++) {
		walk->path[depth] = (int32_t)i;
		type = claim_type(walk, "message", scope, messages[i]->name, depth + 1, &full_name);
		if (type == NULL)
			continue;
		claim_members(walk, messages[i], full_name, type, depth + 1);
		walk->path[depth + 1] = MESSAGE_ENUM_TYPE;
		claim_enums(
		    walk, full_name, messages[i]->enum_type, messages[i]->n_enum_type, depth + 2);
		walk->path[depth + 1] = MESSAGE_NESTED_TYPE;
		claim_messages(walk, full_name, messages[i]->nested_type,
		    messages[i]->n_nested_type, depth + 2);
	}
}

void
fc_claim_types(fc_run *run, fc_table *table, const fc_file *file)
{
	fc_walk *walk;

	if (file->no_generate)
		return;
	walk = (fc_walk *)fc_take(run, 1, sizeof *walk);
	walk->table = table;
	walk->run = run;
	walk->file = file;
	walk->path[0] = FILE_MESSAGE_TYPE;
	claim_messages(
	    walk, file->package, file->proto->message_type, file->proto->n_message_type, 1);
	walk->path[0] = FILE_ENUM_TYPE;
	claim_enums(walk, file->package, file->proto->enum_type, file->proto->n_enum_type, 1);
}
