// lwIP as MicroPython's rp2 port configures it, without what only Ethernet and Wi-Fi have:
// for a board whose one interface is PPP, which has two ends, no ARP and no multicast.

#include_next "lwipopts.h"

#undef LWIP_ARP
#undef LWIP_DNS_SUPPORT_MDNS_QUERIES
#undef LWIP_ETHERNET
#undef LWIP_MDNS_RESPONDER
#define LWIP_ARP                        0
#define LWIP_DNS_SUPPORT_MDNS_QUERIES   0
#define LWIP_ETHERNET                   0
#define LWIP_IPV6_MLD                   0
#define LWIP_MDNS_RESPONDER             0
