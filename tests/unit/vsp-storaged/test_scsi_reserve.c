/* SPDX-License-Identifier: Apache-2.0 */
/* PERSISTENT RESERVE IN and OUT; and what each command meets beside each type of reservation, as another's and as ours.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemons/vsp-storaged/reservation.h"
#include "tests/unit/vsp-storaged/scsi_fixture.h"

#define LIST_LEN 24u
#define CONFLICT 0x18u

static struct loop *loop;
static struct engine *engine;
static struct reservation *ours, *others;
static int fd[2];

static struct reservation *open_one(const char *path, unsigned int i)
{
	struct reservation_config config = {.alias = "sda", .image = "/image", .vm = {(uint8_t)(i + 1)}};
	struct reservation *reservation;
	struct err err = {0};

	fd[i] = open(path, O_RDWR | O_CLOEXEC);
	config.fd = fd[i];
	config.file = (unsigned int)engine_add_file(engine, fd[i]);
	cr_assert_eq(reservation_open(loop, engine, &config, &reservation, &err), 0, "%s", err.text);
	return reservation;
}

static void set_up(void)
{
	const char *dir = getenv("TMPDIR");
	struct err err = {0};
	char path[256];
	int made;

	snprintf(path, sizeof(path), "%s/scsi-reserve-XXXXXX", dir ? dir : "/tmp");
	made = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(made, 0);
	close(made);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(engine_open("threads", loop, NULL, 0, &engine, &err), 0, "%s", err.text);
	ours = open_one(path, 0);
	others = open_one(path, 1);
	unlink(path);
	scsi_set_up();
	scsi_lun_share(&luns[0], ours, "");
	scsi_lun_greet(&luns[0]);
}

static void tear_down(void)
{
	engine_close(engine);
	reservation_close(ours);
	reservation_close(others);
	loop_free(loop);
	close(fd[0]);
	close(fd[1]);
	scsi_tear_down();
}

TestSuite(scsi_reserve, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- commands of ours ---- */

static void execute(const uint8_t *cdb, size_t cdb_len, enum scsi_direction direction, uint32_t len)
{
	unsigned int before = dones;

	prepare(&req, req_iov, 0, cdb, cdb_len, direction, len);
	scsi_execute(&controller, &req);
	engine_flush(engine);
	while (dones == before)
		loop_run_once(loop, true);
	cr_assert_eq(dones, before + 1);
}

static void out(uint8_t action, uint8_t type, uint64_t key, uint64_t action_key, uint8_t flags)
{
	memset(buf, 0, LIST_LEN);
	put_be64(buf, key);
	put_be64(buf + 8, action_key);
	buf[20] = flags;
	execute(CDB(0x5f, action, type, 0, 0, 0, 0, 0, LIST_LEN), 10, SCSI_OUT, LIST_LEN);
}

static void in(uint8_t action, uint16_t allocation)
{
	memset(buf, 0xee, 4096);
	execute(CDB(0x5e, action, 0, 0, 0, 0, 0, (uint8_t)(allocation >> 8), (uint8_t)allocation), 10, SCSI_IN, 4096);
}

static void conflicts(void)
{
	cr_assert_eq(req.outcome, SCSI_COMPLETE);
	cr_assert_eq(req.status, CONFLICT, "status %x", req.status);
	cr_assert_eq(req.sense_len, 0);
	cr_assert_eq(req.transferred, 0);
}

/* ---- of the other ---- */

static void on_done(void *arg, int result)
{
	*(int *)arg = result;
}

static void other(uint8_t action, uint8_t type, uint64_t key, uint64_t action_key)
{
	struct reservation_order order = {.action = action, .type = type, .key = key, .action_key = action_key};
	int result = 99;

	reservation_order(others, &order, 0, NULL, on_done, &result);
	engine_flush(engine);
	while (result == 99)
		loop_run_once(loop, true);
	cr_assert_eq(result, RESERVATION_DONE, "%d", result);
}

static void hears(uint16_t asc)
{
	execute(CDB(0x00), 6, SCSI_NONE, 0);
	check(SENSE(6, asc));
	cr_assert(req.unit_changed);
	execute(CDB(0x00), 6, SCSI_NONE, 0);
	good(0);
}

/* ---- what they answer ---- */

Test(scsi_reserve, only_where_it_is_shared)
{
	NODATA(3, 10, 0x5e);
	check(SENSE(5, 0x2000));
	NODATA(3, 10, 0x5f);
	check(SENSE(5, 0x2000));
	execute(CDB(0x5e, 4), 10, SCSI_IN, 8);
	check(INVALID_FIELD);
	execute(CDB(0x5f, 7, 0, 0, 0, 0, 0, 0, 24), 10, SCSI_OUT, 24);
	check(INVALID_FIELD);
}

