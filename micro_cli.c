/* SPDX-License-Identifier: MIT */
/* The micro command: list, inspect and call services. All of it is in the library. */
#include "micro.h"

int main(int argc, char **argv)
{
    return micro_cli_main(argc, argv);
}
