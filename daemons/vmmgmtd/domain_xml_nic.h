/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that read <interface>. */
#ifndef VMMGMTD_DOMAIN_XML_NIC_H
#define VMMGMTD_DOMAIN_XML_NIC_H

#include "domain_xml_int.h"

/** domain_xml_nic_more - bandwidth, VLANs, addresses, ports of a NIC whose type is known. */
void domain_xml_nic_more(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where);

/** domain_xml_ifname - whether it can be the name of a network device. */
bool domain_xml_ifname(const char *name);

#endif
