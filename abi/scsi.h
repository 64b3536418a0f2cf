/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCSI as a disk speaks it: operation codes, CDB layouts, statuses, sense data, VPD and mode pages. Multi-byte fields
 * are big-endian and unaligned: they are given as offsets, not as structs. Spec: T10 SAM-5 (statuses), SPC-4 (INQUIRY,
 * VPD, MODE SENSE, REPORT LUNS, sense data), SBC-3 (block commands).
 */
#ifndef ABI_SCSI_H
#define ABI_SCSI_H

/* ---- operation codes; the CDB's length follows ---- */
#define SCSI_TEST_UNIT_READY	  0x00u /* 6 */
#define SCSI_REQUEST_SENSE	  0x03u /* 6 */
#define SCSI_READ_6		  0x08u /* 6 */
#define SCSI_WRITE_6		  0x0au /* 6 */
#define SCSI_INQUIRY		  0x12u /* 6 */
#define SCSI_MODE_SELECT_6	  0x15u /* 6 */
#define SCSI_MODE_SENSE_6	  0x1au /* 6 */
#define SCSI_START_STOP_UNIT	  0x1bu /* 6 */
#define SCSI_PREVENT_ALLOW	  0x1eu /* 6 */
#define SCSI_READ_CAPACITY_10	  0x25u /* 10 */
#define SCSI_READ_10		  0x28u /* 10 */
#define SCSI_WRITE_10		  0x2au /* 10 */
#define SCSI_WRITE_AND_VERIFY_10  0x2eu /* 10 */
#define SCSI_VERIFY_10		  0x2fu /* 10 */
#define SCSI_SYNCHRONIZE_CACHE_10 0x35u /* 10 */
#define SCSI_WRITE_SAME_10	  0x41u /* 10 */
#define SCSI_UNMAP		  0x42u /* 10 */
#define SCSI_MODE_SELECT_10	  0x55u /* 10 */
#define SCSI_MODE_SENSE_10	  0x5au /* 10 */
#define SCSI_READ_16		  0x88u /* 16 */
#define SCSI_COMPARE_AND_WRITE	  0x89u /* 16 */
#define SCSI_WRITE_16		  0x8au /* 16 */
#define SCSI_WRITE_AND_VERIFY_16  0x8eu /* 16 */
#define SCSI_VERIFY_16		  0x8fu /* 16 */
#define SCSI_SYNCHRONIZE_CACHE_16 0x91u /* 16 */
#define SCSI_WRITE_SAME_16	  0x93u /* 16 */
#define SCSI_SERVICE_ACTION_IN_16 0x9eu /* 16 */
#define SCSI_REPORT_LUNS	  0xa0u /* 12 */
#define SCSI_MAINTENANCE_IN	  0xa3u /* 12 */
#define SCSI_READ_12		  0xa8u /* 12 */
#define SCSI_WRITE_12		  0xaau /* 12 */
#define SCSI_WRITE_AND_VERIFY_12  0xaeu /* 12 */
#define SCSI_VERIFY_12		  0xafu /* 12 */

#define SCSI_PERSISTENT_RESERVE_IN  0x5eu /* 10 */
#define SCSI_PERSISTENT_RESERVE_OUT 0x5fu /* 10 */

#define SCSI_SERVICE_ACTION_MASK       0x1fu /* of byte 1 */
#define SCSI_SAI_READ_CAPACITY_16      0x10u
#define SCSI_MI_REPORT_OPERATION_CODES 0x0cu

#define SCSI_CDB_LEN_MAX 16u

/* Last byte of every CDB */
#define SCSI_CONTROL_NACA 0x04u

