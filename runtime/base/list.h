/*
 * list.h: intrusive lists. fc_list: doubly linked, an item can leave from anywhere. fc_queue:
 * singly linked, first in, first out.
 */
#ifndef FC_BASE_LIST_H
#define FC_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fc_list {
	struct fc_list *next, *prev;
} fc_list;

static inline void
fc_list_init(fc_list *list)
{
	list->next = list->prev = list;
}

static inline bool
fc_list_empty(const fc_list *list)
{
	return list->next == list;
}

static inline void
fc_list_append(fc_list *list, fc_list *item)
{
	item->prev = list->prev;
	item->next = list;
	list->prev->next = item;
	list->prev = item;
}

/* Harmless on an item that is initialised and on no list. */
static inline void
fc_list_remove(fc_list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	fc_list_init(item);
}

/* The first item, taken off; NULL if there is none. */
static inline fc_list *
fc_list_pop(fc_list *list)
{
	fc_list *item = list->next;

	if (item == list)
		return NULL;
	fc_list_remove(item);
	return item;
}

/* `next` allows the body to remove `item`. */
#define fc_list_each(item, following, list)                                         \
	for (fc_list *item = (list)->next, *following = item->next; item != (list); \
	     item = following, following = item->next)

typedef struct fc_link {
	struct fc_link *next;
} fc_link;

typedef struct fc_queue {
	fc_link *first, **end;
} fc_queue;

static inline void
fc_queue_init(fc_queue *queue)
{
	queue->first = NULL;
	queue->end = &queue->first;
}

static inline bool
fc_queue_empty(const fc_queue *queue)
{
	return queue->first == NULL;
}

static inline void
fc_queue_push(fc_queue *queue, fc_link *item)
{
	item->next = NULL;
	*queue->end = item;
	queue->end = &item->next;
}

static inline fc_link *
fc_queue_pop(fc_queue *queue)
{
	fc_link *item = queue->first;

	if (item != NULL) {
		queue->first = item->next;
		if (queue->first == NULL)
			queue->end = &queue->first;
	}
	return item;
}

#endif
