/* SPDX-License-Identifier: Apache-2.0 */
#include "storaged.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "observe.h"

/* A place for a LUN: one that had this address before, so that no two ever have the same; else a new one; else any that
 * is free. Return: -1: none. */
static int find_place(const struct storaged_controller *controller, uint8_t target, uint8_t number)
{
	const struct scsi_controller *scsi = &controller->storvsp.scsi;
	int any = -1;

	for (size_t i = 0; i < scsi->luns; i++) {
		if (controller->fd[i] >= 0)
			continue;
		if (controller->lun[i].target == target && controller->lun[i].lun == number)
			return (int)i;
		any = (int)i;
	}
	return scsi->luns < SETTINGS_LUNS_MAX ? (int)scsi->luns : any;
}

/* ---- disks that others share ---- */

/* Writes that reservations do not allow any more: who waits for their end waits for us. */
static void on_fenced(void *arg)
{
	struct storaged_shared *shared = arg;

	storvsp_abort_fenced(&shared->controller->storvsp, shared->lun);
	engine_flush(shared->controller->storvsp.engine);
}

/* The LUN whose reservations are in the file that @fd is of; NULL: there is none. */
static const struct scsi_lun *find_shared(const struct storaged *storaged, int fd)
{
	for (size_t c = 0; storaged && c < storaged->controllers; c++) {
		const struct scsi_controller *scsi = &storaged->controller[c].storvsp.scsi;

		for (size_t i = 0; i < scsi->luns; i++) {
			const struct reservation *other = scsi->lun[i].reservation;

			if (other && reservation_is_of(other, fd))
				return &scsi->lun[i];
		}
	}
	return NULL;
}

/* A process has one lock on a file. */
static int check_not_ours(const struct storaged *storaged, const struct lun_settings *settings, int fd, struct err *err)
{
	const struct scsi_lun *other = find_shared(storaged, fd);

	return other ? err_set(err, -EINVAL, "disk %s: %s is disk %s of this VM already: leave one out",
			       settings->alias, settings->image, other->alias)
		     : 0;
}

void storaged_close_fds(struct storaged *storaged, struct storaged_fds *fds)
{
	const struct scsi_lun *of = fds->reservations >= 0 ? find_shared(storaged, fds->reservations) : NULL;

	if (of)
		reservation_close_fd(of->reservation, fds->reservations);
	else
		fd_close(&fds->reservations);
	fd_close(&fds->image);
	*fds = (struct storaged_fds){-1, -1};
}

/* Of a LUN that is made. @fd is taken over on success. */
static int open_shared(struct storaged *storaged, struct storaged_controller *controller, size_t place,
		       const struct lun_settings *settings, int fd, unsigned int file, struct err *err)
{
	struct reservation_config config = {.alias = settings->alias, .image = settings->image, .fd = fd, .file = file};
	struct scsi_lun *lun = &controller->lun[place];
	struct storaged_shared *shared = calloc(1, sizeof(*shared));
	struct reservation *reservation = NULL;
	int r = shared ? check_not_ours(storaged, settings, fd, err)
		       : err_set(err, -ENOMEM, "disk %s: out of memory", settings->alias);

	memcpy(config.vm, settings->vm, sizeof(config.vm));
	memcpy(config.controller, controller->instance.b, sizeof(config.controller));
	memcpy(config.power, settings->power, sizeof(config.power));
	if (r == 0)
		r = reservation_open(storaged->loop, storaged->engine, &config, &reservation, err);
	if (r < 0) {
		free(shared);
		return r;
	}
	*shared = (struct storaged_shared){.controller = controller, .lun = lun, .fd = fd, .file = file};
	controller->shared[place] = shared;
	scsi_lun_share(lun, reservation, settings->serial);
	reservation_set_fenced(reservation, on_fenced, shared);
	return 0;
}

static void close_shared(struct storaged_controller *controller, size_t place)
{
	struct storaged_shared *shared = controller->shared[place];

	if (!shared)
		return;
	reservation_close(controller->lun[place].reservation);
	controller->lun[place].reservation = NULL;
	fd_close(&shared->fd);
	free(shared);
	controller->shared[place] = NULL;
}

/* ---- disks ---- */

static void log_layers(const struct scsi_lun *lun, const struct lun_settings *settings)
{
	const struct fault_settings *fault = &settings->fault;

	log_info(lun->object, "%s%s%s%s", throttle_limits(&settings->throttle) ? "limits" : "no limits",
		 settings->throttle_group[0] ? " of group " : "", settings->throttle_group,
		 settings->discard ? "" : "; what is given back is kept");
	if (fault_any(fault))
		log_warn(lun->object, "faults, for tests: %zu rules%s%s%s, seed %" PRIu64, fault->rules,
			 fault->has_cache ? ", a cache that a power cut loses" : "",
			 fault->flush_ignored ? ", flushes ignored" : "", fault->power_off ? ", power off" : "",
			 fault->seed);
}

