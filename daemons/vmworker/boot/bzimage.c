/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/bzimage.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* Offsets in the file, and the protocol version that brought the field. */
#define SETUP_SECTS	0x1f1u
#define BOOT_FLAG	0x1feu
#define JUMP_LEN	0x201u /* operand of the jump over the header: the header ends at 0x202 + this */
#define MAGIC		0x202u
#define VERSION		0x206u
#define LOADFLAGS	0x211u
#define INITRD_ADDR_MAX 0x22cu /* 2.03 */
#define RELOCATABLE	0x234u /* 2.05 */
#define XLOADFLAGS	0x236u /* 2.12 */
#define CMDLINE_SIZE	0x238u /* 2.06 */
#define PAYLOAD_OFFSET	0x248u /* 2.08 */
#define PAYLOAD_LENGTH	0x24cu /* 2.08 */
#define PREF_ADDRESS	0x258u /* 2.10 */
#define INIT_SIZE	0x260u /* 2.10 */
#define HEADER_MIN_LEN	0x268u

#define BOOT_FLAG_VALUE	    0xaa55u
#define LOADED_HIGH	    0x01u
#define XLF_KERNEL_64	    0x01u
#define SECTOR		    512u
#define CODE_GPA	    0x100000u
#define INITRD_MAX_DEFAULT  0x37ffffffu
#define CMDLINE_MAX_DEFAULT 255u

bool bzimage_detect(const void *head, size_t head_len)
{
	const uint8_t *p = head;

	return head_len >= VERSION && get_le16(p + BOOT_FLAG) == BOOT_FLAG_VALUE && !memcmp(p + MAGIC, "HdrS", 4);
}

static const char *bzimage_check(const uint8_t *p, size_t head_len, uint64_t file_len, struct bzimage *image)
{
	uint16_t version = get_le16(p + VERSION);
	uint32_t sects = p[SETUP_SECTS] ? p[SETUP_SECTS] : 4;
	uint64_t payload;

	if (version < 0x0202 || !(p[LOADFLAGS] & LOADED_HIGH))
		return "is a zImage or a very old kernel; use a 64-bit bzImage or vmlinux";
	if (version >= 0x020c && !(get_le16(p + XLOADFLAGS) & XLF_KERNEL_64))
		return "is a 32-bit kernel; use a 64-bit one";
	image->code_offset = (sects + 1) * (uint64_t)SECTOR;
	if (image->code_offset + BZIMAGE_ENTRY_64 >= file_len)
		return "is cut short: it ends before the kernel's code; get the file again";
	image->code_len = file_len - image->code_offset;
	image->entry_64 = version >= 0x020c;
	if (version < 0x0208)
		return NULL;
	payload = get_le32(p + PAYLOAD_OFFSET);
	image->payload_len = get_le32(p + PAYLOAD_LENGTH);
	if (!range_fits(payload, image->payload_len, image->code_len))
		return "is cut short: it ends before its packed kernel does; get the file again";
	image->payload_offset = image->code_offset + payload;
	return NULL;
}

/* The fields that say how to load it, where the protocol's version has them. */
static void bzimage_read_limits(const uint8_t *p, struct bzimage *image)
{
	uint16_t version = get_le16(p + VERSION);

	image->initrd_max_gpa = version >= 0x0203 ? get_le32(p + INITRD_ADDR_MAX) : INITRD_MAX_DEFAULT;
	image->cmdline_max = version >= 0x0206 ? get_le32(p + CMDLINE_SIZE) : CMDLINE_MAX_DEFAULT;
	image->load_gpa = CODE_GPA;
	image->init_len = image->code_len;
	if (version >= 0x020a) {
		if (p[RELOCATABLE])
			image->load_gpa = get_le64(p + PREF_ADDRESS);
		image->init_len = MAX(image->code_len, get_le32(p + INIT_SIZE));
	}
}

int bzimage_parse(const void *head, size_t head_len, uint64_t file_len, struct bzimage *ret_image, const char **ret_why)
{
	struct bzimage image = {0};
	const uint8_t *p = head;
	const char *why;

	if (!bzimage_detect(head, head_len))
		why = "is no Linux kernel; use vmlinux or bzImage";
	else if (head_len < HEADER_MIN_LEN || file_len < head_len)
		why = "is cut short: it ends within its header; get the file again";
	else
		why = bzimage_check(p, head_len, file_len, &image);
	if (why) {
		*ret_why = why;
		return -ENOEXEC;
	}
	bzimage_read_limits(p, &image);
	image.setup_len = MIN(MIN(MAGIC + (size_t)p[JUMP_LEN], head_len) - BZIMAGE_SETUP_OFFSET, BZIMAGE_SETUP_MAX);
	memcpy(image.setup, p + BZIMAGE_SETUP_OFFSET, image.setup_len);
	*ret_image = image;
	return 0;
}