/* Byte 1 of READ, WRITE and VERIFY (10, 12, 16) */
#define SCSI_RW_PROTECT_MASK	  0xe0u
#define SCSI_RW_DPO		  0x10u
#define SCSI_RW_FUA		  0x08u
#define SCSI_VERIFY_BYTCHK	  0x06u
#define SCSI_VERIFY_BYTCHK_1	  0x02u /* compare with the data that came along */
#define SCSI_VERIFY_BYTCHK_3	  0x06u /* compare each block with the one that came along */
/* Byte 1 of WRITE SAME */
#define SCSI_WRITE_SAME_ANCHOR	  0x10u
#define SCSI_WRITE_SAME_UNMAP	  0x08u
#define SCSI_WRITE_SAME_NDOB	  0x01u /* no data: write zeroes; of sixteen bytes only */
/* Byte 1 of UNMAP */
#define SCSI_UNMAP_ANCHOR	  0x01u
/* UNMAP's parameter list: header {u16 length of the rest, u16 length of the descriptors, reserved}, descriptors
 * {u64 LBA, u32 blocks, reserved} */
#define SCSI_UNMAP_HEADER_LEN	  8u
#define SCSI_UNMAP_DESCRIPTOR_LEN 16u

/* Byte 1 of INQUIRY and MODE SENSE; byte 2: page */
#define SCSI_INQUIRY_EVPD	   0x01u
#define SCSI_MODE_SENSE_DBD	   0x08u
#define SCSI_MODE_SENSE_LLBAA	   0x10u /* of ten bytes */
#define SCSI_MODE_SELECT_PF	   0x10u /* byte 1 of MODE SELECT */
#define SCSI_MODE_SELECT_SP	   0x01u
#define SCSI_MODE_PAGE_CONTROL	   0xc0u /* of byte 2 */
#define SCSI_MODE_PAGE_CURRENT	   0x00u
#define SCSI_MODE_PAGE_CHANGEABLE  0x40u
#define SCSI_MODE_PAGE_DEFAULT	   0x80u
#define SCSI_MODE_PAGE_SAVED	   0xc0u
#define SCSI_MODE_PAGE_CODE	   0x3fu /* of byte 2 */
#define SCSI_REQUEST_SENSE_DESC	   0x01u /* of byte 1 */
#define SCSI_PREVENT		   0x01u /* of byte 4 */
#define SCSI_START_STOP_START	   0x01u /* of byte 4 */
#define SCSI_START_STOP_LOEJ	   0x02u
#define SCSI_START_STOP_NO_FLUSH   0x04u
#define SCSI_START_STOP_POWER_MASK 0xf0u
#define SCSI_READ_CAPACITY_10_PMI  0x01u /* of byte 8 */
#define SCSI_READ_CAPACITY_16_PMI  0x01u /* of byte 14 */

/* ---- persistent reservations: service actions, parameter data. Spec: SPC-4 6.15, 6.16, 7.6.4 ---- */
#define SCSI_PRI_READ_KEYS	     0x00u
#define SCSI_PRI_READ_RESERVATION    0x01u
#define SCSI_PRI_REPORT_CAPABILITIES 0x02u
#define SCSI_PRI_READ_FULL_STATUS    0x03u
#define SCSI_PRI_HEADER_LEN	     8u
#define SCSI_PRI_RESERVATION_LEN     16u
#define SCSI_PRI_CAPABILITIES_LEN    8u
#define SCSI_PRI_FULL_STATUS_LEN     24u   /* of a descriptor, before its TransportID */
#define SCSI_PRI_CAPABLE_PTPL	     0x01u /* byte 2 of the capabilities: APTPL is known */
#define SCSI_PRI_TYPES_VALID	     0x80u /* byte 3 */
#define SCSI_PRI_PTPL_ACTIVE	     0x01u
#define SCSI_PRI_TYPES		     0xea01u /* bytes 4 and 5: all six */
#define SCSI_PRI_HOLDER		     0x01u   /* byte 12 of a descriptor */
#define SCSI_PRO_REGISTER	     0x00u
#define SCSI_PRO_RESERVE	     0x01u
#define SCSI_PRO_RELEASE	     0x02u
#define SCSI_PRO_CLEAR		     0x03u
#define SCSI_PRO_PREEMPT	     0x04u
#define SCSI_PRO_PREEMPT_AND_ABORT   0x05u
#define SCSI_PRO_REGISTER_AND_IGNORE 0x06u
#define SCSI_PRO_SCOPE		     0xf0u /* byte 2 of the CDB: 0 is the logical unit */
#define SCSI_PRO_TYPE		     0x0fu
#define SCSI_PRO_LIST_LEN	     24u
#define SCSI_PRO_SPEC_I_PT	     0x08u /* byte 20 of the list */
#define SCSI_PRO_ALL_TG_PT	     0x04u
#define SCSI_PRO_APTPL		     0x01u
#define SCSI_TRANSPORT_ID_SRP	     0x04u
#define SCSI_TRANSPORT_ID_LEN	     24u
#define SCSI_TRANSPORT_ID_SRP_PORT   8u /* 16 bytes */

