/* SPDX-License-Identifier: Apache-2.0 */
/* vsp-storaged as a test build: it dies where it is told to, and lists the places, and what it can leave behind. */
#include <string.h>

#include "base/death.h"
#include "spoil.h"

#undef main /* the daemon's is storaged_main() */

int storaged_main(int argc, char **argv);

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--deaths") == 0) {
		death_list();
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--spoils") == 0) {
		spoil_list();
		return 0;
	}
	return storaged_main(argc, argv);
}
