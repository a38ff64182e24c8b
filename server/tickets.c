/*
 * tickets.c: what the closure of a protobuf-c service is given to find its call by. Such code may
 * call a closure twice, or long after its call was cancelled, or never; so a ticket is a number and
 * no pointer. It is used up by whoever ends the call first, and any use after that is found out,
 * also when the call's memory serves another one and when the server is gone.
 *
 * The table is the process's, since a ticket must be judged when nothing else of the server is
 * left. It is there while a server has such a service. A ticket is a place in the table and how
 * often the place was used; places are used in turn, so that those used up are remembered for a
 * while.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"

#include <string.h>

#define PLACE_BITS 20
#define PLACES_MOST (1u << PLACE_BITS) /* calls that pend at a time */
#define PLACES_FIRST 256u
#define USES_MOST (UINTPTR_MAX >> PLACE_BITS)
#define NO_PLACE UINT32_MAX

typedef struct fc_ticket_place {
	farcall_call *call; /* NULL: used up */
	uintptr_t uses;     /* 1 to USES_MOST, then again */
	uint32_t next;      /* free places */
	bool cancelled;     /* used up by that, and the closure has not come */
} fc_ticket_place;

/* Under `lock`. */
static struct {
	fc_spin lock;
	size_t users;
	fc_ticket_place *places;
	uint32_t n;
	uint32_t first_free, last_free;
	uintptr_t uses; /* of new places: more than any place has had */
} table = {.lock = {ATOMIC_FLAG_INIT}, .first_free = NO_PLACE, .last_free = NO_PLACE};

void
fc_tickets_hold(void)
{
	fc_spin_lock(&table.lock);
	table.users++;
	fc_spin_unlock(&table.lock);
}

void
fc_tickets_drop(void)
{
	fc_ticket_place *places = NULL;

	fc_spin_lock(&table.lock);
	if (--table.users == 0) {
		places = table.places;
		table.places = NULL;
		table.n = 0;
		table.first_free = table.last_free = NO_PLACE;
	}
	fc_spin_unlock(&table.lock);
	fc_free(places);
}

static void
add_free(uint32_t i)
{
	table.places[i].next = NO_PLACE;
	if (table.first_free == NO_PLACE)
		table.first_free = i;
	else
		table.places[table.last_free].next = i;
	table.last_free = i;
}

/* From `n` places, as another thread may have done meanwhile, to more. */
static bool
grow(uint32_t n)
{
	uint32_t more = n != 0 ? n * 2 : PLACES_FIRST;
	fc_ticket_place *places, *old = NULL;

	if (more > PLACES_MOST)
		return false;
	places = (fc_ticket_place *)fc_calloc(more, sizeof *places);
	if (places == NULL)
		return false;
	fc_spin_lock(&table.lock);
	old = places;
	if (table.n == n) {
		old = table.places;
		if (n != 0)
			memcpy(places, old, n * sizeof *places);
		table.places = places;
		table.n = more;
		for (uint32_t i = n; i < more; i++) {
			places[i].uses = table.uses;
			add_free(i);
		}
	}
	fc_spin_unlock(&table.lock);
	fc_free(old);
	return true;
}

/* Under the lock, with a free place. */
static void *
fill(farcall_call *call)
{
	uint32_t i = table.first_free;
	fc_ticket_place *place = &table.places[i];

	table.first_free = place->next;
	place->call = call;
	place->cancelled = false;
	place->uses = place->uses < USES_MOST ? place->uses + 1 : 1;
	if (table.uses < place->uses)
		table.uses = place->uses;
	return (void *)(place->uses << PLACE_BITS | i);
}

void *
fc_ticket_new(farcall_call *call)
{
	void *ticket = NULL;
	uint32_t n;

	do {
		fc_spin_lock(&table.lock);
		n = table.n;
		if (table.first_free != NO_PLACE)
			ticket = fill(call);
		fc_spin_unlock(&table.lock);
	} while (ticket == NULL && grow(n));
	return ticket;
}

/* Under the lock. NULL: a ticket of long ago, or none. */
static fc_ticket_place *
find(void *ticket)
{
	uintptr_t number = (uintptr_t)ticket;
	uint32_t i = (uint32_t)(number & (PLACES_MOST - 1));

	if (i >= table.n || table.places[i].uses != number >> PLACE_BITS)
		return NULL;
	return &table.places[i];
}

fc_ticket_use
fc_ticket_take(void *ticket, bool cancelled, farcall_call **call)
{
	fc_ticket_use use = FC_TICKET_SPENT;
	fc_ticket_place *place;

	fc_spin_lock(&table.lock);
	place = find(ticket);
	if (place != NULL && place->call != NULL) {
		use = FC_TICKET_GOOD;
		*call = place->call;
		place->call = NULL;
		place->cancelled = cancelled;
		add_free((uint32_t)(place - table.places));
	} else if (place != NULL && place->cancelled) {
		use = FC_TICKET_LATE;
		place->cancelled = false;
	} else if (place == NULL) {
		use = FC_TICKET_FORGOTTEN;
	}
	fc_spin_unlock(&table.lock);
	return use;
}
