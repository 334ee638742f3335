/* SPDX-License-Identifier: MIT */
/* micro completion: scripts for shells, from the tables that --help reads. A script walks over the
 * words in front of the cursor: `at` is the command that they lead to ("list services"), names its
 * arguments. Both shells share all but the beginning and the end. */
#include "cli.h"

#define COMPLETION_DEPTH 4
#define COMPLETION_PATH 64

typedef struct completion {
    micro_buf *out;
    bool described; /* zsh shows what an item is for */
} completion;

typedef void completion_fn(const completion *k, const char *path, const micro__cli_command *c);

/* ---- walking the tables --------------------------------------------------------------------- */

/* Calls fn for every command, under each of its names. */
static void completion_each(const completion *k, const char *up, const micro__cli_command *in,
                            completion_fn *fn, int depth)
{
    char path[COMPLETION_PATH];

    for (size_t i = 0; i < in->nsub && depth < COMPLETION_DEPTH; i++) {
        const micro__cli_command *c = &in->sub[i];
        if (c->hidden)
            continue;
        snprintf(path, sizeof path, "%s%s%s", up, *up ? " " : "", c->name);
        fn(k, path, c);
        completion_each(k, path, c, fn, depth + 1);
        if (c->alias) {
            snprintf(path, sizeof path, "%s%s%s", up, *up ? " " : "", c->alias);
            fn(k, path, c);
        }
    }
}

static void completion_item(const completion *k, const char *dashes, const char *name,
                            const char *help)
{
    micro__buf_format(k->out, " '%s%s", dashes, name);
    if (k->described && help) {
        micro__buf_byte(k->out, ':');
        for (; *help; help++) {
            if (*help == '\'')
                micro__buf_text(k->out, "'\\''");
            else
                micro__buf_byte(k->out, *help);
        }
    }
    micro__buf_byte(k->out, '\'');
}

/* "bash|zsh": these are what there is to choose from. */
static void completion_alternatives(const completion *k, const char *args)
{
    micro_str rest = micro_s(args && strchr(args, '|') ? args : NULL);

    while (rest.len) {
        micro__buf_byte(k->out, ' ');
        micro__buf_str(k->out, micro__str_cut(rest, '|', &rest));
    }
}

static void completion_arm(const completion *k, const char *path, const micro__cli_command *c)
{
    const micro__flag_table *flags = c == &micro__cli_root ? &micro__service_flags : c->flags;

    micro__buf_format(k->out, "    '%s')\n        items=(", path);
    for (size_t i = 0; i < c->nsub; i++) {
        const micro__cli_command *sub = &c->sub[i];
        if (!sub->hidden)
            completion_item(k, "", sub->name, sub->help);
        if (!sub->hidden && sub->alias)
            completion_item(k, "", sub->alias, sub->help);
    }
    completion_alternatives(k, c->args);
    micro__buf_text(k->out, " )\n        flags=(");
    for (size_t i = 0; flags && i < flags->len; i++)
        completion_item(k, "--", flags->rows[i].name, flags->rows[i].help);
    completion_item(k, "--", "help", "Show help");
    micro__buf_text(k->out, " )\n");
    if (c->names_service)
        micro__buf_text(k->out, "        [[ ${#names[@]} == 0 ]] && ask=services\n");
    if (c->names_method)
        micro__buf_text(k->out, "        [[ ${#names[@]} == 1 ]] && ask=methods\n");
    micro__buf_text(k->out, "        ;;\n");
}

static void completion_path(const completion *k, const char *path, const micro__cli_command *c)
{
    (void)c;
    micro__buf_format(k->out, "|'%s'", path);
}

/* Patterns of flags that have a value. */
static void completion_valued(const completion *k, const char *path, const micro__cli_command *c)
{
    const micro__flag_table *flags = c == &micro__cli_root ? &micro__service_flags : c->flags;

    (void)path;
    for (size_t i = 0; flags && i < flags->len; i++)
        if (flags->rows[i].kind != MICRO__FLAG_BOOL)
            micro__buf_format(k->out, "|-%s|--%s", flags->rows[i].name, flags->rows[i].name);
}

static void completion_values(const completion *k, const char *path, const micro__cli_command *c)
{
    const micro__flag_table *flags = c == &micro__cli_root ? &micro__service_flags : c->flags;

    (void)path;
    for (size_t i = 0; flags && i < flags->len; i++) {
        const micro__flag_row *row = &flags->rows[i];
        if (!row->choices)
            continue;
        micro__buf_format(k->out, "    -%s|--%s) values=( ", row->name, row->name);
        for (const char *p = row->choices; *p; p++)
            if (*p != ',')
                micro__buf_byte(k->out, *p);
        micro__buf_text(k->out, " ) ;;\n");
    }
}

/* ---- the scripts ---------------------------------------------------------------------------- */

static const char completion_bash_begin[] =
    "# Completion of the micro command for bash; made by: micro completion bash\n"
    "_micro() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} before='' at='' ask='' skip=0 word\n"
    "    local -a line=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n"
    "    local -a names=() items=() flags=() values=()\n"
    "    [[ $cur == '=' ]] && cur=''\n";