/* A back end and the layers over it. @fd stays the caller's. */
static int open_stack(struct storaged *storaged, const struct lun_settings *settings, int fd, unsigned int file,
		      struct disk **ret_disk, struct err *err)
{
	struct disk_config config = {
		.alias = settings->alias,
		.image = settings->image,
		.fd = fd,
		.file = file,
		.readonly = settings->readonly,
		.pad_tail = settings->dvd,
		.unsafe_flush = settings->unsafe_flush,
		.discard = settings->discard,
		.zeroes = settings->zeroes,
		.again = storaged->again,
		.block_bytes = settings->block_bytes,
		.physical_block_bytes = settings->physical_block_bytes,
	};
	struct disk *disk = NULL;
	int r = disk_open(settings->empty ? &disk_empty : &disk_raw, &config, storaged->engine, &disk, err);

	if (r < 0)
		return r;
	r = layers_set(&storaged->layers, settings, &disk);
	if (r < 0) {
		disk_close(disk);
		return err_set(err, r, "disk %s: out of memory", settings->alias);
	}
	*ret_disk = disk;
	return 0;
}

static void log_disk(const struct storaged_controller *controller, const struct scsi_lun *lun,
		     const struct lun_settings *settings)
{
	const struct disk *disk = lun->disk;

	if (settings->empty)
		log_info(lun->object, "%s:%u:%u: a drive without a medium", controller->name, settings->target,
			 settings->lun);
	else
		log_info(lun->object, "%s:%u:%u: %s, %" PRIu64 " blocks of %u bytes%s%s%s%s", controller->name,
			 settings->target, settings->lun, settings->image, disk->blocks, disk->block_bytes,
			 disk->readonly ? ", read-only" : "", disk->write_through ? ", write-through" : "",
			 settings->unsafe_flush ? ", flushes are not done" : "", lun->reservation ? ", shared" : "");
}

static void on_error_changed(void *arg)
{
	storvsp_units_changed(arg);
}

/* The engine's numbers of a disk's descriptors. */
struct files {
	unsigned int image, reservations;
};

/* @fds, which the engine knows as @files, are taken over on success. */
static int open_disk(struct storaged *storaged, struct storaged_controller *controller,
		     const struct lun_settings *settings, struct storaged_fds fds, struct files files, struct err *err)
{
	int r, place = find_place(controller, settings->target, settings->lun);
	struct scsi_lun *lun;
	struct disk *disk = NULL;

	if (place < 0)
		return err_set(err, -ENOSPC, "disk %s: its controller has %u disks already", settings->alias,
			       SETTINGS_LUNS_MAX);
	r = open_stack(storaged, settings, fds.image, files.image, &disk, err);
	if (r < 0)
		return r;
	lun = &controller->lun[place];
	r = scsi_lun_init(lun, &controller->instance, settings->target, settings->lun, settings->alias,
			  settings->serial, disk);
	if (r < 0)
		err_set(err, r, "disk %s: out of memory", settings->alias);
	else if (settings->reservations)
		r = open_shared(storaged, controller, (size_t)place, settings, fds.reservations, files.reservations,
				err);
	if (r < 0) {
		scsi_lun_done(lun);
		lun->presence = SCSI_GONE;
		disk_close(disk);
		return r;
	}
	if (settings->dvd)
		scsi_lun_make_drive(lun, settings->medium);
	snprintf(lun->image, sizeof(lun->image), "%s", settings->image);
	lun->error_changed = on_error_changed;
	lun->error_arg = &controller->storvsp;
	if (disk->lost)
		scsi_lun_lost(lun);
	storvsp_lun_comes(&controller->storvsp, lun);
	storvsp_units_changed(&controller->storvsp);
	controller->fd[place] = fds.image;
	controller->file[place] = files.image;
	if ((size_t)place == controller->storvsp.scsi.luns)
		controller->storvsp.scsi.luns++;
	storaged->disks++;
	log_disk(controller, lun, settings);
	if (disk->below)
		log_layers(lun, settings);
	return 0;
}

static int open_controller(struct storaged *storaged, const struct controller_settings *settings, int *fds,
			   struct err *err)
{
	struct storaged_controller *controller = &storaged->controller[storaged->controllers];
	int r = 0;

