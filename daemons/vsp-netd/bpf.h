/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF over a frame, for who wants to see some frames only: programs are checked first, then run.
 *
 * Limits: BPF_LEN_MAX instructions. Jumps go forward, so a run ends after that many. A load outside of the frame, or a
 * division by zero, ends a run with "no". Linux's ancillary loads (SKF_AD_*) are not known: such a program is refused.
 */
#ifndef NETD_BPF_H
#define NETD_BPF_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define BPF_LEN_MAX 4096u

/** bpf_check - whether @program of @len instructions can be run. Return: 0; -EINVAL. Context: any thread. */
int bpf_check(const struct sock_filter *program, size_t len);

/**
 * bpf_run - @program: checked. @frame: @have bytes are there of a frame of @len.
 * Return: how many bytes the program wants of the frame; 0: it does not want it. Context: any thread.
 */
uint32_t bpf_run(const struct sock_filter *program, const uint8_t *frame, size_t have, size_t len);

#endif
