/* SPDX-License-Identifier: Apache-2.0 */
/* The only home of libpcap, which is looked for when it is needed: vmctl runs without it. */
#include "cli/packet_filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

#define LIBPCAP	 "libpcap.so.0.8"
#define SNAP_LEN 65535

/* What of it is used. */
struct libpcap {
	void *handle;
	pcap_t *(*open_dead)(int link, int snap_len);
	int (*compile)(pcap_t *pcap, struct bpf_program *program, const char *text, int optimize, bpf_u_int32 mask);
	char *(*geterr)(pcap_t *pcap);
	void (*freecode)(struct bpf_program *program);
	void (*close)(pcap_t *pcap);
};

static int load(struct libpcap *lib, struct err *err)
{
	lib->handle = dlopen(LIBPCAP, RTLD_NOW | RTLD_LOCAL);
	if (!lib->handle)
		return err_set(
			err, -ENOENT,
			"a filter needs libpcap: install it (Debian's package libpcap0.8), or leave the filter out");
	lib->open_dead = dlsym(lib->handle, "pcap_open_dead");
	lib->compile = dlsym(lib->handle, "pcap_compile");
	lib->geterr = dlsym(lib->handle, "pcap_geterr");
	lib->freecode = dlsym(lib->handle, "pcap_freecode");
	lib->close = dlsym(lib->handle, "pcap_close");
	if (lib->open_dead && lib->compile && lib->geterr && lib->freecode && lib->close)
		return 0;
	err_set(err, -ENOENT, "%s lacks what a filter needs: leave the filter out", LIBPCAP);
	return -ENOENT;
}

void packet_filter_free(char **lines)
{
	for (size_t i = 0; lines && lines[i]; i++)
		free(lines[i]);
	free(lines);
}

static int print(const struct bpf_program *program, struct err *err, char ***ret)
{
	char **lines = calloc((size_t)program->bf_len + 1, sizeof(*lines));

	for (unsigned int i = 0; lines && i < program->bf_len; i++) {
		const struct bpf_insn *insn = &program->bf_insns[i];

		if (asprintf(&lines[i], "%u %u %u %u", insn->code, insn->jt, insn->jf, insn->k) < 0) {
			lines[i] = NULL;
			packet_filter_free(lines);
			lines = NULL;
		}
	}
	if (!lines)
		return err_set(err, -ENOMEM, "out of memory");
	*ret = lines;
	return 0;
}

static int compile(const struct libpcap *lib, const char *text, struct err *err, char ***ret)
{
	// NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): load() has found it
	pcap_t *pcap = lib->open_dead(DLT_EN10MB, SNAP_LEN);
	struct bpf_program program = {0};
	int r;

	if (!pcap)
		return err_set(err, -ENOMEM, "out of memory");
	if (lib->compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		r = err_set(err, -EINVAL, "filter '%.200s': %s: see pcap-filter(7)", text, lib->geterr(pcap));
	} else {
		r = program.bf_len > PACKET_FILTER_MAX
			    ? err_set(err, -E2BIG, "filter: it has %u instructions: at most %u", program.bf_len,
				      PACKET_FILTER_MAX)
			    : print(&program, err, ret);
		lib->freecode(&program);
	}
	lib->close(pcap);
	return r;
}

int packet_filter_compile(const char *text, struct err *err, char ***ret)
{
	struct libpcap lib = {0};
	int r = load(&lib, err);

	if (r == 0)
		r = compile(&lib, text, err, ret);
	if (lib.handle)
		dlclose(lib.handle);
	return r;
}
