/* SPDX-License-Identifier: MIT */
/* The http broker inside: no daemon. A subscriber listens and stands in the registry; a publisher
 * looks it up and posts the event to it. The generations of go-micro differ in the names they are
 * registered under:
 *   2018     topic:TOPIC            version: the queue; node broker-UUID.UUID
 *   1.18     go.micro.http.broker   nodes of all topics, TOPIC-UUID, with the topic as metadata
 *   2.9 on   micro.http.broker      the same */
#ifndef MICRO_BROKER_HTTP_H
#define MICRO_BROKER_HTTP_H

#include "broker.h"

#define MICRO__HTTP_NAMES 3 /* that a subscription is registered under */
#define MICRO__HTTP_TOPIC "topic:"
#define MICRO__HTTP_SHARED_OLD "go.micro.http.broker"
#define MICRO__HTTP_SHARED "micro.http.broker"
#define MICRO__HTTP_BROADCAST "ff.http.broadcast" /* the version of those without a queue */

/* A topic that was published to: what was looked up when. */
typedef struct micro__http_topic {
    struct micro__http_topic *next;
    uint64_t asked;                /* when all three names were */
    unsigned news;                 /* as of then */
    bool wanted;                   /* to be asked for in the background */
    bool nobody;                   /* was there, when asked, and no news has come since */
    uint64_t heard;                /* when the last news of its subscribers came */
    struct micro__http_plan *plan; /* of the last publication; NULL: nobody subscribed */
    char name[];                   /* topic:TOPIC */
} micro__http_topic;

typedef struct micro__http_broker {
    micro_broker base;
    char *listen;  /* where to; NULL: any free port */
    char uuid[37]; /* of node ids */
    micro__mutex lock;
    micro__cond changed;
    int connected;      /* times */
    bool closing;       /* by the last disconnect */
    size_t busy;        /* operations under way */
    micro_service *svc; /* that connected first, and its: */
    micro__engine *engine;
    micro_registry *registry;
    micro__life *life; /* of what is posted */
    /* subscriptions */
    micro__port *port; /* NULL: nobody has subscribed yet */
    char address[128]; /* as registered */
    micro_sub *subs;
    bool refreshing;
    /* publishing */
    micro_selector *selector;
    micro__pipelines *out;
    micro_watch *watch;
    bool watching;                /* or it was tried in vain */
    MICRO__ATOMIC(unsigned) news; /* of subscribers that came */
    micro__http_topic *topics;
    size_t ntopics;
    bool asking; /* in the background */
} micro__http_broker;

typedef struct micro__http_sub {
    micro_sub base;
    bool gone; /* under the broker's lock: it is not to be registered any more */
    char uuid[37];
    char *ids[2]; /* of its nodes: as 2018 has them, and later ones */
} micro__http_sub;

/* http.c: between begin and end the broker stays connected. ECLOSED. */
MICRO_PRIVATE micro_err micro__http_begin(micro__http_broker *b);
MICRO_PRIVATE void micro__http_end(micro__http_broker *b);
/* The names that a topic's subscribers are registered under, in memory of ctx: its own, then the
 * two that all topics share. False: out of memory. */
MICRO_PRIVATE bool micro__http_names(micro_ctx *ctx, const char *topic,
                                     const char *names[MICRO__HTTP_NAMES]);

/* http_receive.c: a micro__serve_fn; arg is the broker, and the memo a subscription, held. */
MICRO_PRIVATE void micro__http_receive(void *arg, micro__request *req, micro__reply *reply);
MICRO_PRIVATE void micro__http_receive_forget(void *memo);

/* http_find.c: what publishers know of subscribers. ENOTFOUND: nobody subscribes. */
MICRO_PRIVATE micro_err micro__http_find(micro__http_broker *b, micro_ctx *ctx, const char *topic,
                                         struct micro__http_plan **out);
MICRO_PRIVATE void micro__http_forget(micro__http_broker *b); /* all topics */
/* Gives back what is held of the sets. */
MICRO_PRIVATE void micro__http_release(micro__http_broker *b, const micro_nodes **sets);

/* http_plan.c: who gets the events of a topic. Counted, and never changed. */
typedef struct micro__http_target {
    const micro_node *node;
    size_t set;      /* where it is from */
    micro_str head;  /* of a request to it, up to the length of the body */
    micro_str queue; /* "": none */
    bool secure;
} micro__http_target;

typedef struct micro__http_plan {
    atomic_int refs;
    const micro_nodes *sets[MICRO__HTTP_NAMES]; /* held; NULL: nothing known */
    micro__arena memory;
    micro__http_target *list;
    size_t len;
    bool queues; /* somebody has one */
} micro__http_plan;
/* On success the sets are the plan's, and those given NULL. ENOTFOUND, ENOMEM. */
MICRO_PRIVATE micro_err micro__http_plan_new(const char *topic, const micro_nodes **sets,
                                             micro__http_plan **out);
MICRO_PRIVATE bool micro__http_plan_is_of(const micro__http_plan *p,
                                          const micro_nodes *const *sets);
MICRO_PRIVATE micro__http_plan *micro__http_plan_hold(micro__http_plan *p); /* NULL is fine */
MICRO_PRIVATE void micro__http_plan_drop(micro__http_broker *b, micro__http_plan *p);

/* http_publish.c: the op. */
MICRO_PRIVATE micro_err micro__http_publish(micro_broker *base, micro_ctx *ctx, const char *topic,
                                            const micro_msg *msg, const micro_publish_opts *opts);

#endif