/* ---- statuses ---- */
#define SCSI_STATUS_GOOD	    0x00u
#define SCSI_STATUS_CHECK_CONDITION 0x02u
#define SCSI_STATUS_BUSY	    0x08u

#define SCSI_STATUS_RESERVATION_CONFLICT 0x18u

/* ---- sense data ---- */
#define SCSI_SENSE_FIXED_CURRENT      0x70u
#define SCSI_SENSE_DESCRIPTOR_CURRENT 0x72u
#define SCSI_SENSE_FIXED_LEN	      18u
#define SCSI_SENSE_DESCRIPTOR_LEN     8u
#define SCSI_SENSE_INFORMATION_VALID  0x80u /* of byte 0, fixed format */
#define SCSI_SENSE_INFORMATION_TYPE   0x00u /* descriptors: type, length of the rest */
#define SCSI_SENSE_INFORMATION_LEN    12u
#define SCSI_SENSE_SPECIFIC_TYPE      0x02u
#define SCSI_SENSE_SPECIFIC_LEN	      8u
/* First byte of the three that point to a field; the other two are the byte's number */
#define SCSI_SENSE_SKSV		      0x80u
#define SCSI_SENSE_IN_CDB	      0x40u
#define SCSI_SENSE_BIT_VALID	      0x08u
#define SCSI_SENSE_FIXED_ADDITIONAL   10u /* SCSI_SENSE_FIXED_LEN - 8 */

#define SCSI_SENSE_NO_SENSE	   0x0u
#define SCSI_SENSE_NOT_READY	   0x2u
#define SCSI_SENSE_MEDIUM_ERROR	   0x3u
#define SCSI_SENSE_HARDWARE_ERROR  0x4u
#define SCSI_SENSE_ILLEGAL_REQUEST 0x5u
#define SCSI_SENSE_UNIT_ATTENTION  0x6u
#define SCSI_SENSE_DATA_PROTECT	   0x7u
#define SCSI_SENSE_ABORTED_COMMAND 0xbu
#define SCSI_SENSE_MISCOMPARE	   0xeu