/* Names that came over the network are only offered if a shell sees nothing in them. */
static const char completion_bash_end[] =
    "    if [[ $skip == 1 ]]; then\n"
    "        items=(\"${values[@]}\")\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        items=(\"${flags[@]}\")\n"
    "    elif [[ $ask == services ]]; then\n"
    "        mapfile -t items < <(\"${COMP_WORDS[0]}\" list services 2>/dev/null)\n"
    "    elif [[ $ask == methods ]]; then\n"
    "        while IFS= read -r word; do\n"
    "            [[ $word == 'Endpoint: '* ]] && items+=(\"${word#Endpoint: }\")\n"
    "        done < <(\"${COMP_WORDS[0]}\" get service \"${names[0]}\" 2>/dev/null)\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    for word in \"${items[@]}\"; do\n"
    "        [[ $word == \"$cur\"* && $word != *[!A-Za-z0-9/._-]* ]] && COMPREPLY+=(\"$word\")\n"
    "    done\n"
    "    return 0\n"
    "}\n"
    "complete -F _micro micro\n";

static const char completion_zsh_begin[] =
    "#compdef micro\n"
    "# Completion of the micro command for zsh; made by: micro completion zsh\n"
    "_micro() {\n"
    "    local cur=${words[CURRENT]} before='' at='' ask='' skip=0 word\n"
    "    local -a line names items flags values\n"
    "    line=(\"${(@)words[2,CURRENT-1]}\")\n";

static const char completion_zsh_end[] =
    "    if [[ $skip == 1 ]]; then\n"
    "        compadd -a values\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        _describe -o option flags\n"
    "    elif [[ $ask == services ]]; then\n"
    "        items=(\"${(@f)$($words[1] list services 2>/dev/null)}\")\n"
    "        compadd -a items\n"
    "    elif [[ $ask == methods ]]; then\n"
    "        items=(\"${(@f)$($words[1] get service $names[1] 2>/dev/null)}\")\n"
    "        items=(\"${(@)${(@M)items:#Endpoint: *}#Endpoint: }\")\n"
    "        compadd -a items\n"
    "    else\n"
    "        _describe command items\n"
    "    fi\n"
    "}\n"
    "_micro \"$@\"\n";

/* bash hands out --flag=value in three words, zsh in one. */
static void completion_walk(const completion *k)
{
    micro__buf_text(k->out, "    for word in \"${line[@]}\"; do\n"
                            "        if [[ $word == '=' ]]; then\n"
                            "            skip=1\n"
                            "            continue\n"
                            "        elif [[ $skip == 1 ]]; then\n"
                            "            skip=0\n"
                            "            continue\n"
                            "        fi\n"
                            "        case $word in\n"
                            "        '='");
    completion_valued(k, "", &micro__cli_root);
    completion_each(k, "", &micro__cli_root, completion_valued, COMPLETION_DEPTH - 1);
    micro__buf_text(k->out, ")\n            skip=1\n"
                            "            before=$word\n"
                            "            ;;\n"
                            "        -*) ;;\n"
                            "        *)\n"
                            "            case \"${at:+$at }$word\" in\n"
                            "            ''");
    completion_each(k, "", &micro__cli_root, completion_path, 0);
    micro__buf_text(k->out, ") at=\"${at:+$at }$word\" ;;\n"
                            "            *) names+=(\"$word\") ;;\n"
                            "            esac\n"
                            "            ;;\n"
                            "        esac\n"
                            "    done\n");
    if (k->described)
        micro__buf_text(k->out, "    if [[ $cur == -*=* ]]; then\n"
                                "        before=${cur%%=*}\n"
                                "        skip=1\n"
                                "        compset -P '*='\n"
                                "    fi\n");
}

static void completion_cases(const completion *k)
{
    micro__buf_text(k->out, "    case $before in\n");
    completion_values(k, "", &micro__cli_root);
    completion_each(k, "", &micro__cli_root, completion_values, COMPLETION_DEPTH - 1);
    micro__buf_text(k->out, "    esac\n    case $at in\n");
    completion_arm(k, "", &micro__cli_root);
    completion_each(k, "", &micro__cli_root, completion_arm, 0);
    micro__buf_text(k->out, "    esac\n");
}

MICRO_PRIVATE int micro__cli_completion(micro__cli *cli)
{
    bool zsh = cli->nargs && strcmp(cli->args[0], "zsh") == 0;
    const completion k = { &cli->out, zsh };

    if (!cli->nargs)
        return micro__cli_fail(MICRO__CLI_USAGE, "require a shell: bash or zsh");
    if (!zsh && strcmp(cli->args[0], "bash") != 0)
        return micro__cli_fail(MICRO__CLI_USAGE, "no completion for '%s': bash or zsh",
                               cli->args[0]);
    micro__buf_text(&cli->out, zsh ? completion_zsh_begin : completion_bash_begin);
    completion_walk(&k);
    completion_cases(&k);
    micro__buf_text(&cli->out, zsh ? completion_zsh_end : completion_bash_end);
    return MICRO__CLI_OK;
}
