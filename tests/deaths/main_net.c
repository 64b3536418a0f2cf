/* SPDX-License-Identifier: Apache-2.0 */
/* vsp-netd as a test build: it dies where it is told to. */
#undef main /* the daemon's is netd_main() */

int netd_main(int argc, char **argv);

int main(int argc, char **argv)
{
	return netd_main(argc, argv);
}
