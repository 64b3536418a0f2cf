/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCSI as a CD or DVD drive speaks it, beyond abi/scsi.h: operation codes, CDB bits, layouts. Multi-byte fields are
 * big-endian. Spec: T10 MMC-6; READ TOC's older place of the format: SFF-8020.
 */
#ifndef ABI_MMC_H
#define ABI_MMC_H

/* ---- operation codes; the CDB's length follows ---- */
#define MMC_READ_TOC	       0x43u /* 10 */
#define MMC_GET_CONFIGURATION  0x46u /* 10 */
#define MMC_GET_EVENT_STATUS   0x4au /* 10 */
#define MMC_READ_DISC_INFO     0x51u /* 10 */
#define MMC_READ_TRACK_INFO    0x52u /* 10 */
#define MMC_READ_DVD_STRUCTURE 0xadu /* 12 */
#define MMC_READ_CD_MSF	       0xb9u /* 12 */
#define MMC_SET_CD_SPEED       0xbbu /* 12 */
#define MMC_MECHANISM_STATUS   0xbdu /* 12 */
#define MMC_READ_CD	       0xbeu /* 12 */

#define MMC_BLOCK_BYTES	  2048u
#define MMC_CD_BLOCKS_MAX (80u * 60u * 75u) /* of 80 minutes: what is longer is on a DVD */
#define MMC_FRAMES	  75u		    /* of a second */
#define MMC_LEAD_IN	  150u		    /* frames before block 0 */

/* ---- a sector of mode 1 on a CD: sync, header, data, EDC, ECC ---- */
#define MMC_SECTOR_BYTES   2352u
#define MMC_SECTOR_HEADER  12u
#define MMC_SECTOR_DATA	   16u
#define MMC_SECTOR_EDC	   2064u
#define MMC_SECTOR_P	   2076u
#define MMC_SECTOR_Q	   2248u
#define MMC_EDC_POLYNOMIAL 0xd8018001u /* the lowest bit is the highest power */
#define MMC_ECC_POLYNOMIAL 0x1du       /* without x^8 */
#define MMC_ECC_INVERSE	   0xf4u       /* of alpha + 1 */

/* ---- READ CD, READ CD MSF ---- */
#define MMC_READ_TYPE	0x1cu /* byte 1: the sectors' expected mode */
#define MMC_READ_DAP	0x02u
#define MMC_READ_ANY	0x00u
#define MMC_READ_MODE_1 0x08u
#define MMC_READ_SYNC	0x80u /* byte 9: which fields */
#define MMC_READ_SUB	0x40u /* the sub-header, which mode 1 does not have */
#define MMC_READ_HEADER 0x20u
#define MMC_READ_DATA	0x10u
#define MMC_READ_EDC	0x08u
#define MMC_READ_FIELDS 0xf8u

/* ---- SET CD SPEED ---- */
#define MMC_SPEED_ROTATION 0x03u /* byte 1 */
#define MMC_SPEED_CAV	   1u

/* ---- READ TOC ---- */
#define MMC_TOC_MSF	       0x02u /* byte 1: addresses as minute, second, frame */
#define MMC_TOC_FORMAT	       0x0fu /* byte 2 */
#define MMC_TOC_FORMAT_OLD     6u    /* shift of the last byte's upper bits, where byte 2 says 0 */
#define MMC_TOC_FORMAT_TRACKS  0u
#define MMC_TOC_FORMAT_SESSION 1u
#define MMC_TOC_FORMAT_FULL    2u
#define MMC_TOC_DATA	       0x14u /* ADR 1, a data track that was recorded uninterrupted */
#define MMC_TOC_LEAD_OUT       0xaau
#define MMC_TOC_POINT_FIRST    0xa0u /* of the full format */
#define MMC_TOC_POINT_LAST     0xa1u
#define MMC_TOC_POINT_LEAD_OUT 0xa2u

