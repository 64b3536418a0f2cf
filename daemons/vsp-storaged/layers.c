/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include "base/bytes.h"

/* A kind of layer. */
struct kind {
	const struct disk_ops *ops;
	bool (*wanted)(const struct lun_settings *settings);
	int (*open)(const struct layers *layers, const struct lun_settings *settings, struct disk *below,
		    struct disk **ret_disk);
	int (*set)(struct disk *disk, const struct lun_settings *settings);
};

static bool throttle_wanted(const struct lun_settings *settings)
{
	return throttle_limits(&settings->throttle);
}

static int throttle_open(const struct layers *layers, const struct lun_settings *settings, struct disk *below,
			 struct disk **ret_disk)
{
	return layer_throttle_open(layers->groups, settings->throttle_group, &settings->throttle, below, ret_disk);
}

static int throttle_change(struct disk *disk, const struct lun_settings *settings)
{
	return layer_throttle_set(disk, settings->throttle_group, &settings->throttle);
}

static bool fault_wanted(const struct lun_settings *settings)
{
	return fault_any(&settings->fault);
}

static int fault_open(const struct layers *layers, const struct lun_settings *settings, struct disk *below,
		      struct disk **ret_disk)
{
	return layer_fault_open(layers->loop, layers->engine, &settings->fault, below, ret_disk);
}

static int fault_change(struct disk *disk, const struct lun_settings *settings)
{
	layer_fault_set(disk, &settings->fault);
	return 0;
}

/* From the outermost to the innermost. */
static const struct kind kinds[] = {
	{&layer_throttle, throttle_wanted, throttle_open, throttle_change},
	{&layer_fault, fault_wanted, fault_open, fault_change},
};

static int set_kind(const struct layers *layers, const struct kind *kind, const struct lun_settings *settings,
		    struct disk **at)
{
	struct disk *disk = *at;
	bool there = disk->ops == kind->ops;

	if (!kind->wanted(settings)) {
		if (there) {
			*at = disk->below;
			disk->ops->leave(disk);
		}
		return 0;
	}
	return there ? kind->set(disk, settings) : kind->open(layers, settings, disk, at);
}

int layers_set(const struct layers *layers, const struct lun_settings *settings, struct disk **top)
{
	struct disk **at = top;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		r = set_kind(layers, &kinds[i], settings, at);
		if ((*at)->ops == kinds[i].ops)
			at = &(*at)->below;
	}
	if (r == 0)
		disk_set_provisioning(*top, settings->discard, settings->zeroes);
	engine_flush(layers->engine);
	return r;
}

struct disk *layers_find(struct disk *top, const struct disk_ops *ops)
{
	while (top && top->ops != ops)
		top = top->below;
	return top;
}
