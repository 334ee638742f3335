/* SPDX-License-Identifier: MIT */
/* The parts of the mdns registry: packets, TXT payloads, what we answer, what we have heard. Only
 * mdns.c knows sockets, threads and the clock; the rest is driven by it, or by a test. */
#ifndef MICRO_MDNS_H
#define MICRO_MDNS_H

#include "registry.h"

/* ---- mdns_wire.c: DNS packets -----------------------------------------------------------------
 * Names are text without the last dot, labels as they are, no escapes. A name that is not plain
 * text, or has a dot within a label, is read as "": it cannot be one of ours. */

enum {
    MICRO__DNS_A = 1,
    MICRO__DNS_PTR = 12,
    MICRO__DNS_TXT = 16,
    MICRO__DNS_AAAA = 28,
    MICRO__DNS_SRV = 33,
    MICRO__DNS_ANY = 255
};
enum { MICRO__DNS_QUESTION, MICRO__DNS_ANSWER, MICRO__DNS_AUTHORITY, MICRO__DNS_ADDITIONAL };
enum {
    MICRO__DNS_RESPONSE = 0x8000,  /* QR */
    MICRO__DNS_AUTHENTIC = 0x0400, /* AA */
    MICRO__DNS_NOT_PLAIN = 0x7a0f, /* opcode, TC, rcode: messages with any of them are left alone */
    MICRO__DNS_IN = 1,
    MICRO__DNS_TOP_BIT = 0x8000, /* of a class: unicast wanted, or flush what you know */
    MICRO__DNS_PACKET_MAX = 9000,
    MICRO__DNS_NAME_MAX = 256 /* with the terminator */
};

typedef struct micro__dns_name {
    char text[MICRO__DNS_NAME_MAX];
    size_t len;
} micro__dns_name;

typedef struct micro__ip {
    uint8_t bytes[16]; /* 4 used for IPv4 */
    bool v6;
} micro__ip;

typedef struct micro__dns_reader {
    const uint8_t *data;
    size_t len, pos;
    uint16_t id, flags, left[4]; /* questions and records still to be read */
} micro__dns_reader;

typedef struct micro__dns_record { /* a question has the first three only */
    micro__dns_name name;
    uint16_t type, klass;
    uint32_t ttl;
    int section;
    uint16_t priority, weight, port; /* SRV */
    micro__dns_name target;          /* SRV, PTR */
    micro__ip ip;                    /* A, AAAA */
    const uint8_t *data;             /* as it stands in the packet */
    size_t len;
} micro__dns_record;

typedef struct micro__dns_writer {
    uint8_t *out;
    size_t cap, len;
    bool failed;       /* did not fit, or a name that cannot be written */
    uint16_t seen[64]; /* where names and tails of names stand, to be pointed at */
    size_t nseen;
    uint16_t counts[4];
} micro__dns_writer;

/* False: shorter than a header. */
MICRO_PRIVATE bool micro__dns_open(micro__dns_reader *r, const void *data, size_t len);
/* The next question; false: no more, or damaged. */
MICRO_PRIVATE bool micro__dns_question(micro__dns_reader *r, micro__dns_record *out);
/* The next record, in the order of the packet, behind the questions (which are skipped); one whose
 * content does not fit its type is passed over. False: no more, or damaged. */
MICRO_PRIVATE bool micro__dns_next(micro__dns_reader *r, micro__dns_record *out);

MICRO_PRIVATE void micro__dns_begin(micro__dns_writer *w, void *out, size_t cap, uint16_t id,
                                    uint16_t flags);
/* Sections in the order of the enum. */
MICRO_PRIVATE void micro__dns_ask(micro__dns_writer *w, micro_str name, uint16_t type,
                                  uint16_t klass);
MICRO_PRIVATE void micro__dns_ptr(micro__dns_writer *w, micro_str name, uint32_t ttl,
                                  micro_str target);
/* priority, weight: 10 and 1 in answers, 0 in probes */
MICRO_PRIVATE void micro__dns_srv(micro__dns_writer *w, int section, micro_str name, uint32_t ttl,
                                  const uint16_t priority_weight_port[3], micro_str target);