/* ---- GET CONFIGURATION ---- */
#define MMC_CONFIG_RT		0x03u /* byte 1 */
#define MMC_CONFIG_RT_ALL	0u
#define MMC_CONFIG_RT_CURRENT	1u
#define MMC_CONFIG_RT_ONE	2u
#define MMC_CONFIG_HEADER_LEN	8u
#define MMC_PROFILE_CD_ROM	0x0008u
#define MMC_PROFILE_DVD_ROM	0x0010u
#define MMC_FEATURE_PROFILES	0x0000u
#define MMC_FEATURE_CORE	0x0001u
#define MMC_FEATURE_MORPHING	0x0002u
#define MMC_FEATURE_REMOVABLE	0x0003u
#define MMC_FEATURE_RANDOM_READ 0x0010u
#define MMC_FEATURE_CD_READ	0x001eu
#define MMC_FEATURE_DVD_READ	0x001fu
#define MMC_FEATURE_SERIAL	0x0108u
#define MMC_FEATURE_CURRENT	0x01u /* byte 2 of a feature */
#define MMC_FEATURE_PERSISTENT	0x02u
#define MMC_FEATURE_VERSION	2u /* shift */
#define MMC_CORE_SCSI		1u /* physical interface: SCSI family */
#define MMC_REMOVABLE_TRAY	0x20u
#define MMC_REMOVABLE_LOAD	0x10u
#define MMC_REMOVABLE_EJECT	0x08u
#define MMC_REMOVABLE_NO_JUMPER 0x04u
#define MMC_REMOVABLE_LOCK	0x01u
#define MMC_RANDOM_READ_PP	0x01u /* mode page 01h is there */

/* ---- GET EVENT STATUS NOTIFICATION ---- */
#define MMC_EVENT_POLLED	 0x01u /* byte 1 */
#define MMC_EVENT_HEADER_LEN	 4u
#define MMC_EVENT_LEN		 4u
#define MMC_EVENT_NONE		 0x80u /* byte 2 of the header: no such class */
#define MMC_EVENT_MEDIA		 4u    /* class */
#define MMC_MEDIA_NO_CHANGE	 0u
#define MMC_MEDIA_EJECT_REQUEST	 1u
#define MMC_MEDIA_NEW		 2u
#define MMC_MEDIA_REMOVAL	 3u
#define MMC_MEDIA_STATUS_OPEN	 0x01u /* byte 1 of the event */
#define MMC_MEDIA_STATUS_PRESENT 0x02u

/* ---- READ DISC INFORMATION, READ TRACK INFORMATION ---- */
#define MMC_DISC_INFO_TYPE    0x07u /* byte 1; 0: the standard one */
#define MMC_DISC_INFO_LEN     34u
#define MMC_DISC_COMPLETE     0x0eu /* disc and last session */
#define MMC_DISC_UNRESTRICTED 0x20u
#define MMC_TRACK_ADDRESS     0x03u /* byte 1 */
#define MMC_TRACK_BY_LBA      0u
#define MMC_TRACK_BY_NUMBER   1u
#define MMC_TRACK_BY_SESSION  2u
#define MMC_TRACK_INFO_LEN    36u
#define MMC_TRACK_MODE_DATA   0x04u
#define MMC_TRACK_DATA_MODE_1 0x01u

/* ---- READ DVD STRUCTURE ---- */
#define MMC_DVD_MEDIA_TYPE	0x0fu /* byte 1; 0: DVD */
#define MMC_DVD_PHYSICAL	0x00u /* formats */
#define MMC_DVD_COPYRIGHT	0x01u
#define MMC_DVD_MANUFACTURER	0x04u
#define MMC_DVD_LIST		0xffu
#define MMC_DVD_HEADER_LEN	4u
#define MMC_DVD_RATE_NOT_SAID	0x0fu
#define MMC_DVD_LAYER_EMBOSSED	0x01u
#define MMC_DVD_FIRST_SECTOR	0x30000u
#define MMC_DVD_LAST_SECTOR_MAX 0xffffffu
#define MMC_DVD_READABLE	0x40u /* in the list */

/* ---- MECHANISM STATUS ---- */
#define MMC_MECHANISM_LEN  8u
#define MMC_MECHANISM_OPEN 0x10u /* byte 1 */

/* ---- mode pages ---- */
#define MMC_MODE_PAGE_ERROR_RECOVERY	 0x01u
#define MMC_MODE_PAGE_ERROR_RECOVERY_LEN 12u
#define MMC_MODE_PAGE_CAPABILITIES	 0x2au
#define MMC_MODE_PAGE_CAPABILITIES_LEN	 22u
#define MMC_CAPABILITIES_DVD_ROM	 0x08u /* byte 2: what it reads */
#define MMC_CAPABILITIES_LOCK		 0x01u /* byte 6 */
#define MMC_CAPABILITIES_LOCKED		 0x02u
#define MMC_CAPABILITIES_EJECT		 0x08u
#define MMC_CAPABILITIES_TRAY		 0x20u
#define MMC_CAPABILITIES_SPEED		 8467u /* kB/s, 48 times: of no meaning, but programs print it */
#define MMC_CAPABILITIES_BUFFER		 64u   /* KiB */

#endif