	snprintf(controller->name, sizeof(controller->name), "scsi%zu", storaged->controllers);
	controller->instance = settings->instance;
	controller->storvsp.engine = storaged->engine;
	controller->storvsp.scsi.lun = controller->lun;
	storaged->controllers++;
	for (size_t i = 0; r == 0 && i < settings->luns; i++) {
		const struct lun_settings *lun = &settings->lun[i];
		struct files files = {lun->fd_index, lun->reservations};

		r = open_disk(storaged, controller, lun,
			      (struct storaged_fds){fds[files.image], lun->reservations ? fds[files.reservations] : -1},
			      files, err);
		if (r < 0)
			continue;
		fds[files.image] = -1;
		if (lun->reservations)
			fds[files.reservations] = -1;
	}
	return r;
}

int storaged_open(struct loop *loop, const struct settings *settings, const char *engine, int *fds, size_t count,
		  struct storaged **ret_storaged, struct err *err)
{
	struct storaged *storaged = calloc(1, sizeof(*storaged));
	int r;

	if (storaged)
		storaged->loop = loop;
	if (storaged)
		r = engine_open(engine, loop, fds, count, &storaged->engine, err);
	else
		r = err_set(err, -ENOMEM, "storage: out of memory");
	if (r == 0)
		storaged->layers = (struct layers){.loop = loop, .engine = storaged->engine};
	if (r == 0 && throttle_groups_new(loop, storaged->engine, &storaged->layers.groups) < 0)
		r = err_set(err, -ENOMEM, "storage: out of memory");
	if (r == 0)
		storaged->again = settings->again;
	for (size_t i = 0; r == 0 && i < settings->controllers; i++)
		r = open_controller(storaged, &settings->controller[i], fds, err);
	if (storaged)
		storaged->again = false;
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]); /* of no disk */
	if (r < 0) {
		storaged_free(storaged);
		return r;
	}
	*ret_storaged = storaged;
	return 0;
}

static void close_disk(struct storaged_controller *controller, size_t place)
{
	close_shared(controller, place);
	disk_close(controller->lun[place].disk);
	scsi_lun_done(&controller->lun[place]);
	controller->lun[place].disk = NULL;
	controller->lun[place].presence = SCSI_GONE;
	fd_close(&controller->fd[place]);
}

void storaged_free(struct storaged *storaged)
{
	if (!storaged)
		return;
	engine_close(storaged->engine);
	for (size_t c = 0; c < storaged->controllers; c++)
		for (size_t i = 0; i < storaged->controller[c].storvsp.scsi.luns; i++)
			if (storaged->controller[c].fd[i] >= 0)
				close_disk(&storaged->controller[c], i);
	throttle_groups_free(storaged->layers.groups);
	free(storaged);
}

void storaged_observe(struct storaged *storaged, struct stats *stats)
{
	storaged->stats = stats;
	for (size_t c = 0; c < storaged->controllers; c++) {
		struct storaged_controller *controller = &storaged->controller[c];

		for (size_t i = 0; i < controller->storvsp.scsi.luns; i++)
			observe_lun(stats, &controller->instance, &controller->lun[i], false);
	}
	stats_sweep(stats);
}

/* ---- changes ---- */

struct storaged_controller *storaged_find(struct storaged *storaged, const struct abi_guid *instance)
{
	for (size_t c = 0; c < storaged->controllers; c++)
		if (!memcmp(&storaged->controller[c].instance, instance, sizeof(*instance)))
			return &storaged->controller[c];
	return NULL;
}

struct scsi_lun *storaged_find_lun(struct storaged_controller *controller, uint8_t target, uint8_t number)
{
	for (size_t i = 0; i < controller->storvsp.scsi.luns; i++) {
		struct scsi_lun *lun = &controller->lun[i];

		if (lun->target == target && lun->lun == number && lun->presence != SCSI_GONE)
			return lun;
	}
	return NULL;
}

static int add_file(struct storaged *storaged, const struct lun_settings *settings, int fd, struct err *err)
{
	int file = engine_add_file(storaged->engine, fd);

	return file < 0
		       ? err_set(err, file, "disk %s: no more images can be used: %s", settings->alias, strerror(-file))
		       : file;
}

/* The engine learns of both descriptors, or of none. */
static int add_files(struct storaged *storaged, const struct lun_settings *settings, struct storaged_fds fds,
		     struct files *ret, struct err *err)
{
	int image = add_file(storaged, settings, fds.image, err), reservations = 0;

