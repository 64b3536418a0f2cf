/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a VM that is off, and what is refused of one that runs: what is kept, and what is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"
#include "scratch.h"
#include "vm_int.h"

static char dir[128], image[160];
static struct loop *loop;
static const struct launcher_ops launcher_ops; /* nothing is started */
static struct launcher launcher = {.ops = &launcher_ops};
static struct vm_env env;
static struct vm *vm;
static int outcome, keep_result;
static char outcome_text[512], outcome_target[16], kept[16384];
static unsigned int outcomes;

static int keep(struct vm *of, const char *xml, struct err *err, void *arg)
{
	cr_assert_eq(of, vm);
	if (keep_result < 0)
		return err_set(err, keep_result, "the host's disk is full");
	snprintf(kept, sizeof(kept), "%s", xml);
	return 0;
}

static void changed(struct vm *of, void *arg)
{
}

static const struct vm_events events = {.changed = changed, .ended = changed};

static void set_up_as(bool persistent)
{
	struct domain domain = {0};
	struct err err = {0};
	char xml[1024];

	scratch_new(dir, sizeof(dir));
	snprintf(image, sizeof(image), "%s/a.raw", dir);
	snprintf(xml, sizeof(xml),
		 "<domain type='kvm'><name>vm1</name><memory unit='MiB'>64</memory>"
		 "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices><disk type='file' device='disk'>"
		 "<source file='%s'/><target dev='sda' bus='scsi'/></disk></devices></domain>",
		 image);
	cr_assert_eq(domain_parse(xml, strlen(xml), &domain, NULL, &err), 0, "%s", err.text);
	cr_assert_eq(loop_new(&loop), 0);
	env = (struct vm_env){.loop = loop,
			      .launcher = &launcher,
			      .base = dir,
			      .logs = dir,
			      .kvm = "/dev/kvm",
			      .reservations = dir,
			      .events = &events,
			      .keep = keep};
	vm = vm_new(&env, &domain, persistent);
	cr_assert_not_null(vm);
}

static void set_up(void)
{
	set_up_as(true);
}

static void tear_down(void)
{
	vm_free(vm);
	loop_free(loop);
	scratch_remove(dir);
}

TestSuite(vm_disk, .init = set_up, .fini = tear_down, .timeout = 30);

static void on_done(int error, const char *text, const char *target, void *arg)
{
	outcomes++;
	outcome = error;
	snprintf(outcome_text, sizeof(outcome_text), "%s", text);
	snprintf(outcome_target, sizeof(outcome_target), "%s", target);
}

/* Return: the outcome, which there is at once. */
static int attach(const char *path, const char *more, unsigned int flags)
{
	char xml[512];

	snprintf(xml, sizeof(xml), "<disk type='file' device='disk'><source file='%s'/>%s</disk>", path, more);
	outcomes = 0;
	vm_attach_disk(vm, xml, flags, on_done, NULL);
	cr_assert_eq(outcomes, 1);
	return outcome;
}

static int detach(const char *target, unsigned int flags, uint32_t timeout_s)
{
	outcomes = 0;
	vm_detach_disk(vm, target, flags, timeout_s, on_done, NULL);
	cr_assert_eq(outcomes, 1);
	return outcome;
}

static int resize(const char *target, uint64_t bytes, unsigned int flags)
{
	outcomes = 0;
	vm_resize_disk(vm, target, bytes, flags, on_done, NULL);
	cr_assert_eq(outcomes, 1);
	return outcome;
}

static size_t disks(void)
{
	return vm_domain(vm)->disk_count;
}

Test(vm_disk, the_definition_gets_a_disk_and_loses_it)
{
	cr_assert_eq(attach("/images/b.raw", "", 0), 0, "%s", outcome_text);
	cr_assert_str_eq(outcome_target, "sdb");
	cr_assert_eq(disks(), 2);
	cr_assert(strstr(kept, "/images/b.raw") && strstr(kept, "sdb"), "%s", kept);
	cr_assert_eq(detach("sdb", VM_CHANGE_CONFIG, 0), 0, "%s", outcome_text);
	cr_assert_eq(disks(), 1);
	cr_assert(!strstr(kept, "/images/b.raw") && strstr(kept, image), "%s", kept);
}

Test(vm_disk, what_contradicts)
{
	cr_assert_eq(attach("/images/b.raw", "<target dev='sda' bus='scsi'/>", 0), -EINVAL);
	cr_assert_lt(attach(image, "", 0), 0, "it is that of sda");
	cr_assert_lt(attach("/images/b.raw", "<driver name='qemu' type='qcow2'/>", 0), 0);
	cr_assert_eq(detach("sdq", 0, 0), -ENOENT);
	cr_assert(strstr(outcome_text, "sdq"), "%s", outcome_text);
	cr_assert_eq(disks(), 1);
	cr_assert_eq(kept[0], 0, "nothing was kept");
}

/* Nothing has changed then. */
Test(vm_disk, what_cannot_be_kept)
{
	keep_result = -ENOSPC;
	cr_assert_eq(attach("/images/b.raw", "", 0), -ENOSPC);
	cr_assert_str_eq(outcome_text, "the host's disk is full");
	cr_assert_eq(detach("sda", 0, 0), -ENOSPC);
	cr_assert_eq(disks(), 1);
}

Test(vm_disk, the_image_of_a_vm_that_is_off)
{
	struct stat st;

	cr_assert_lt(resize("sda", 65536, 0), 0, "there is none");
	fclose(fopen(image, "w"));
	cr_assert_eq(resize("sdb", 65536, 0), -ENOENT);
	cr_assert_eq(truncate(image, 65536), 0);
	cr_assert_eq(resize("sda", 131072, 0), 0, "%s", outcome_text);
	cr_assert_eq(stat(image, &st), 0);
	cr_assert_eq(st.st_size, 131072);
	cr_assert_lt(resize("sda", 65536, 0), 0, "it would lose data");
	cr_assert_eq(stat(image, &st), 0);
	cr_assert_eq(st.st_size, 131072);
	cr_assert_eq(resize("sda", 65536, VM_DISK_SHRINK), 0, "%s", outcome_text);
	cr_assert_eq(stat(image, &st), 0);
	cr_assert_eq(st.st_size, 65536);
}

/* It has a runtime folder, but no worker that answers: no change is begun. */
Test(vm_disk, of_one_that_has_ended)
{
	vm->has_folder = true;
	cr_assert_eq(attach("/images/b.raw", "", 0), -EBADFD);
	cr_assert_eq(detach("sda", 0, 20), -EBADFD);
	cr_assert_eq(detach("sda", 0, 0), -EINVAL, "no time at all");
	cr_assert_eq(detach("sda", 0, VM_CHANGE_TIMEOUT_MAX_S + 1), -EINVAL);
	cr_assert_null(vm->change);
	/* What is kept can change all the same; what runs stays. */
	cr_assert_eq(attach("/images/b.raw", "", VM_CHANGE_CONFIG), 0, "%s", outcome_text);
	cr_assert(strstr(kept, "/images/b.raw"));
	vm->has_folder = false;
}

static void set_up_transient(void)
{
	set_up_as(false);
}

Test(vm_disk_transient, nothing_of_it_is_kept, .init = set_up_transient, .fini = tear_down)
{
	cr_assert_eq(attach("/images/b.raw", "", VM_CHANGE_PERSISTENT), -EBADFD);
	cr_assert_eq(attach("/images/b.raw", "", VM_CHANGE_CONFIG), -EBADFD);
	cr_assert_eq(detach("sda", VM_CHANGE_CONFIG, 0), -EBADFD);
	cr_assert_eq(disks(), 1);
}