MICRO_PRIVATE void micro__dns_ip(micro__dns_writer *w, micro_str name, uint32_t ttl,
                                 const micro__ip *ip);
/* payload is cut into strings of 255. */
MICRO_PRIVATE void micro__dns_txt(micro__dns_writer *w, int section, micro_str name, uint32_t ttl,
                                  micro_str payload);
MICRO_PRIVATE size_t micro__dns_end(micro__dns_writer *w); /* length; 0: failed */

/* Why a name of labels cannot be written; NULL if it can. */
MICRO_PRIVATE const char *micro__dns_name_problem(micro_str name);
/* Joins up to three parts with dots; false: too long. */
MICRO_PRIVATE bool micro__dns_join(micro__dns_name *out, micro_str a, micro_str b, micro_str c);
/* Cuts suffix and the dot before it off the end of a name, ASCII case ignored; false: not there, or
 * nothing is left. */
MICRO_PRIVATE bool micro__dns_cut(micro_str *name, micro_str suffix);

/* IP literals without zone. */
MICRO_PRIVATE bool micro__ip_parse(micro__ip *out, micro_str text);
MICRO_PRIVATE size_t micro__ip_format(const micro__ip *ip, char out[48]); /* terminated */
MICRO_PRIVATE bool micro__ip_unset(const micro__ip *ip);                  /* 0.0.0.0, :: */

/* ---- mdns_txt.c: what a TXT record says of a node ---------------------------------------------
 * JSON, zlib, hex; the JSON is that of 2018, all generations' are read. */

enum { /* how much of the description of endpoints is left out: Values below a depth, all of it */
       MICRO__MDNS_FULL,
       MICRO__MDNS_DEPTH2,
       MICRO__MDNS_DEPTH1,
       MICRO__MDNS_DEPTH0,
       MICRO__MDNS_NAMES,
       MICRO__MDNS_LEVELS
};
#define MICRO__MDNS_INFLATE_MAX 65536u

/* The JSON alone; appends. Memory for the copy comes from ctx. */
MICRO_PRIVATE micro_err micro__mdns_txt_json(micro_ctx *ctx, const micro_entry *e,
                                             const micro_node *node, int level, micro_buf *out);
/* The payload; appends. ENOMEM, ETOOBIG, EINVAL. */
MICRO_PRIVATE micro_err micro__mdns_txt_write(micro_ctx *ctx, const micro_entry *e,
                                              const micro_node *node, int level, micro_buf *out);
/* Joins the strings of a TXT record and un-hexes them; out holds len / 2 bytes. Returns how many;
 * 0: it is not a payload. */
MICRO_PRIVATE size_t micro__mdns_txt_unhex(const uint8_t *record, size_t len, uint8_t *out);
/* Reads the zlib stream. out gets name, version, endpoints and one node with metadata and version;
 * strings live in ctx. inflated, which may be NULL, is told the size of the JSON. */
MICRO_PRIVATE micro_err micro__mdns_txt_read(micro_ctx *ctx, const uint8_t *zlib, size_t len,
                                             micro_entry *out, size_t *inflated);

/* ---- mdns_responder.c: our own nodes ----------------------------------------------------------*/

#define MICRO__MDNS_TTL 120u   /* seconds, where the registration names none */
#define MICRO__MDNS_FIT4 1472u /* what an Ethernet frame carries unfragmented */
#define MICRO__MDNS_FIT6 1452u
#define MICRO__MDNS_FIT_MAX 8192u

typedef struct micro__mdns_local {
    struct micro__mdns_local *next;
    const void *owner; /* the registry it was put through */
    char *service, *id;
    char *txt; /* payload */
    micro__ip ip;
    uint16_t port;
    uint32_t ttl;              /* seconds */
    int probes, announcements; /* still to be sent */
    uint64_t due;              /* when the next of them is; 0: none */
    uint64_t shown;            /* when it was last multicast; 0: never */
    uint64_t listed;           /* when the entry of its service in the list was */
    uint16_t probe_id;
} micro__mdns_local;

