/*
 * child.h: a server that others wrote, as a child of the test. It prints its ports, on one line,
 * and ends with its standard input.
 */
#ifndef TESTS_INTEROP_CHILD_H
#define TESTS_INTEROP_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#define CHILD_PORTS 3

typedef struct child {
	pid_t pid;
	int input;                   /* closed, it ends */
	unsigned ports[CHILD_PORTS]; /* 0: was not printed */
	char target[32];             /* of the first port */
} child;

/* The command ends with NULL. False, with a line on stderr, if it does not start or print a port.
 */
bool child_start(child *c, char *const *command);

/* The same for main(), whose arguments are the command: ends the program with 2 or 1 at a fault. */
void child_start_as_told(child *c, int argc, char **argv);

void child_stop(child *c);

#endif
