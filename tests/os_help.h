/* SPDX-License-Identifier: MIT */
/* What tests of the OS layer share: a connection that is waited for. */
#ifndef OS_HELP_H
#define OS_HELP_H

#include "os/os.h"

#include <poll.h>

/* Connects until deadline (0: none). */
__attribute__((unused)) static micro_err os_connect(const micro__addr *to, uint64_t deadline,
                                                    int *fd, char why[128])
{
    micro_err err = micro__sock_connect_begin(to, fd, why);

    if (err != MICRO_EAGAIN)
        return err;
    if (micro__fd_wait(*fd, MICRO__WRITE, deadline) != MICRO_ETIMEDOUT)
        return micro__sock_connect_end(fd, why);
    micro__fd_close(*fd);
    *fd = -1;
    return MICRO_ETIMEDOUT;
}

#endif
