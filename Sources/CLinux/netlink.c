// Changes of the machine's links, addresses and routes, as the kernel tells them (rtnetlink(7)).
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

int linux_netlink_open(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return -1;
  struct sockaddr_nl address = {
    .nl_family = AF_NETLINK,
    .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
  };
  // What is there already is asked for: only so can an address that is announced again be told from a new one.
  struct {
    struct nlmsghdr head;
    struct ifaddrmsg body;
  } request = {
    .head = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
    .body = {.ifa_family = AF_UNSPEC},
  };
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || send(fd, &request, sizeof request, 0) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

static int take_address(const struct nlmsghdr *head, linux_network_event *event) {
  if (head->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifaddrmsg))) return 0;
  const struct ifaddrmsg *body = NLMSG_DATA(head);
  // A link's own addresses lead nowhere else, and an IPv6 address that is still being checked is announced again.
  if (body->ifa_scope >= RT_SCOPE_LINK || (body->ifa_flags & IFA_F_TENTATIVE) != 0) return 0;
  event->kind = head->nlmsg_type == RTM_NEWADDR ? LINUX_ADDRESS_ADDED : LINUX_ADDRESS_REMOVED;
  event->link = (int32_t)body->ifa_index;
  int left = (int)IFA_PAYLOAD(head);
  for (const struct rtattr *item = IFA_RTA(body); RTA_OK(item, left); item = RTA_NEXT(item, left)) {
    size_t size = RTA_PAYLOAD(item);
    // On a point-to-point link IFA_ADDRESS is the other end's, and IFA_LOCAL this one's.
    int is_local = item->rta_type == IFA_LOCAL;
    if ((is_local || (item->rta_type == IFA_ADDRESS && event->address.size == 0)) && (size == 4 || size == 16)) {
      event->address.size = (uint8_t)size;
      memcpy(event->address.bytes, RTA_DATA(item), size);
    }
  }
  return event->address.size != 0;
}

static int take_route(const struct nlmsghdr *head, linux_network_event *event) {
  if (head->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg))) return 0;
  const struct rtmsg *body = NLMSG_DATA(head);
  // Routes to one host are made for each peer's path MTU; those of the kernel come with an address.
  int is_cache = (body->rtm_flags & RTM_F_CLONED) != 0;
  if (body->rtm_type != RTN_UNICAST || is_cache || body->rtm_protocol == RTPROT_KERNEL) return 0;
  event->kind = head->nlmsg_type == RTM_NEWROUTE ? LINUX_ROUTE_ADDED : LINUX_ROUTE_REMOVED;
  return 1;
}

static int take_link(const struct nlmsghdr *head, linux_network_event *event) {
  if (head->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg))) return 0;
  const struct ifinfomsg *body = NLMSG_DATA(head);
  enum { lower_up = 1 << 16 }; // IFF_LOWER_UP, which <net/if.h> lacks
  if ((body->ifi_flags & IFF_LOOPBACK) != 0) return 0;
  event->link = body->ifi_index;
  if (head->nlmsg_type == RTM_NEWLINK && (body->ifi_flags & lower_up) != 0) {
    event->kind = LINUX_LINK_UP;
    return (body->ifi_change & (lower_up | IFF_UP | IFF_RUNNING)) != 0;
  }
  event->kind = LINUX_LINK_DOWN;
  return 1;
}

int linux_netlink_read(int fd, linux_network_event *events, int limit) {
  // Aligned as the kernel's messages are.
  union {
    struct nlmsghdr head;
    char bytes[8192];
  } buffer;
  int count = 0;
  // A message gives one event at most, and the smallest has 16 bytes: what does not fit is left in the socket.
  while (limit - count >= (int)(sizeof buffer / sizeof(struct nlmsghdr))) {
    ssize_t got;
    do got = recv(fd, &buffer, sizeof buffer, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
      if (errno != ENOBUFS) break;
      // More happened than the socket could hold: nobody knows what.
      events[count++] = (linux_network_event){.kind = LINUX_NETWORK_UNKNOWN};
      continue;
    }
    int left = (int)got;
    for (const struct nlmsghdr *head = &buffer.head; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
      linux_network_event event = {.was_there = (head->nlmsg_flags & NLM_F_MULTI) != 0};
      int taken = 0;
      switch (head->nlmsg_type) {
        case RTM_NEWADDR:
        case RTM_DELADDR: taken = take_address(head, &event); break;
        case RTM_NEWROUTE:
        case RTM_DELROUTE: taken = take_route(head, &event); break;
        case RTM_NEWLINK:
        case RTM_DELLINK: taken = take_link(head, &event); break;
        default: break;
      }
      if (taken) events[count++] = event;
    }
  }
  return count;
}