	if (image >= 0 && fds.reservations >= 0)
		reservations = add_file(storaged, settings, fds.reservations, err);
	if (image >= 0 && reservations < 0)
		(void)engine_remove_file(storaged->engine, (unsigned int)image);
	if (image < 0 || reservations < 0)
		return image < 0 ? image : reservations;
	*ret = (struct files){(unsigned int)image, (unsigned int)reservations};
	return 0;
}

static int attach(struct storaged *storaged, struct storaged_controller *controller,
		  const struct lun_settings *settings, struct storaged_fds fds, struct err *err)
{
	const struct scsi_lun *other = storaged_find_lun(controller, settings->target, settings->lun);
	struct files files;
	int r;

	if (other)
		return err_set(err, -EEXIST, "disk %s: target %u, LUN %u is disk %s already", settings->alias,
			       settings->target, settings->lun, other->alias);
	r = add_files(storaged, settings, fds, &files, err);
	if (r < 0)
		return r;
	r = open_disk(storaged, controller, settings, fds, files, err);
	if (r < 0) {
		(void)engine_remove_file(storaged->engine, files.image);
		if (fds.reservations >= 0)
			(void)engine_remove_file(storaged->engine, files.reservations);
	}
	return r;
}

int storaged_attach(struct storaged *storaged, struct storaged_controller *controller,
		    const struct lun_settings *settings, struct storaged_fds fds, struct err *err)
{
	int r = attach(storaged, controller, settings, fds, err);

	if (r < 0)
		storaged_close_fds(storaged, &fds);
	else if (storaged->stats)
		observe_lun(storaged->stats, &controller->instance,
			    storaged_find_lun(controller, settings->target, settings->lun), true);
	return r;
}

int storaged_set(struct storaged *storaged, struct scsi_lun *lun, const struct lun_settings *settings, struct err *err)
{
	int r = layers_set(&storaged->layers, settings, &lun->disk);

	if (r < 0)
		return err_set(err, r, "disk %s: %s", lun->alias, strerror(-r));
	log_layers(lun, settings);
	return 0;
}

void storaged_detach(struct storaged *storaged, struct storaged_controller *controller, struct scsi_lun *lun)
{
	size_t place = (size_t)(lun - controller->lun);
	int r = engine_remove_file(storaged->engine, controller->file[place]);

	if (r == 0 && controller->shared[place])
		r = engine_remove_file(storaged->engine, controller->shared[place]->file);
	if (r < 0)
		log_error(lun->object, "the host keeps its image until this process ends: %s", strerror(-r));
	storvsp_lun_goes(&controller->storvsp, lun);
	log_info(lun->object, "detached");
	if (storaged->stats)
		stats_unit_end(storaged->stats, lun->stats);
	lun->stats = NULL;
	close_disk(controller, place);
	storvsp_units_changed(&controller->storvsp);
	storaged->disks--;
}

/* ---- media ---- */

int storaged_open_medium(struct storaged *storaged, const struct lun_settings *settings, int fd,
			 struct storaged_medium *ret, struct err *err)
{
	struct storaged_medium medium = {.fd = fd, .number = settings->medium};
	int r = add_file(storaged, settings, fd, err);

	if (r >= 0) {
		medium.file = (unsigned int)r;
		r = open_stack(storaged, settings, fd, medium.file, &medium.disk, err);
		if (r < 0)
			(void)engine_remove_file(storaged->engine, medium.file);
	}
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	snprintf(medium.image, sizeof(medium.image), "%s", settings->image);
	*ret = medium;
	return 0;
}

void storaged_close_medium(struct storaged *storaged, struct storaged_medium *medium)
{
	int r = engine_remove_file(storaged->engine, medium->file);

	if (r < 0)
		log_error(NULL, "the host keeps the image of a medium until this process ends: %s", strerror(-r));
	disk_close(medium->disk);
	fd_close(&medium->fd);
	medium->disk = NULL;
}

void storaged_set_medium(struct storaged *storaged, struct storaged_controller *controller, struct scsi_lun *lun,
			 struct storaged_medium *medium)
{
	size_t place = (size_t)(lun - controller->lun);
	struct storaged_medium before = {.fd = controller->fd[place], .file = controller->file[place]};

	before.disk = scsi_lun_set_medium(lun, medium->disk, medium->number);
	storvsp_units_changed(&controller->storvsp);
	snprintf(lun->image, sizeof(lun->image), "%s", medium->image);
	controller->fd[place] = medium->fd;
	controller->file[place] = medium->file;
	*medium = (struct storaged_medium){.fd = -1};
	storaged_close_medium(storaged, &before);
}
