/*
 * emit.c: pieces of generated text that the header and the source share: comments, and heads of
 * functions folded at 100 columns.
 */
#include "plugin.h"

#include <string.h>

#define MOST_COLUMNS 100u
#define TAB 8u

/* The length of the UTF-8 sequence at `at` if it may stand in a comment; else 0. Refused are
 * control characters and the marks that make text run backwards, which compilers warn about. */
static size_t
printable(const unsigned char *at)
{
	static const struct {
		unsigned char first, last;
		size_t more;
		unsigned least;
	} forms[] = {{0xc2, 0xdf, 1, 0x80}, {0xe0, 0xef, 2, 0x800}, {0xf0, 0xf4, 3, 0x10000}};
	size_t i, j;

	if (at[0] < 0x80)
		return at[0] >= 0x20 && at[0] != 0x7f ? 1 : 0;
	for (i = 0; i < FC_COUNT(forms); i++) {
		unsigned code = at[0] & (0x3fu >> forms[i].more);

		if (at[0] < forms[i].first || at[0] > forms[i].last)
			continue;
		for (j = 1; j <= forms[i].more; j++) {
			if ((at[j] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (at[j] & 0x3fu);
		}
		if (code < forms[i].least || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff) || (code >= 0x80 && code < 0xa0) ||
		    code == 0x61c || (code >= 0x200e && code <= 0x200f) ||
		    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
			return 0;
		return 1 + forms[i].more;
	}
	return 0;
}

/* One line of a comment, made safe: it can neither end the comment nor begin another, nor swallow
 * the end of its line, nor be a trigraph. */
static void
put_comment_line(fc_out *out, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text;
	const unsigned char *end;

	while (size != 0 && strchr(" \t\r\f\v", text[size - 1]) != NULL)
		size--;
	for (end = at + size; at < end;) {
		size_t length = *at == '\t' ? 1 : printable(at);
		bool parts = (at[0] == '*' && at[1] == '/') || (at[0] == '/' && at[1] == '*') ||
		    (at[0] == '?' && at[1] == '?');

		if (length == 0)
			fc_put(out, "?");
		else
			fc_put_bytes(out, (const char *)at, length);
		at += length == 0 ? 1 : length;
		if (parts)
			fc_put(out, " ");
		else if (at == end && at[-1] == '\\')
			fc_put(out, " .");
	}
}

/* `text` as a comment under a line `title` (NULL: none), each line behind `indent`. A single line
 * stays one. */
void
fc_put_comment(fc_out *out, const char *indent, const char *title, const char *text)
{
	size_t size = text == NULL ? 0 : strlen(text);
	bool single;

	while (size != 0 && strchr(" \t\r\n\f\v", text[size - 1]) != NULL)
		size--;
	if (size == 0 && title == NULL)
		return;
	single = title == NULL && memchr(text, '\n', size) == NULL;
	fc_put(out, "%s/*%s", indent, single ? "" : "\n");
	if (title != NULL)
		fc_put(out, "%s * %s\n", indent, title);
	if (title != NULL && size != 0)
		fc_put(out, "%s *\n", indent);
	while (size != 0) {
		const char *line_end = (const char *)memchr(text, '\n', size);
		size_t line = line_end == NULL ? size : (size_t)(line_end - text);
		size_t blank = line != 0 && text[0] == ' ', before;

		fc_put(out, "%s ", single ? "" : fc_say(out->run, "%s *", indent));
		before = out->size;
		put_comment_line(out, text + blank, line - blank);
		if (out->size == before)
			out->text[--out->size] = '\0';
		fc_put(out, "%s", single ? "" : "\n");
		text += line + (line_end != NULL);
		size -= line + (line_end != NULL);
	}
	fc_put(out, "%s */\n", single ? "" : indent);
}

static size_t
columns(const char *text, size_t size)
{
	size_t count = 0, i;

	for (i = 0; i < size; i++)
		count += text[i] == '\t' ? TAB : 1;
	return count;
}

/* `before` `name`(parameters)`after`. Too wide for a line, the parameters go on the next ones. */
void
fc_put_head(fc_out *out, const char *before, const char *name, const char *const *parameters,
    size_t n_parameters, const char *after)
{
	size_t tabs = strspn(before, "\t"), width = strlen(after) + 1, line, i;

	for (i = 0; i < n_parameters; i++)
		width += strlen(parameters[i]) + (i == 0 ? 0 : 2);
	fc_put(out, "%s%s(", before, name);
	for (line = out->size; line != 0 && out->text[line - 1] != '\n';)
		line--;
	line = columns(out->text + line, out->size - line);
	if (line + width > MOST_COLUMNS) {
		fc_put(out, "\n%.*s    ", (int)tabs, before);
		line = tabs * TAB + 4;
	}
	for (i = 0; i < n_parameters; i++) {
		size_t size = strlen(parameters[i]) + (i + 1 == n_parameters ? strlen(after) : 1);

		if (i != 0 && line + 1 + size > MOST_COLUMNS) {
			fc_put(out, "\n%.*s    ", (int)tabs, before);
			line = tabs * TAB + 4;
		} else if (i != 0) {
			fc_put(out, " ");
			line++;
		}
		fc_put(out, "%s%s", parameters[i], i + 1 == n_parameters ? "" : ",");
		line += size;
	}
	fc_put(out, ")%s", after);
}

/* A function with the parameters of a method's handler. */
void
fc_put_handler(
    fc_out *out, const char *before, const char *name, const fc_method *method, const char *after)
{
	const char *parameters[3] = {"farcall_call *call"};
	size_t n = 1;

	if (method->shape == FARCALL_UNARY || method->shape == FARCALL_SERVER_STREAM)
		parameters[n++] = fc_say(out->run, "const %s *request", method->request);
	if (method->shape == FARCALL_UNARY || method->shape == FARCALL_CLIENT_STREAM)
		parameters[n++] = fc_say(out->run, "%s *reply", method->reply);
	fc_put_head(out, before, name, parameters, n, after);
}

/* The head of a step's __async twin. */
void
fc_put_async_head(fc_out *out, const char *before, const fc_method *method, const fc_step *step,
    const char *after)
{
	const char *stub = fc_say(out->run, "%s%s", method->stub, step->word);
	const char *parameters[4] = {"farcall_call *call"};
	size_t n = 1;

	if (step->in != FC_NOTHING)
		parameters[n++] = fc_say(out->run, "const %s *%s", fc_carried(method, step->in),
		    step->in == FC_REQUEST ? "request" : "reply");
	parameters[n++] = step->out == FC_NOTHING ? "farcall_done *done"
	                                          : fc_say(out->run, "%s__done *done", stub);
	parameters[n++] = "void *data";
	fc_put_head(out, before, fc_say(out->run, "%s__async", stub), parameters, n, after);
}
