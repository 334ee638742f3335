/* SPDX-License-Identifier: MIT */
/* Events for tests: a message, a subscriber that notes what it gets, and waiting for that. */
#ifndef EVENTS_H
#define EVENTS_H

#include "harness.h"
#include "raw.h"

typedef struct events_msg {
    micro_str id;
    int64_t timestamp;
    micro_str message;
} events_msg;

__attribute__((unused)) static const micro_field events_rows[] = {
    MICRO_FIELD(string, events_msg, id, 1), MICRO_FIELD(int64, events_msg, timestamp, 2),
    MICRO_FIELD(string, events_msg, message, 3)
};
__attribute__((unused)) static const micro_type events_msg_type = {
    sizeof(micro_type), sizeof(micro_field), 3, "Event", sizeof(events_msg), events_rows, 0
};

MICRO_TOPIC(events_one, "example.topic.pubsub.1", events_msg);
MICRO_TOPIC(events_two, "example.topic.pubsub.2", events_msg);

/* What a subscriber has got; handlers may run side by side. */
typedef struct events_seen {
    pthread_mutex_t lock;
    int n;
    char ids[64][40]; /* the first of them, in order */
    char meta[64], topic[64], type[64];
    micro_err result; /* what the handler returns */
    atomic_int sleep_ms;
    int running, most;
    bool canceled;
} events_seen;

#define EVENTS_SEEN \
    { \
        .lock = PTHREAD_MUTEX_INITIALIZER \
    }

__attribute__((unused)) static void events_note(micro_ctx *ctx, events_seen *seen, micro_str id)
{
    const char *topic = micro_ctx_info(ctx)->topic;

    pthread_mutex_lock(&seen->lock);
    if (seen->n < 64)
        snprintf(seen->ids[seen->n], sizeof seen->ids[0], "%s", id.ptr);
    snprintf(seen->meta, sizeof seen->meta, "%s", micro_metadata_get(ctx, "Foo").ptr);
    snprintf(seen->topic, sizeof seen->topic, "%s", topic ? topic : "");
    snprintf(seen->type, sizeof seen->type, "%s", micro_ctx_info(ctx)->content_type);
    if (++seen->running > seen->most)
        seen->most = seen->running;
    pthread_mutex_unlock(&seen->lock);
    if (atomic_load(&seen->sleep_ms)) {
        micro_block_begin();
        for (int i = 0; i < atomic_load(&seen->sleep_ms) && !micro_ctx_canceled(ctx); i++)
            usleep(1000);
        micro_block_end();
    }
    pthread_mutex_lock(&seen->lock);
    seen->canceled |= micro_ctx_canceled(ctx);
    seen->running--;
    seen->n++;
    pthread_mutex_unlock(&seen->lock);
}

__attribute__((unused)) static micro_err events_on(micro_ctx *ctx, const events_msg *msg)
{
    events_seen *seen = micro_ctx_state(ctx);

    events_note(ctx, seen, msg->id);
    return seen->result;
}

__attribute__((unused)) static int events_count(events_seen *seen)
{
    pthread_mutex_lock(&seen->lock);
    int n = seen->n;
    pthread_mutex_unlock(&seen->lock);
    return n;
}

/* Until n have come, for half a minute at most; the number that have. */
__attribute__((unused)) static int events_wait(events_seen *seen, int n)
{
    long long until = raw_ms() + 30000;

    while (events_count(seen) < n && raw_ms() < until)
        raw_sleep(1);
    return events_count(seen);
}

#endif
