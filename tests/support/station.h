/* SPDX-License-Identifier: Apache-2.0 */
/* A station on a NIC's wire, which is a stream socket. */
#ifndef TEST_STATION_H
#define TEST_STATION_H

/** station_echo - send each frame back to where it came from, until the NIC has gone. */
void station_echo(int fd);

#endif
