/*
 * names.c: what things are called in C.
 *
 * Messages are protoc-c's and must be spelled as protoc-c spells them, down to its oddities
 * (protobuf-c 1.4.1, protoc-c/c_helpers.cc: FullNameToC, FullNameToLower, CamelToLower). Services
 * are ours: package, service and method, folded to lower case by the same rule, joined by single
 * underscores.
 */
#include "plugin.h"

#include <string.h>

static const char *const c_words[] = {"alignas", "alignof", "asm", "auto", "bool", "break", "case",
    "char", "const", "constexpr", "continue", "default", "do", "double", "else", "enum", "extern",
    "false", "float", "for", "goto", "if", "inline", "int", "long", "nullptr", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "static_assert", "struct",
    "switch", "thread_local", "true", "typedef", "typeof", "typeof_unqual", "union", "unsigned",
    "void", "volatile", "while"};

/* C++ alone: C is free to use them, and so is a member with '_' behind. */
static const char *const cpp_words[] = {"and", "and_eq", "bitand", "bitor", "catch", "char16_t",
    "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept",
    "const_cast", "consteval", "constinit", "decltype", "delete", "dynamic_cast", "explicit",
    "export", "friend", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "operator",
    "or", "or_eq", "private", "protected", "public", "reinterpret_cast", "requires", "static_cast",
    "template", "this", "throw", "try", "typeid", "typename", "using", "virtual", "wchar_t", "xor",
    "xor_eq"};

/* Macros without arguments that a compiler or the C library may define. */
static const char *const macros[] = {
    "errno", "i386", "linux", "noreturn", "stderr", "stdin", "stdout", "unix"};

/* Types that stand in a struct of handlers: C++ lets no member before them have their names. */
static const char *const types[] = {"farcall_call", "farcall_code"};

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
to_lower(char c)
{
	return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

static char
to_upper(char c)
{
	return is_lower(c) ? (char)(c - 'a' + 'A') : c;
}

bool
fc_is_name(const char *name, size_t size)
{
	size_t i;

	if (size == 0 || is_digit(name[0]))
		return false;
	for (i = 0; i < size; i++)
		if (!is_upper(name[i]) && !is_lower(name[i]) && !is_digit(name[i]) &&
		    name[i] != '_')
			return false;
	return true;
}

bool
fc_is_dotted_name(const char *name)
{
	for (;;) {
		size_t size = strcspn(name, ".");

		if (!fc_is_name(name, size))
			return false;
		if (name[size] == '\0')
			return true;
		name += size + 1;
	}
}

static bool
is_among(const char *word, const char *const *words, size_t n_words)
{
	size_t i;

	for (i = 0; i < n_words; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

const char *
fc_word_owner(const char *word)
{
	if (is_among(word, c_words, FC_COUNT(c_words)))
		return "a keyword of C";
	if (is_among(word, cpp_words, FC_COUNT(cpp_words)))
		return "a keyword of C++";
	if (is_among(word, macros, FC_COUNT(macros)))
		return "a macro of compilers or the C library";
	if (is_among(word, types, FC_COUNT(types)))
		return "a type of farcall";
	return NULL;
}

/* Appends a piece as protoc-c's CamelToLower() does: an underscore before a capital that follows
 * anything but a capital. `tidy`: not behind an underscore. */
static void
put_lower(fc_out *out, const char *piece, size_t size, bool tidy)
{
	bool was_upper = true;
	size_t i;

	for (i = 0; i < size; i++) {
		char c = to_lower(piece[i]);
		bool upper = is_upper(piece[i]);

		if (upper && !was_upper && !(tidy && piece[i - 1] == '_'))
			fc_put_bytes(out, "_", 1);
		fc_put_bytes(out, &c, 1);
		was_upper = upper;
	}
}

/* Appends a piece as protoc-c's ToCamel() does. */
static void
put_camel(fc_out *out, const char *piece, size_t size)
{
	bool next_upper = true;
	size_t i;

	for (i = 0; i < size; i++) {
		char c = next_upper ? to_upper(piece[i]) : piece[i];

		if (piece[i] != '_')
			fc_put_bytes(out, &c, 1);
		next_upper = piece[i] == '_';
	}
}

typedef enum fc_spelling { FC_CAMEL, FC_LOWER, FC_PREFIX } fc_spelling;

static char *
spell(fc_run *run, const char *name, fc_spelling spelling)
{
	fc_out out = {run, NULL, 0, 0};

	fc_put_bytes(&out, "", 0);
	while (*name != '\0') {
		size_t size = strcspn(name, ".");

		if (size != 0 && out.size != 0)
			fc_put(&out, "%s", spelling == FC_PREFIX ? "_" : "__");
		if (spelling == FC_CAMEL)
			put_camel(&out, name, size);
		else
			put_lower(&out, name, size, spelling == FC_PREFIX);
		name += size + (name[size] == '.');
	}
	return out.text;
}

char *
fc_fold(fc_run *run, const char *name)
{
	return spell(run, name, FC_PREFIX);
}

char *
fc_member(fc_run *run, const char *folded)
{
	return fc_say(
	    run, "%s%s", folded, is_among(folded, cpp_words, FC_COUNT(cpp_words)) ? "_" : "");
}

char *
fc_c_type(fc_run *run, const char *name)
{
	return spell(run, name, FC_CAMEL);
}

char *
fc_c_lower(fc_run *run, const char *name)
{
	return spell(run, name, FC_LOWER);
}

char *
fc_c_prefix(fc_run *run, const char *name)
{
	return spell(run, name, FC_PREFIX);
}

char *
fc_c_full_name(fc_run *run, const fc_file *file, const char *full_name)
{
	if (file->c_package == NULL)
		return fc_say(run, "%s", full_name);
	return fc_say(run, "%s%s%s", file->c_package, file->package[0] == '\0' ? "." : "",
	    full_name + strlen(file->package));
}

char *
fc_guard_word(fc_run *run, const char *file_name)
{
	fc_out out = {run, NULL, 0, 0};

	for (; *file_name != '\0'; file_name++)
		if (is_upper(*file_name) || is_lower(*file_name) || is_digit(*file_name))
			fc_put_bytes(&out, file_name, 1);
		else
			fc_put(&out, "_%02x", (unsigned)(unsigned char)*file_name);
	return out.text;
}
