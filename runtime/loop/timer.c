/*
 * timer.c: timers in a binary heap of pointers; a timer knows its place, so that it can be moved
 * or stopped without a search. Moving a running timer needs no memory and cannot fail.
 */
#include "runtime/loop/inside.h"

#include "runtime/base/alloc.h"

#define ROOM_FIRST 16

static void
put(fc_heap *heap, size_t at, fc_timer *timer)
{
	heap->slots[at] = timer;
	timer->at = at;
}

static void
rise(fc_heap *heap, size_t at, fc_timer *timer)
{
	while (at > 1 && heap->slots[at / 2]->due > timer->due) {
		put(heap, at, heap->slots[at / 2]);
		at /= 2;
	}
	put(heap, at, timer);
}

static void
sink(fc_heap *heap, size_t at, fc_timer *timer)
{
	for (;;) {
		size_t child = 2 * at;

		if (child > heap->count)
			break;
		if (child < heap->count && heap->slots[child + 1]->due < heap->slots[child]->due)
			child++;
		if (heap->slots[child]->due >= timer->due)
			break;
		put(heap, at, heap->slots[child]);
		at = child;
	}
	put(heap, at, timer);
}

/* Puts `timer` where it belongs, the place `at` being free. */
static void
settle(fc_heap *heap, size_t at, fc_timer *timer)
{
	if (at > 1 && heap->slots[at / 2]->due > timer->due)
		rise(heap, at, timer);
	else
		sink(heap, at, timer);
}

bool
fc_heap_reserve(fc_heap *heap, size_t room)
{
	size_t size = heap->room != 0 ? heap->room : ROOM_FIRST;
	fc_timer **slots;

	if (room < heap->room)
		return true;
	while (size <= room)
		size *= 2;
	slots = (fc_timer **)fc_realloc(heap->slots, size * sizeof(fc_timer *));
	if (slots == NULL)
		return false;
	heap->slots = slots;
	heap->room = size;
	return true;
}

uint64_t
fc_heap_next(const fc_heap *heap)
{
	return heap->count != 0 ? heap->slots[1]->due : FC_NEVER;
}

void
fc_timer_init(fc_timer *timer, void (*run)(fc_timer *timer))
{
	timer->at = 0;
	timer->due = FC_NEVER;
	timer->run = run;
}

bool
fc_timer_start(fc_loop *loop, fc_timer *timer, uint64_t due)
{
	fc_heap *heap = &loop->timers;

	if (timer->at == 0) {
		if (!fc_heap_reserve(heap, heap->count + 1))
			return false;
		timer->due = due;
		heap->count++;
		rise(heap, heap->count, timer);
	} else if (timer->due != due) {
		timer->due = due;
		settle(heap, timer->at, timer);
	}
	if (loop->guest && timer->at == 1)
		fc_loop_guest_arm(loop);
	return true;
}

void
fc_timer_stop(fc_loop *loop, fc_timer *timer)
{
	size_t at = timer->at;
	fc_heap *heap;
	fc_timer *last;

	if (at == 0)
		return; /* there may be no loop any more */
	heap = &loop->timers;
	timer->at = 0;
	last = heap->slots[heap->count--];
	if (last != timer)
		settle(heap, at, last);
}

/* A timer that starts itself again for a time already past runs in the next turn. */
void
fc_heap_run(fc_loop *loop)
{
	for (size_t n = loop->timers.count; n > 0 && loop->timers.count > 0; n--) {
		fc_timer *timer = loop->timers.slots[1];

		if (timer->due > loop->now || timer->due == FC_NEVER)
			break;
		fc_timer_stop(loop, timer);
		timer->run(timer);
	}
}
