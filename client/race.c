/*
 * race.c: the places of a target against each other, by "Happy Eyeballs" (RFC 8305, gRFC A61).
 * Families take turns; the next place is begun 250 ms after the one before it, or at once when that
 * has failed; the first whose server has introduced itself wins, and the others are dropped. The
 * attempt has failed when each place has failed once. Until then those that have failed are tried
 * again when the backoff has passed: a place that swallows everything takes 20 s to fail, and must
 * not keep its neighbour, whose server was just restarting, from being found.
 */
#include "client/internal.h"

#include "runtime/transport/sock.h"

static farcall_channel *
channel_of(fc_race *race)
{
	return FC_CONTAINER(race, farcall_channel, sub.race);
}

/* How many of the same family come before it; and where the family comes first. */
static void
rank(const fc_place *places, size_t at, size_t *before, size_t *first)
{
	int family = fc_place_family(&places[at]);

	*before = 0;
	*first = at;
	for (size_t i = at; i-- > 0;) {
		if (fc_place_family(&places[i]) != family)
			continue;
		++*before;
		*first = i;
	}
}

void
fc_race_order(fc_place *places, size_t n)
{
	size_t before[FC_CLIENT_PLACES_MOST], first[FC_CLIENT_PLACES_MOST];

	for (size_t i = 0; i < n; i++)
		rank(places, i, &before[i], &first[i]);
	for (size_t i = 1; i < n; i++) {
		size_t b = before[i], f = first[i], at = i;
		fc_place place = places[i];

		for (; at > 0 && (before[at - 1] > b || (before[at - 1] == b && first[at - 1] > f));
		     at--) {
			places[at] = places[at - 1];
			before[at] = before[at - 1];
			first[at] = first[at - 1];
		}
		places[at] = place;
		before[at] = b;
		first[at] = f;
	}
}

static bool
is_under_way(fc_race *race, size_t place)
{
	fc_list_each (item, next, &race->lines)
		if (FC_CONTAINER(item, fc_line, in_race)->place == place)
			return true;
	return false;
}

static void
note_failure(fc_race *race, size_t place)
{
	race->failed |= UINT64_C(1) << place;
}

static bool
each_has_failed(const fc_subchannel *sub)
{
	return sub->race.failed == UINT64_MAX >> (FC_CLIENT_PLACES_MOST - sub->resolver.n);
}

static bool
is_allowed(const farcall_channel *channel, size_t place)
{
	return channel->insecure || fc_place_is_local(&channel->sub.resolver.places[place]);
}

/* All have been begun; so those that are not under way have failed. */
static void
wait_for_another_round(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;

	if (fc_list_empty(&sub->race.lines))
		return;
	for (size_t i = 0; i < sub->resolver.n; i++) {
		if (!is_allowed(channel, i) || is_under_way(&sub->race, i))
			continue;
		fc_timer_start(channel->loop, &sub->race.stagger, sub->retry_at);
		return;
	}
}

/* Begins the next place that can be begun. Without memory for the timer it waits until the one
 * before it has failed. */
static bool
go_on(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;
	fc_race *race = &sub->race;
	fc_line *line;
	fc_error error;

	fc_timer_stop(channel->loop, &race->stagger);
	while (race->next < sub->resolver.n) {
		size_t at = race->next++;
		const fc_place *place = &sub->resolver.places[at];

		if (is_under_way(race, at))
			continue;
		if (!is_allowed(channel, at)) {
			if (!race->tried)
				fc_subchannel_note_insecure(channel, place);
			note_failure(race, at);
			continue;
		}
		race->tried = true;
		fc_error_clear(&error);
		line = fc_line_open(channel, place, sub->patience, &error);
		if (line == NULL) {
			fc_subchannel_note(channel, &error);
			note_failure(race, at);
			continue;
		}
		line->place = at;
		fc_list_append(&race->lines, &line->in_race);
		if (race->next < sub->resolver.n)
			fc_timer_start(channel->loop, &race->stagger,
			    fc_loop_now(channel->loop) + FC_RACE_STAGGER_NS);
		break;
	}
	if (race->stagger.at == 0)
		wait_for_another_round(channel);
	return !fc_list_empty(&race->lines);
}

static void
on_stagger(fc_timer *timer)
{
	farcall_channel *channel = channel_of(FC_CONTAINER(timer, fc_race, stagger));
	fc_subchannel *sub = &channel->sub;

	if (sub->race.next == sub->resolver.n) {
		sub->race.next = 0;
		sub->retry_at = fc_channel_now(channel) + fc_backoff_next(&sub->backoff);
	}
	go_on(channel);
}

void
fc_race_init(fc_race *race)
{
	fc_timer_init(&race->stagger, on_stagger);
	fc_list_init(&race->lines);
}

bool
fc_race_start(farcall_channel *channel)
{
	channel->sub.race.next = 0;
	channel->sub.race.failed = 0;
	channel->sub.race.tried = false;
	return go_on(channel);
}

bool
fc_race_has(const fc_line *line)
{
	return !fc_list_empty(&line->in_race);
}

/* Those that are still under way are not wanted. */
static void
end_all(farcall_channel *channel)
{
	fc_list *line;

	fc_timer_stop(channel->loop, &channel->sub.race.stagger);
	while ((line = fc_list_pop(&channel->sub.race.lines)) != NULL)
		fc_line_end(FC_CONTAINER(line, fc_line, in_race));
}

bool
fc_race_lost(farcall_channel *channel, fc_line *line)
{
	fc_list_remove(&line->in_race);
	note_failure(&channel->sub.race, line->place);
	if (!each_has_failed(&channel->sub))
		return go_on(channel);
	end_all(channel);
	return false;
}

void
fc_race_won(farcall_channel *channel, fc_line *line)
{
	fc_list_remove(&line->in_race);
	end_all(channel);
}

void
fc_race_stop(farcall_channel *channel)
{
	fc_timer_stop(channel->loop, &channel->sub.race.stagger);
	while (fc_list_pop(&channel->sub.race.lines) != NULL)
		;
}