/* to_all: multicast; else to whoever asked. */
typedef void micro__mdns_send_fn(void *arg, bool to_all, const void *data, size_t len);

typedef struct micro__mdns_responder {
    micro__mdns_local *nodes;
    char host[MICRO__DNS_NAME_MAX];
    micro__mdns_send_fn *send;
    void *arg;
    uint64_t enumerated;              /* when the services were multicast; 0: never */
    uint64_t allowance, allowance_at; /* bytes of answers that may go out */
    uint8_t packet[MICRO__DNS_PACKET_MAX];
} micro__mdns_responder;

MICRO_PRIVATE void micro__mdns_responder_init(micro__mdns_responder *r, const char *host,
                                              micro__mdns_send_fn *send, void *arg);
MICRO_PRIVATE void micro__mdns_responder_free(micro__mdns_responder *r); /* says nothing */
/* A node for the responder, its description reduced until its packet takes at most fit bytes. ctx
 * says what is wrong: EINVAL, ETOOBIG, ENOMEM. Changes nothing in r. */
MICRO_PRIVATE micro_err micro__mdns_local_new(micro_ctx *ctx, const micro__mdns_responder *r,
                                              size_t fit, const micro_entry *e,
                                              const micro_node *node, int ttl_ms,
                                              micro__mdns_local **out);
MICRO_PRIVATE void micro__mdns_local_free(micro__mdns_local *n);
MICRO_PRIVATE micro__mdns_local *micro__mdns_local_find(micro__mdns_responder *r, micro_str service,
                                                        micro_str id);
/* Takes n over. One of the same name goes with a goodbye first, unless nothing has changed: then it
 * stays, is shown again if the last time was a second ago or more, and n is freed. True: changed.
 */
MICRO_PRIVATE bool micro__mdns_local_put(micro__mdns_responder *r, micro__mdns_local *n,
                                         uint64_t now);
MICRO_PRIVATE void micro__mdns_local_del(micro__mdns_responder *r, micro__mdns_local *n);
/* Announces everything anew: the network has changed. */
MICRO_PRIVATE void micro__mdns_responder_again(micro__mdns_responder *r, uint64_t now);
/* Sends what is due; returns when to call again, 0: when something was put. */
MICRO_PRIVATE uint64_t micro__mdns_responder_tick(micro__mdns_responder *r, uint64_t now);
/* Answers a packet's questions. plain: it came from another port than 5353, from a resolver that
 * wants the question back. */
MICRO_PRIVATE void micro__mdns_responder_hear(micro__mdns_responder *r, const uint8_t *data,
                                              size_t len, bool plain, uint64_t now);

/* ---- mdns_browser.c: everybody's nodes --------------------------------------------------------*/

#define MICRO__MDNS_LIST "_services" /* the service whose instances are the names of services */

struct micro__mdns_service;
typedef struct micro__mdns_node {   /* one block with its strings */
    struct micro__mdns_node *next;  /* of the service */
    struct micro__mdns_node *chain; /* of the same hash */
    struct micro__mdns_service *service;
    uint64_t hash;
    uint64_t heard, expires, due; /* due: next refresh, or the end */
    uint32_t ttl;
    uint8_t stage;              /* refresh questions asked */
    bool local;                 /* ours: never expires, and nobody else speaks for it */
    size_t size, weight;        /* of the block; counted against the cap */
    micro_str key, id, address; /* key: ID.SERVICE */
    micro_bytes zlib;
} micro__mdns_node;

typedef struct micro__mdns_service {
    struct micro__mdns_service *chain;
    micro__mdns_node *nodes;
    uint64_t hash;
    uint64_t asked, listed; /* when last; 0: never */
    uint64_t ask_at;        /* next question of somebody who watches; 0: none */
    unsigned asks;          /* such questions so far */
    unsigned users;         /* look-ups under way */
    micro_str name;
    size_t size;
} micro__mdns_service;