/* Additional sense: code << 8 | qualifier */
#define SCSI_ASC_NONE				 0x0000u
#define SCSI_ASC_LOGICAL_UNIT_STOPPED		 0x0402u
#define SCSI_ASC_WRITE_ERROR			 0x0c00u
#define SCSI_ASC_UNRECOVERED_READ_ERROR		 0x1100u
#define SCSI_ASC_PARAMETER_LIST_LENGTH_ERROR	 0x1a00u
#define SCSI_ASC_MISCOMPARE_DURING_VERIFY	 0x1d00u
#define SCSI_ASC_INVALID_OPCODE			 0x2000u
#define SCSI_ASC_LBA_OUT_OF_RANGE		 0x2100u
#define SCSI_ASC_INVALID_FIELD_IN_CDB		 0x2400u
#define SCSI_ASC_LUN_NOT_SUPPORTED		 0x2500u
#define SCSI_ASC_INVALID_FIELD_IN_PARAMETERS	 0x2600u
#define SCSI_ASC_INVALID_RELEASE		 0x2604u
#define SCSI_ASC_WRITE_PROTECTED		 0x2700u
#define SCSI_ASC_SOFTWARE_WRITE_PROTECTED	 0x2702u
#define SCSI_ASC_SPACE_ALLOCATION_FAILED	 0x2707u
#define SCSI_ASC_MEDIUM_MAY_HAVE_CHANGED	 0x2800u
#define SCSI_ASC_POWER_ON_OCCURRED		 0x2901u
#define SCSI_ASC_BUS_DEVICE_RESET_OCCURRED	 0x2903u
#define SCSI_ASC_MODE_PARAMETERS_CHANGED	 0x2a01u
#define SCSI_ASC_RESERVATIONS_PREEMPTED		 0x2a03u
#define SCSI_ASC_RESERVATIONS_RELEASED		 0x2a04u
#define SCSI_ASC_REGISTRATIONS_PREEMPTED	 0x2a05u
#define SCSI_ASC_CAPACITY_CHANGED		 0x2a09u
#define SCSI_ASC_INCOMPATIBLE_FORMAT		 0x3002u
#define SCSI_ASC_SAVING_PARAMETERS_NOT_SUPPORTED 0x3900u
#define SCSI_ASC_NO_MEDIUM_TRAY_CLOSED		 0x3a01u
#define SCSI_ASC_NO_MEDIUM_TRAY_OPEN		 0x3a02u
#define SCSI_ASC_TIMEOUT_ON_LOGICAL_UNIT	 0x3e02u
#define SCSI_ASC_INTERNAL_TARGET_FAILURE	 0x4400u
#define SCSI_ASC_MEDIUM_REMOVAL_PREVENTED	 0x5302u
#define SCSI_ASC_ILLEGAL_MODE_FOR_TRACK		 0x6400u

/* ---- standard INQUIRY data ---- */
#define SCSI_INQUIRY_LEN	   36u /* of a device that is not there */
#define SCSI_INQUIRY_LONG_LEN	   96u
#define SCSI_INQUIRY_VERSIONS	   58u /* offset of the version descriptors */
#define SCSI_STANDARD_SAM_5	   0x00a0u
#define SCSI_STANDARD_SPC_4	   0x0460u
#define SCSI_STANDARD_SBC_3	   0x04c0u
#define SCSI_STANDARD_MMC_6	   0x04e0u
#define SCSI_INQUIRY_DEVICE_DISK   0x00u /* connected, direct access block device */
#define SCSI_INQUIRY_DEVICE_DVD	   0x05u /* CD/DVD device */
#define SCSI_INQUIRY_RMB	   0x80u /* of byte 1: removable medium */
#define SCSI_INQUIRY_DEVICE_ABSENT 0x7fu /* no device can be here */
#define SCSI_VERSION_SPC4	   0x06u
#define SCSI_INQUIRY_HISUP	   0x10u /* of byte 3 */
#define SCSI_INQUIRY_FORMAT_2	   0x02u /* of byte 3 */
#define SCSI_INQUIRY_CMDQUE	   0x02u /* of byte 7 */

/* ---- VPD pages ---- */
#define SCSI_VPD_HEADER_LEN	   4u
#define SCSI_VPD_SUPPORTED_PAGES   0x00u
#define SCSI_VPD_SERIAL		   0x80u
#define SCSI_VPD_DEVICE_ID	   0x83u
#define SCSI_VPD_BLOCK_LIMITS	   0xb0u
#define SCSI_VPD_BLOCK_DEVICE	   0xb1u
#define SCSI_VPD_PROVISIONING	   0xb2u
#define SCSI_VPD_BLOCK_LIMITS_LEN  0x3cu
#define SCSI_VPD_BLOCK_DEVICE_LEN  0x3cu
#define SCSI_VPD_PROVISIONING_LEN  0x04u
/* Byte 5 of SCSI_VPD_PROVISIONING; byte 6: type */
#define SCSI_PROVISIONING_LBPU	   0x80u /* UNMAP */
#define SCSI_PROVISIONING_LBPWS	   0x40u /* WRITE SAME(16) with it */
#define SCSI_PROVISIONING_LBPWS10  0x20u
#define SCSI_PROVISIONING_LBPRZ	   0x04u /* blocks given back read as zeroes */
#define SCSI_PROVISIONING_THIN	   0x02u
/* Bytes of SCSI_VPD_BLOCK_LIMITS */
#define SCSI_BLOCK_LIMITS_WSNZ	   0x01u       /* byte 4: WRITE SAME of no blocks is refused */
#define SCSI_BLOCK_LIMITS_UGAVALID 0x80000000u /* bytes 32 to 35 */
/* Designators of SCSI_VPD_DEVICE_ID: code set, type */
#define SCSI_CODE_SET_BINARY	   0x01u
#define SCSI_CODE_SET_ASCII	   0x02u
#define SCSI_DESIGNATOR_T10	   0x01u
#define SCSI_DESIGNATOR_NAA	   0x03u
#define SCSI_NAA_LOCAL		   0x3u /* top four bits of 8 bytes, ours to choose */

