/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage protocol between a guest's storvsc and a storage VSP, carried by VMBus packets.
 * Every field is little-endian. A guest sends one struct vstor_packet in a packet, with the data pages of an SRB as a
 * GPA-direct range; the completion carries one struct vstor_packet back. Spec: Linux drivers/scsi/storvsc_drv.c;
 * OpenVMM vm/devices/storage/storvsp_protocol.
 */
#ifndef ABI_VSTOR_H
#define ABI_VSTOR_H

#include "abi/guid.h"

/* Interface type of the SCSI controller: ba6163d9-04a1-4d29-b605-72e2ffb1dc7f */
#define VSTOR_SCSI_INTERFACE_GUID ABI_GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f)

enum vstor_packet_operation {
	VSTOR_OPERATION_COMPLETE_IO = 1,   /* host to guest */
	VSTOR_OPERATION_REMOVE_DEVICE = 2, /* host to guest */
	VSTOR_OPERATION_EXECUTE_SRB = 3,
	VSTOR_OPERATION_RESET_LUN = 4,
	VSTOR_OPERATION_RESET_ADAPTER = 5,
	VSTOR_OPERATION_RESET_BUS = 6,
	VSTOR_OPERATION_BEGIN_INITIALIZATION = 7,
	VSTOR_OPERATION_END_INITIALIZATION = 8,
	VSTOR_OPERATION_QUERY_PROTOCOL_VERSION = 9,
	VSTOR_OPERATION_QUERY_PROPERTIES = 10,
	VSTOR_OPERATION_ENUMERATE_BUS = 11, /* host to guest, transaction id 0: look for LUNs again */
	VSTOR_OPERATION_FCHBA_DATA = 12,    /* fibre channel only */
	VSTOR_OPERATION_CREATE_SUB_CHANNELS = 13,
};

/* vstor_packet.flags */
#define VSTOR_REQUEST_COMPLETION_FLAG 0x1u

/* vstor_packet.status: NTSTATUS */
#define VSTOR_STATUS_SUCCESS		    0x00000000u
#define VSTOR_STATUS_UNSUCCESSFUL	    0xc0000001u
#define VSTOR_STATUS_INVALID_PARAMETER	    0xc000000du
#define VSTOR_STATUS_INVALID_DEVICE_REQUEST 0xc0000010u
#define VSTOR_STATUS_REVISION_MISMATCH	    0xc0000059u
#define VSTOR_STATUS_DEVICE_DOES_NOT_EXIST  0xc00000c0u
#define VSTOR_STATUS_CANCELLED		    0xc0000120u
#define VSTOR_STATUS_INVALID_DEVICE_STATE   0xc0000184u
#define VSTOR_STATUS_IO_DEVICE_ERROR	    0xc0000185u

/* Protocol versions: major << 8 | minor */
#define VSTOR_VERSION_WIN6   0x0200u
#define VSTOR_VERSION_WIN7   0x0402u
#define VSTOR_VERSION_WIN8   0x0501u
#define VSTOR_VERSION_WIN8_1 0x0600u
#define VSTOR_VERSION_WIN10  0x0602u

/* vmscsi_request.srb_status: a code and two flags */
#define SRB_STATUS_PENDING	   0x00u
#define SRB_STATUS_SUCCESS	   0x01u
#define SRB_STATUS_ABORTED	   0x02u
#define SRB_STATUS_ERROR	   0x04u
#define SRB_STATUS_INVALID_REQUEST 0x06u
#define SRB_STATUS_DATA_OVERRUN	   0x12u
#define SRB_STATUS_INVALID_LUN	   0x20u
#define SRB_STATUS_QUEUE_FROZEN	   0x40u /* flag */
#define SRB_STATUS_AUTOSENSE_VALID 0x80u /* flag */

/* vmscsi_request.srb_flags */
#define SRB_FLAGS_QUEUE_ACTION_ENABLE 0x00000002u
#define SRB_FLAGS_DISABLE_AUTOSENSE   0x00000020u
#define SRB_FLAGS_DATA_IN	      0x00000040u /* device to guest */
#define SRB_FLAGS_DATA_OUT	      0x00000080u /* guest to device */

/* vmscsi_request.data_in */
#define VSTOR_DATA_OUT	   0u
#define VSTOR_DATA_IN	   1u
#define VSTOR_DATA_UNKNOWN 2u

#define VSTOR_CDB_LEN_MAX   16u
#define VSTOR_SENSE_LEN_MAX 20u

struct vmscsi_request {
	uint16_t length;
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port_number;
	uint8_t path_id;
	uint8_t target_id;
	uint8_t lun;
	uint8_t cdb_length;
	uint8_t sense_info_length;
	uint8_t data_in;
	uint8_t reserved;
	uint32_t data_transfer_length;
	union {
		uint8_t cdb[VSTOR_CDB_LEN_MAX];
		uint8_t sense_data[VSTOR_SENSE_LEN_MAX];
	};
	/* From VSTOR_VERSION_WIN8 on; not sent before. */
	uint16_t reserve;
	uint8_t queue_tag;
	uint8_t queue_action;
	uint32_t srb_flags;
	uint32_t time_out_value; /* seconds */
	uint32_t queue_sort_key;
} __attribute__((packed));

/* vmstorage_channel_properties.flags */
#define VSTOR_CHANNEL_SUPPORTS_MULTI_CHANNEL 0x1u

struct vmstorage_channel_properties {
	uint32_t reserved;
	uint16_t max_channel_cnt; /* sub-channels that may be asked for */
	uint16_t reserved1;
	uint32_t flags;
	uint32_t max_transfer_bytes;
	uint64_t reserved2;
} __attribute__((packed));

struct vmstorage_protocol_version {
	uint16_t major_minor;
	uint16_t revision;
} __attribute__((packed));

struct vstor_packet {
	uint32_t operation; /* enum vstor_packet_operation */
	uint32_t flags;
	uint32_t status;
	union {
		struct vmscsi_request vm_srb;
		struct vmstorage_channel_properties storage_channel_properties;
		struct vmstorage_protocol_version version;
		uint16_t sub_channel_count;
		uint8_t buffer[52];
	};
} __attribute__((packed));

/* Bytes of a packet on the wire. Guests that know both sizes send the short one until a version is agreed. */
#define VSTOR_PACKET_LEN      64u
#define VSTOR_PACKET_LEN_WIN7 48u /* without the SRB's fields of VSTOR_VERSION_WIN8 */

_Static_assert(sizeof(struct vmscsi_request) == 52, "SRB layout");
_Static_assert(sizeof(struct vstor_packet) == VSTOR_PACKET_LEN, "packet layout");

#endif
