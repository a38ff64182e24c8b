/*
 * child.c: pipes at both ends of a child: what it prints, and what it waits on.
 */
#include "tests/interop/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
become(char *const *command, int in, int out)
{
	dup2(in, 0);
	dup2(out, 1);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	execvp(command[0], command);
	_exit(127);
}

static void
read_ports(child *c, int fd)
{
	char line[64] = "";

	for (size_t n = 0; n < sizeof line - 1 && read(fd, line + n, 1) == 1; n++)
		if (line[n] == '\n')
			break;
	sscanf(line, "%u %u %u", &c->ports[0], &c->ports[1], &c->ports[2]);
	snprintf(c->target, sizeof c->target, "127.0.0.1:%u", c->ports[0]);
}

bool
child_start(child *c, char *const *command)
{
	int in[2], out[2];

	memset(c, 0, sizeof *c);
	if (pipe(in) != 0 || pipe(out) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0)
		become(command, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	c->input = in[1];
	read_ports(c, out[0]);
	close(out[0]);
	if (c->pid > 0 && c->ports[0] != 0)
		return true;
	fprintf(stderr, "%s did not start\n", command[0]);
	child_stop(c);
	return false;
}

void
child_start_as_told(child *c, int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s SERVER [ARGUMENT...]\n", argv[0]);
		exit(2);
	}
	if (!child_start(c, argv + 1))
		exit(1);
}

void
child_stop(child *c)
{
	int status;

	close(c->input);
	if (c->pid > 0)
		waitpid(c->pid, &status, 0);
}