/* ---- mode pages ---- */
#define SCSI_MODE_HEADER_6_LEN	    4u
#define SCSI_MODE_HEADER_10_LEN	    8u
#define SCSI_MODE_BLOCK_DESC_LEN    8u
#define SCSI_MODE_LONG_DESC_LEN	    16u
#define SCSI_MODE_LONGLBA	    0x01u /* byte 4 of the header of ten */
#define SCSI_MODE_WP		    0x80u /* device-specific parameter */
#define SCSI_MODE_DPOFUA	    0x10u
#define SCSI_MODE_PAGE_CACHING	    0x08u
#define SCSI_MODE_PAGE_CACHING_LEN  20u
#define SCSI_MODE_PAGE_CONTROL_MODE 0x0au
#define SCSI_MODE_PAGE_CONTROL_LEN  12u
#define SCSI_MODE_PAGE_ALL	    0x3fu
#define SCSI_MODE_SUBPAGE_ALL	    0xffu
#define SCSI_MODE_CACHING_WCE	    0x04u /* of byte 2 */
#define SCSI_MODE_CONTROL_D_SENSE   0x04u /* of byte 2 */
#define SCSI_MODE_CONTROL_QAM_1	    0x10u /* of byte 3: any order */
#define SCSI_MODE_CONTROL_SWP	    0x08u /* of byte 4 */

/* ---- parameter data ---- */
#define SCSI_READ_CAPACITY_10_LEN   8u
#define SCSI_READ_CAPACITY_16_LEN   32u
#define SCSI_READ_CAPACITY_LBPME    0x80u /* of byte 14 */
#define SCSI_READ_CAPACITY_LBPRZ    0x40u
#define SCSI_REPORT_LUNS_HEADER_LEN 8u
#define SCSI_REPORT_LUNS_ENTRY_LEN  8u
#define SCSI_REPORT_LUNS_ALL	    0x02u
#define SCSI_REPORT_LUNS_NORMAL	    0x00u
#define SCSI_REPORT_LUNS_WELL_KNOWN 0x01u
#define SCSI_REPORT_LUNS_ALLOC_MIN  16u

/* REPORT SUPPORTED OPERATION CODES: byte 2 of the CDB; support of one command */
#define SCSI_REPORT_OPS_RCTD	      0x80u
#define SCSI_REPORT_OPS_WHAT	      0x07u
#define SCSI_REPORT_OPS_ALL	      0x00u
#define SCSI_REPORT_OPS_OPCODE	      0x01u
#define SCSI_REPORT_OPS_ACTION	      0x02u
#define SCSI_REPORT_OPS_EITHER	      0x03u
#define SCSI_REPORT_OPS_CTDP	      0x80u /* one command, byte 1 */
#define SCSI_REPORT_OPS_NOT_SUPPORTED 0x01u
#define SCSI_REPORT_OPS_SUPPORTED     0x03u
#define SCSI_REPORT_OPS_LIST_SERVACTV 0x01u /* in the list, byte 5 */
#define SCSI_REPORT_OPS_LIST_CTDP     0x02u
#define SCSI_REPORT_OPS_LIST_LEN      8u
#define SCSI_REPORT_OPS_ONE_LEN	      4u
#define SCSI_REPORT_OPS_TIMEOUTS_LEN  12u

#endif