Test(scsi_reserve, capabilities)
{
	in(2, 8);
	good(8);
	cr_assert_eq(memcmp(buf, "\0\x08\x01\x80\xea\x01\0", 8), 0);
	out(0, 0, 0, 1, 1);
	good(24);
	in(2, 255);
	good(8);
	cr_assert_eq(buf[3], 0x81, "APTPL");
}

Test(scsi_reserve, keys_and_reservation)
{
	in(0, 4096);
	good(8);
	cr_assert_eq(get_be64(buf), 0);
	out(0, 0, 0, 0xaaaa, 0);
	good(24);
	other(0, 0, 0, 0xbbbb);
	in(0, 4096);
	good(24);
	cr_assert(get_be32(buf) == 2 && get_be32(buf + 4) == 16 && get_be64(buf + 8) == 0xaaaa &&
		  get_be64(buf + 16) == 0xbbbb);
	in(0, 12);
	good(12);
	cr_assert_eq(get_be32(buf + 4), 16, "of all of them");
	cr_assert_eq(buf[12], 0xee);
	in(1, 4096);
	good(8);
	other(1, 6, 0xbbbb, 0);
	in(1, 4096);
	good(24);
	cr_assert(get_be32(buf + 4) == 16 && get_be64(buf + 8) == 0xbbbb && buf[21] == 6);
	in(3, 4096);
	good(8 + 2 * 48);
	cr_assert(buf[8 + 12] == 0 && buf[8 + 48 + 12] == 1 && buf[8 + 48 + 13] == 6, "the second one holds it");
	cr_assert(get_be32(buf + 8 + 20) == 24 && buf[8 + 24] == 4, "TransportID");
}

Test(scsi_reserve, refused)
{
	out(0, 0, 0, 1, 0x08);
	field(false, 20, 3);
	out(0, 0, 0, 1, 0x04);
	field(false, 20, 2);
	execute(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 23), 10, SCSI_OUT, 24);
	check(LIST_LENGTH);
	execute(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24), 10, SCSI_OUT, 23);
	check(LIST_LENGTH);
	out(0, 0x10, 0, 1, 0);
	good(24); /* of no scope */
	out(1, 0x11, 1, 0, 0);
	field(true, 2, 7);
	out(1, 2, 1, 0, 0);
	field(true, 2, 3);
	out(4, 1, 1, 0, 0);
	field(false, 8, 7);
	out(1, 1, 2, 0, 0);
	conflicts();
	out(1, 1, 1, 0, 0);
	good(24);
	out(2, 3, 1, 0, 0);
	check(SENSE(5, 0x2604));
	out(3, 0, 1, 0, 0);
	good(24);
}

Test(scsi_reserve, news)
{
	out(0, 0, 0, 0xa, 0);
	other(0, 0, 0, 0xb);
	other(1, 5, 0xb, 0);
	other(2, 5, 0xb, 0);
	hears(0x2a04);
	other(1, 5, 0xb, 0);
	other(4, 5, 0xb, 0xa);
	execute(CDB(0x12, 0, 0, 0, 36), 6, SCSI_IN, 36);
	good(36); /* INQUIRY does not say it */
	hears(0x2a05);
	out(6, 0, 0, 0xa, 0);
	good(24);
	other(3, 0, 0xb, 0);
	hears(0x2a03);
	/* Who does not know yet that the power was off hears nothing else. */
	out(6, 0, 0, 0xa, 0);
	other(0, 0, 0, 0xb);
	other(4, 5, 0xb, 0xa);
	scsi_lun_power_on(&luns[0]);
	hears(0x2901);
}

/* What a successor finds is what the initiator knows. */
Test(scsi_reserve, news_are_not_lost)
{
	struct scsi_lun_state state;

	out(0, 0, 0, 0xa, 0);
	state = luns[0].state;
	other(0, 0, 0, 0xb);
	other(4, 5, 0xb, 0xa);
	scsi_lun_power_on(&luns[0]);
	cr_assert_eq(scsi_lun_restore(&luns[0], &state), 0);
	hears(0x2a05);
}

/* ---- what other commands meet ---- */

enum { FREE, READS, WRITES };

