/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: room for the line (one byte), then defaults and user text with a NUL between them. What
 * is built must fit, and, where the defaults close every quote that they open, building it again
 * as the user's text must change nothing.
 */
#include "firmware/command_line.h"

#include <stdlib.h>
#include <string.h>

static void require(int condition)
{
    if (!condition)
        abort();
}

static int closes_quotes(const char *text)
{
    int open = 0;

    for (; *text; text++)
        open ^= *text == '"';
    return !open;
}

static void build(const char *defaults, const char *user, size_t room)
{
    char *line = malloc(room + 1);
    char *again = malloc(room + 1);

    require(line && again);
    if (command_line_build(line, room, defaults, user, NULL) == 0) {
        require(strlen(line) < room);
        require(command_line_build(again, room, NULL, line, NULL) == 0);
        require(!closes_quotes(defaults) || !strcmp(line, again));
    }
    free(line);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;
    size_t defaults_size;

    if (size < 1)
        return 0;
    text = calloc(size + 1, 1); /* ends in two NULs */
    require(text != NULL);
    memcpy(text, data + 1, size - 1);
    defaults_size = strlen(text);
    build(text, text + defaults_size + (defaults_size < size ? 1 : 0), data[0]);
    free(text);
    return 0;
}
