/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: whole reads and writes, memfds, atomic replacement of a file. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** fd_close - close *@fd if it is open and set it to -1. */
void fd_close(int *fd);

/** fd_dup - duplicate with close-on-exec. Return: the new descriptor or a negative errno. */
int fd_dup(int fd);

/** fd_set_nonblock - Return: 0 or a negative errno. */
int fd_set_nonblock(int fd, bool on);

/** fd_read_full - read exactly @len bytes at @offset (pread). Return: 0; -EIO at an early end; another negative errno. */
int fd_read_full(int fd, void *buf, size_t len, off_t offset);

/** fd_write_full - write all of @buf (write(2), blocking descriptors). Return: 0 or a negative errno. */
int fd_write_full(int fd, const void *buf, size_t len);

/**
 * fd_read_all - read a whole regular file or pipe into memory.
 * @limit: -EFBIG beyond so many bytes.
 * @ret_buf: heap, NUL-terminated behind its @ret_len bytes; the caller frees it.
 */
int fd_read_all(int fd, size_t limit, char **ret_buf, size_t *ret_len);

/**
 * fd_memfd - a memfd of @len bytes, sealed against change of size.
 * @name: shown in /proc.
 * Return: the descriptor or a negative errno.
 */
int fd_memfd(const char *name, size_t len);

/**
 * file_replace - put @len bytes into @dir_fd/@name atomically and durably: temporary file, fsync, rename, fsync of
 * the folder. The old content stays whole on any failure, and no temporary file is left.
 * Return: 0 or a negative errno.
 */
int file_replace(int dir_fd, const char *name, const void *buf, size_t len, mode_t mode);

#endif