/* What a message says of one instance. */
enum { MICRO__MDNS_HEARD = 32 }; /* instances looked at in a message */
typedef struct micro__mdns_heard {
    micro__dns_name owner, host;
    micro__ip ip;
    const uint8_t *txt;
    size_t txt_len;
    uint32_t ttl;
    uint16_t port;
    bool has_txt, has_ip, gone;
} micro__mdns_heard;

/* What the browser wants from its owner; nothing of it may call the browser. */
typedef struct micro__mdns_browser_ops {
    void (*ask)(void *arg, micro_str name);    /* a question in both domains */
    bool (*wanted)(void *arg, micro_str name); /* somebody watches it; "": everything */
    /* weight: what a copy may take, roughly; false: no memory */
    bool (*tell)(void *arg, enum micro_change what, const micro_entry *e, size_t weight);
} micro__mdns_browser_ops;

#define MICRO__MDNS_BUCKETS 256u

typedef struct micro__mdns_browser {
    const micro__mdns_browser_ops *ops;
    void *arg;
    micro__mdns_node *by_key[MICRO__MDNS_BUCKETS];
    micro__mdns_service *by_name[MICRO__MDNS_BUCKETS];
    micro__mdns_node *buried; /* gone just now, newest first: what is on its way is no news */
    size_t nburied;
    size_t nodes, services, weight;
    uint64_t due; /* nothing has to be done before; 0: nothing at all */
    bool found;   /* something was added since it was last cleared by the owner */
    micro_ctx *scratch;
    micro__mdns_heard heard[MICRO__MDNS_HEARD]; /* the message being read; this and what follows */
    uint8_t zlib[32768];                        /* are not cleared; half of the largest message */
} micro__mdns_browser;

MICRO_PRIVATE bool micro__mdns_browser_init(micro__mdns_browser *b,
                                            const micro__mdns_browser_ops *ops, void *arg);
MICRO_PRIVATE void micro__mdns_browser_free(micro__mdns_browser *b);
/* Of what is heard. known: the same as before, which lives on, or nothing to be learned from;
 * learn: a new node, or a change; gone: a goodbye; listed: a service has instances. */
MICRO_PRIVATE bool micro__mdns_browser_known(micro__mdns_browser *b, micro_str key,
                                             micro_str address, micro_bytes zlib, uint32_t ttl,
                                             uint64_t now);
MICRO_PRIVATE void micro__mdns_browser_learn(micro__mdns_browser *b, micro_str key,
                                             micro_str service, micro_str address, micro_bytes zlib,
                                             size_t inflated, uint32_t ttl, uint64_t now);
MICRO_PRIVATE void micro__mdns_browser_gone(micro__mdns_browser *b, micro_str key, uint64_t now);
MICRO_PRIVATE void micro__mdns_browser_listed(micro__mdns_browser *b, micro_str name, uint64_t now);
/* Expires, refreshes, asks; returns when to call again, 0: when something was heard. */
MICRO_PRIVATE uint64_t micro__mdns_browser_tick(micro__mdns_browser *b, uint64_t now);
/* NULL: not known, and with make: out of memory. */
MICRO_PRIVATE micro__mdns_service *micro__mdns_browser_service(micro__mdns_browser *b,
                                                               micro_str name, bool make);
MICRO_PRIVATE void micro__mdns_browser_ask(micro__mdns_browser *b, micro__mdns_service *s,
                                           uint64_t now);
/* Starts the questions of a watcher; name "": of everything. False: out of memory. */
MICRO_PRIVATE bool micro__mdns_browser_watch(micro__mdns_browser *b, micro_str name, uint64_t now);
/* The network has changed: what is watched is asked for anew. */
MICRO_PRIVATE void micro__mdns_browser_again(micro__mdns_browser *b, uint64_t now);
/* Our own nodes; false: out of memory. */
MICRO_PRIVATE bool micro__mdns_browser_put(micro__mdns_browser *b, const micro__mdns_local *n,
                                           uint64_t now);
MICRO_PRIVATE void micro__mdns_browser_del(micro__mdns_browser *b, micro_str service, micro_str id,
                                           uint64_t now);
