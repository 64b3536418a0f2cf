/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC as people say it in a command line, and the <interface> that it stands for. */
#ifndef CLI_NIC_WORDS_H
#define CLI_NIC_WORDS_H

#include "base/err.h"

/* NULL: it was not said. */
struct nic_words {
	const char *type; /* NULL: user */
	const char *source, *mode, *target, *mac, *mtu, *queues, *vlan, *forward, *alias, *virtualport;
};

/**
 * nic_words_parse - "TYPE[,WORD=VALUE]...": WORD is a member of struct nic_words.
 * @text: is taken to pieces; what is parsed points into it.
 * Return: 0; -EINVAL with a line.
 */
int nic_words_parse(char *text, struct nic_words *ret_words, struct err *err);

/** nic_words_xml - Return: 0 with *@ret_xml (heap); -EINVAL, -ENOMEM with a line. */
int nic_words_xml(const struct nic_words *words, char **ret_xml, struct err *err);

#endif
