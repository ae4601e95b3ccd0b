// lwIP as MicroPython's rp2 port configures it, without what only Ethernet and Wi-Fi have:
// for a board whose one interface is PPP, which has two ends, no ARP and no multicast. No IPv6 either:
// network.PPP gives the address that IPCP has agreed on, and never asks for another (extmod/network_ppp_lwip.c).

#include_next "lwipopts.h"

#undef LWIP_ARP
#undef LWIP_DNS_SUPPORT_MDNS_QUERIES
#undef LWIP_ETHERNET
#undef LWIP_IPV6
#undef LWIP_MDNS_RESPONDER
#define LWIP_ARP                        0
#define LWIP_DNS_SUPPORT_MDNS_QUERIES   0
#define LWIP_ETHERNET                   0
#define LWIP_IPV6                       0
#define LWIP_MDNS_RESPONDER             0