/* Whether its time has not passed. */
static inline bool micro__mdns_node_lives(const micro__mdns_node *node, uint64_t now)
{
    return node->local || node->expires > now;
}
/* NULL: out of memory. The copy is in no list. */
MICRO_PRIVATE micro__mdns_node *micro__mdns_node_copy(micro__arena *a,
                                                      const micro__mdns_node *node);
/* The entry that a node makes: strings live in ctx and in the node. */
MICRO_PRIVATE micro_err micro__mdns_node_entry(micro_ctx *ctx, const micro__mdns_node *node,
                                               micro_entry *out);

/* ---- mdns_hear.c: messages to what they say ---------------------------------------------------*/

/* Questions in a message are not looked at. */
MICRO_PRIVATE void micro__mdns_hear(micro__mdns_browser *b, const uint8_t *data, size_t len,
                                    uint64_t now);

/* ---- mdns_io.c: the instance of the process ---------------------------------------------------*/

/* Places in fds. An answer leaves from the socket that the question came to. */
enum {
    MICRO__MDNS_ANSWER4,
    MICRO__MDNS_ANSWER6,
    MICRO__MDNS_ASK4,
    MICRO__MDNS_ASK6,
    MICRO__MDNS_WAKER,
    MICRO__MDNS_FDS
};
enum { MICRO__MDNS_IFACES = 64 };

typedef struct micro__mdns {
    micro__mutex lock; /* of all that follows */
    micro__cond changed;
    bool started, stop;
    micro__thread_id thread;
    int fds[MICRO__MDNS_FDS];
    micro__waker waker;
    micro__iface ifaces[MICRO__MDNS_IFACES]; /* those joined, one a family and index */
    size_t nifaces;
    uint64_t scan_at;
    const micro__addr *asker; /* of the packet being answered */
    int asked_on;
    size_t told; /* weight of what was posted since callbacks last ran to the end */
    micro__notifier *notifier;
    uint8_t *datagram;
#if MICRO_OMIT_THREADS
    struct micro__mdns_driver *driver;
    uint64_t due; /* when there will be something to do */
#endif
    micro__mdns_responder responder;
    micro__mdns_browser browser;
} micro__mdns;

/* Opens nothing yet. */
MICRO_PRIVATE micro__mdns *micro__mdns_new(void);
MICRO_PRIVATE void micro__mdns_free(micro__mdns *st);
/* The rest wants the lock to be held. start: sockets and thread; ready: and an interface, *why is
 * constant text for EIO. */
MICRO_PRIVATE micro_err micro__mdns_start(micro__mdns *st);
MICRO_PRIVATE micro_err micro__mdns_ready(micro__mdns *st, const char **why);
/* Lets the lock go while waiting for changed, or until deadline. The background thread cannot wait
 * for itself: in a callback it goes on with its work instead. */
MICRO_PRIVATE void micro__mdns_wait(micro__mdns *st, uint64_t deadline);
/* Makes a wait return; takes the lock itself. */
MICRO_PRIVATE void micro__mdns_wake(void *st);
/* Reads what is there, does what is due; returns when to come back. Lock held. */
MICRO_PRIVATE uint64_t micro__mdns_step(micro__mdns *st, const bool ready[MICRO__MDNS_FDS]);

/* ---- mdns_alone.c: without a thread -----------------------------------------------------------*/

#if MICRO_OMIT_THREADS
/* The engine's steps drive it from now on; false: out of memory. */
MICRO_PRIVATE bool micro__mdns_drive(micro__mdns *st);
MICRO_PRIVATE void micro__mdns_undrive(micro__mdns *st);
/* Hears what has come since the last step. */
MICRO_PRIVATE void micro__mdns_catch_up(micro__mdns *st);
/* Calls back those who watch. */
MICRO_PRIVATE void micro__mdns_deliver(micro__mdns *st);
#else /* the thread does both */
static inline void micro__mdns_catch_up(micro__mdns *st)
{
    (void)st;
}
static inline void micro__mdns_deliver(micro__mdns *st)
{
    (void)st;
}
#endif

#endif
