/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One error object with a message chain.
 *
 * A function that can fail returns 0 or a negative errno and takes a `struct err *` (NULL when
 * the caller wants only the code). The function that finds the fault sets the message; callers
 * that know more put their context in front. The result reads from the general to the particular
 * and ends in what the user can do:
 *
 *     disk "rootfs.img": cannot open: permission denied; check its mode and owner
 */
#ifndef HUSK_CORE_ERR_H
#define HUSK_CORE_ERR_H

#define ERR_MESSAGE_MAX 512

/* Who has to act. Whoever knows sets it; a fresh error blames the input. */
enum err_blame {
    ERR_BLAME_INPUT, /* what was asked for: an option, a configuration, an image */
    ERR_BLAME_HOST,  /* the host cannot: no KVM, no permission, no memory */
    ERR_BLAME_SELF,  /* Husk failed */
};

struct err {
    int code;                      /* negative errno; 0 while nothing went wrong */
    enum err_blame blame;
    char message[ERR_MESSAGE_MAX]; /* one line, no newline, always NUL-terminated */
};

/* Sets code and message, replacing what was there. `code` is a negative errno; returns it. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and the text of errno value -code appended. */
int err_sys(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message that is there. */
void err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Control characters become '?': what is quoted (a path, a helper's words, the guest's) may hold anything,
 * and a message stays one line that says nothing to a terminal.
 */
void keep_one_line(char *text);

#endif