static const struct {
	uint8_t cdb[16], len, kind;
	enum scsi_direction direction;
	uint32_t data;
} commands[] = {
	{{0x00}, 6, FREE, SCSI_NONE, 0},
	{{0x03, 0, 0, 0, 18}, 6, FREE, SCSI_IN, 18},
	{{0x12, 0, 0, 0, 36}, 6, FREE, SCSI_IN, 36},
	{{0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16}, 12, FREE, SCSI_IN, 16},
	{{0x25}, 10, FREE, SCSI_IN, 8},
	{{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, 16, FREE, SCSI_IN, 32},
	{{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 64}, 12, FREE, SCSI_IN, 64},
	{{0x1b, 0, 0, 0, 1}, 6, FREE, SCSI_NONE, 0},
	{{0x1e, 0, 0, 0, 0}, 6, FREE, SCSI_NONE, 0},
	{{0x5e, 0, 0, 0, 0, 0, 0, 0, 8}, 10, FREE, SCSI_IN, 8},
	{{0x1a, 0, 0x3f, 0, 4}, 6, READS, SCSI_IN, 4},
	{{0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 8}, 10, READS, SCSI_IN, 8},
	{{0x08, 0, 0, 0, 1}, 6, READS, SCSI_IN, 512},
	{{0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 10, READS, SCSI_IN, 512},
	{{0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 12, READS, SCSI_IN, 512},
	{{0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 16, READS, SCSI_IN, 512},
	{{0x2f, 0, 0, 0, 0, 0, 0, 0, 1}, 10, READS, SCSI_NONE, 0},
	{{0x0a, 0, 0, 0, 1}, 6, WRITES, SCSI_OUT, 512},
	{{0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 10, WRITES, SCSI_OUT, 512},
	{{0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 12, WRITES, SCSI_OUT, 512},
	{{0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 16, WRITES, SCSI_OUT, 512},
	{{0x2e, 0, 0, 0, 0, 0, 0, 0, 1}, 10, WRITES, SCSI_OUT, 512},
	{{0x41, 0, 0, 0, 0, 0, 0, 0, 1}, 10, WRITES, SCSI_OUT, 512},
	{{0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 16, WRITES, SCSI_OUT, 512},
	{{0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 16, WRITES, SCSI_NONE, 0},
	{{0x42, 0, 0, 0, 0, 0, 0, 0, 0}, 10, WRITES, SCSI_NONE, 0},
	{{0x35}, 10, WRITES, SCSI_NONE, 0},
	{{0x91}, 16, WRITES, SCSI_NONE, 0},
	{{0x15, 0x10}, 6, WRITES, SCSI_NONE, 0},
	{{0x55, 0x10}, 10, WRITES, SCSI_NONE, 0},
	{{0x1e, 0, 0, 0, 1}, 6, WRITES, SCSI_NONE, 0},
};

static void meets(bool reads, bool writes, const char *who, unsigned int type)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		bool allowed = commands[i].kind == FREE || (commands[i].kind == READS ? reads : writes);

		execute(commands[i].cdb, commands[i].len, commands[i].direction, commands[i].data);
		cr_assert_eq(req.status, allowed ? 0 : CONFLICT, "%s, type %u, opcode %02x: status %x, sense %x/%04x",
			     who, type, commands[i].cdb[0], req.status, req.sense[2], get_be16(&req.sense[12]));
	}
}

Test(scsi_reserve, each_command_and_each_type)
{
	static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

	other(0, 0, 0, 0xb);
	for (size_t i = 0; i < sizeof(types); i++) {
		bool exclusive = types[i] == 3 || types[i] == 6 || types[i] == 8;

		other(1, types[i], 0xb, 0);
		meets(!exclusive, false, "not registered", types[i]);
		out(0, 0, 0, 0xa, 0);
		good(24);
		meets(types[i] >= 5 || !exclusive, types[i] >= 5, "registered", types[i]);
		out(0, 0, 0xa, 0, 0);
		good(24);
		other(2, types[i], 0xb, 0);
		meets(true, true, "released", types[i]);
		out(0, 0, 0, 0xa, 0);
		out(1, types[i], 0xa, 0, 0);
		good(24);
		meets(true, true, "the holder", types[i]);
		out(2, types[i], 0xa, 0, 0);
		good(24);
		out(0, 0, 0xa, 0, 0);
		good(24);
	}
	cr_assert_eq(atomic_load(&ours->count->in_flight), 0, "each that began has ended");
}

/* The medium cannot be stopped by who may not write. */
Test(scsi_reserve, stop)
{
	other(0, 0, 0, 0xb);
	other(1, 1, 0xb, 0);
	execute(CDB(0x1b, 0, 0, 0, 0), 6, SCSI_NONE, 0);
	conflicts();
}

/* The file is spoilt: nothing is allowed that reservations could forbid, or not. */
Test(scsi_reserve, broken)
{
	uint8_t nothing[RESERVATION_PAGE] = {1};

	for (off_t i = 2; i < 4; i++)
		cr_assert_eq(pwrite(fd[1], nothing, sizeof(nothing), i * RESERVATION_PAGE), (ssize_t)sizeof(nothing));
	atomic_fetch_add(others->generation, 1);
	execute(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_IN, 512);
	check(SENSE(4, 0x4400));
	in(0, 8);
	check(SENSE(4, 0x4400));
}

/* All who share a disk see one name; the others' is their own. */
Test(scsi_reserve, name)
{
	uint64_t naa = luns[0].naa;

	scsi_lun_share(&luns[0], others, "");
	cr_assert_eq(luns[0].naa, naa);
	cr_assert_neq(luns[1].naa, naa);
	scsi_lun_share(&luns[0], ours, "");
}
