/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: lines on stderr, "object: text". With a journal behind stderr (JOURNAL_STREAM) they go to the journal
 * itself, with the fields BULKHEAD_VM and, of the object, BULKHEAD_DEVICE or BULKHEAD_FILE; where its socket cannot be
 * reached each line on stderr starts with its "<level>". lib/ never logs above debug.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Lines that a guest or a peer can provoke go through one of these: burst, then a count. All zero at first. */
struct log_limit {
	uint64_t window_start_ns;
	unsigned int in_window;
	unsigned int suppressed;
};

/**
 * log_init - name this process in its lines.
 * @program: "vmworker"; kept by reference.
 * @vm:      the VM's name, or NULL (vmmgmtd, vmctl); copied.
 * Also reads the environment variable BULKHEAD_DEBUG (1: debug lines are printed).
 */
void log_init(const char *program, const char *vm);

/**
 * log_at - one line at @level about @object: "disk sda", "channel 3"; a file, by its whole path; in a program without a
 * VM of its own else a VM's name; NULL: the program. Context: any thread.
 */
void log_at(enum log_level level, const char *object, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** log_allowed - whether @limit lets one more line through (10 in 5 s); it reports what it swallowed. Context: any
 * thread. */
bool log_allowed(struct log_limit *limit, const char *object);

/**
 * log_limit_take - the decision of log_allowed(), without lock and output.
 * @now_ns: a monotonic clock.
 * @ret_swallowed: how many lines the window that has just ended did not let through, else 0.
 */
bool log_limit_take(struct log_limit *limit, uint64_t now_ns, unsigned int *ret_swallowed);

#define log_error(object, ...)	log_at(LOG_LEVEL_ERROR, (object), __VA_ARGS__)
#define log_warn(object, ...)	log_at(LOG_LEVEL_WARN, (object), __VA_ARGS__)
#define log_notice(object, ...) log_at(LOG_LEVEL_NOTICE, (object), __VA_ARGS__)
#define log_info(object, ...)	log_at(LOG_LEVEL_INFO, (object), __VA_ARGS__)
#define log_debug(object, ...)	log_at(LOG_LEVEL_DEBUG, (object), __VA_ARGS__)

#endif
