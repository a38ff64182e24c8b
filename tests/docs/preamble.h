/* What the documentation's fragments take for granted. */
#include <stdio.h>
#include <string.h>

#include <farcall/farcall.h>

#include "demo.farcall.h"

void give_to_a_thread_of_mine(farcall_call *call);
