/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations from text: JSON, and disk options and sizes made of the same bytes. What is read
 * is written and read again, and must be the same; what is refused must say so in one line.
 */
#include "vmm/config.h"
#include "vmm/husk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_message(const struct husk_err *err)
{
    require(err->code < 0 && err->message[0] && !strchr(err->message, '\n'));
}

static void round_trip(const struct husk_config *config)
{
    char *text = husk_config_to_json(config);
    struct husk_config again;
    char *text_again;

    require(text);
    husk_config_init(&again);
    require(husk_config_parse_json(&again, text, strlen(text), "again", NULL) == 0);
    text_again = husk_config_to_json(&again);
    require(text_again && strcmp(text, text_again) == 0);
    free(text);
    free(text_again);
    husk_config_release(&again);
}

static void fuzz_json(const char *text, size_t size)
{
    struct machine_config checked;
    struct husk_config config;
    struct husk_err err = {0};

    husk_config_init(&config);
    if (husk_config_parse_json(&config, text, size, "fuzz", &err))
        require_message(&err);
    else
        round_trip(&config);
    if (config_validate(&config, &checked, NULL) == 0)
        machine_config_free(&checked);
    husk_config_release(&config);
}

static void fuzz_options(const char *text)
{
    struct husk_config config;
    struct husk_err err = {0};
    uint64_t bytes;

    husk_config_init(&config);
    if (husk_config_add_disk(&config, text, &err))
        require_message(&err);
    else
        require(config.disk_count == 1 && config.disks[0].path[0]);
    husk_config_release(&config);
    if (husk_parse_size(text, &bytes, &err))
        require_message(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    require(text);
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_json(text, size);
    fuzz_options(text);
    free(text);
    return 0;
}
