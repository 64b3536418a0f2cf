/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET CONFIGURATION: what a drive can do, and can do with the medium that is in it. Spec: MMC-6 5.3 (features), 6.6.
 *
 * Limits: a drive that reads. Its media are data CDs of one session, or DVDs of one layer, as their size says.
 */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

#define CONFIGURATION_MAX 256u

/* Which of the media concern a feature. */
#define ANY_TIME 0x01u
#define WITH_CD	 0x02u
#define WITH_DVD 0x04u

struct feature {
	uint16_t code;
	uint8_t version;
	uint8_t when; /* it is current */
	uint8_t len;  /* of @data; without build() it is all */
	uint8_t data[8];
	size_t (*build)(const struct scsi_lun *lun, uint8_t *at); /* Return: length, a multiple of 4 */
};

static uint8_t situation(const struct scsi_lun *lun)
{
	if (!scsi_medium(lun))
		return ANY_TIME;
	return ANY_TIME | (scsi_medium_is_cd(lun) ? WITH_CD : WITH_DVD);
}

static uint16_t profile(const struct scsi_lun *lun)
{
	if (!scsi_medium(lun))
		return 0;
	return scsi_medium_is_cd(lun) ? MMC_PROFILE_CD_ROM : MMC_PROFILE_DVD_ROM;
}

static size_t build_profiles(const struct scsi_lun *lun, uint8_t *at)
{
	static const uint16_t profiles[] = {MMC_PROFILE_DVD_ROM, MMC_PROFILE_CD_ROM};

	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		put_be16(&at[4 * i], profiles[i]);
		at[4 * i + 2] = profiles[i] == profile(lun) ? MMC_FEATURE_CURRENT : 0;
	}
	return 4 * ARRAY_SIZE(profiles);
}

static size_t build_random_read(const struct scsi_lun *lun, uint8_t *at)
{
	put_be32(at, MMC_BLOCK_BYTES);
	put_be16(&at[4], scsi_medium(lun) && !scsi_medium_is_cd(lun) ? 16 : 1); /* blocks of an ECC block */
	at[6] = MMC_RANDOM_READ_PP;
	return 8;
}

static size_t build_serial(const struct scsi_lun *lun, uint8_t *at)
{
	size_t len = strlen(lun->serial);

	memset(at, ' ', (len + 3) & ~(size_t)3);
	memcpy(at, lun->serial, len);
	return (len + 3) & ~(size_t)3;
}

#define REMOVABLE                                                                                                      \
	(MMC_REMOVABLE_TRAY | MMC_REMOVABLE_LOAD | MMC_REMOVABLE_EJECT | MMC_REMOVABLE_NO_JUMPER | MMC_REMOVABLE_LOCK)

/* In ascending order. */
static const struct feature features[] = {
	{MMC_FEATURE_PROFILES, 0, ANY_TIME, 0, {0}, build_profiles},
	{MMC_FEATURE_CORE, 0, ANY_TIME, 4, {0, 0, 0, MMC_CORE_SCSI}, NULL},
	{MMC_FEATURE_MORPHING, 1, ANY_TIME, 4, {0}, NULL},
	{MMC_FEATURE_REMOVABLE, 1, ANY_TIME, 4, {REMOVABLE}, NULL},
	{MMC_FEATURE_RANDOM_READ, 0, WITH_CD | WITH_DVD, 0, {0}, build_random_read},
	{MMC_FEATURE_CD_READ, 2, WITH_CD, 4, {0}, NULL},
	{MMC_FEATURE_DVD_READ, 0, WITH_DVD, 0, {0}, NULL},
	{MMC_FEATURE_SERIAL, 0, ANY_TIME, 0, {0}, build_serial},
};

static size_t put_feature(const struct feature *feature, const struct scsi_lun *lun, uint8_t *at)
{
	size_t len = feature->len;

	put_be16(at, feature->code);
	at[2] = (uint8_t)(feature->version << MMC_FEATURE_VERSION) |
		(feature->when == ANY_TIME ? MMC_FEATURE_PERSISTENT : 0) |
		(feature->when & situation(lun) ? MMC_FEATURE_CURRENT : 0);
	memcpy(&at[4], feature->data, len);
	if (feature->build)
		len = feature->build(lun, &at[4]);
	at[3] = (uint8_t)len;
	return 4 + len;
}

void scsi_get_configuration(struct scsi_controller *controller, struct scsi_request *request)
{
	uint8_t data[CONFIGURATION_MAX] = {0}, which = request->cdb[1] & MMC_CONFIG_RT;
	uint16_t first = get_be16(&request->cdb[2]);
	const struct scsi_lun *lun = request->unit;
	size_t len = MMC_CONFIG_HEADER_LEN;

	(void)controller;
	if (which > MMC_CONFIG_RT_ONE) {
		scsi_invalid_field(request, 1, 1);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (features[i].code < first || (which == MMC_CONFIG_RT_ONE && features[i].code != first) ||
		    (which == MMC_CONFIG_RT_CURRENT && !(features[i].when & situation(lun))))
			continue;
		len += put_feature(&features[i], lun, data + len);
	}
	put_be32(data, (uint32_t)(len - 4));
	put_be16(&data[6], profile(lun));
	scsi_data_in(request, data, len, get_be16(&request->cdb[7]));
}
