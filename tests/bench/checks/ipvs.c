/*
 * Preloaded into a daemon that runs on a kernel without IPVS: the daemon believes that there is one, and that all it asks
 * for is done. Its requests go to another generic netlink family whose name is as long, which refuses them; the refusals
 * are turned into consent on the way back. Who asks for the whole table is refused in earnest: an empty one would say that
 * all is gone. Nothing else changes, so that what checks cost can be measured on this very kernel and with its clocks. A
 * guest that has IPVS counts processor time by ticks.
 *
 * When a real server is changed (IPVS_CMD_SET_DEST), the time (CLOCK_MONOTONIC, nanoseconds) goes into the file that the
 * environment names CHANGES.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 65536, SET_DEST = 6 };

static char generic[FILES];

static int is_generic(int fd) { return fd >= 0 && fd < FILES && generic[fd]; }

static void rename_family(void *octets, size_t len, const char *from, const char *to) {
    char *found = memmem(octets, len, from, 5);
    if (found)
        memcpy(found, to, 5);
}

static void note(const void *octets, size_t len) {
    int left = (int)len;
    for (const struct nlmsghdr *h = octets; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        const struct genlmsghdr *asked = NLMSG_DATA(h);
        if (h->nlmsg_type <= GENL_ID_CTRL || asked->cmd != SET_DEST)
            continue;
        const char *name = getenv("CHANGES");
        int file = name ? open(name, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
        if (file < 0)
            return;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        dprintf(file, "%lld\n", now.tv_sec * 1000000000ll + now.tv_nsec);
        close(file);
    }
}

static void consent(struct nlmsgerr *refusal) {
    if ((refusal->msg.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        refusal->error = 0;
}

int socket(int domain, int type, int protocol) {
    static int (*real)(int, int, int);
    if (!real)
        real = dlsym(RTLD_NEXT, "socket");
    int fd = real(domain, type, protocol);
    if (fd >= 0 && fd < FILES)
        generic[fd] = domain == AF_NETLINK && protocol == NETLINK_GENERIC;
    return fd;
}

ssize_t sendto(int fd, const void *octets, size_t len, int flags, const struct sockaddr *to, socklen_t to_len) {
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "sendto");
    if (is_generic(fd)) {
        rename_family((void *)octets, len, "IPVS", "SEG6");
        note(octets, len);
    }
    return real(fd, octets, len, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real)
        real = dlsym(RTLD_NEXT, "sendmsg");
    if (is_generic(fd) && message->msg_iovlen) {
        rename_family(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, "IPVS", "SEG6");
        note(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    }
    return real(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    static ssize_t (*real)(int, struct msghdr *, int);
    if (!real)
        real = dlsym(RTLD_NEXT, "recvmsg");
    ssize_t came = real(fd, message, flags);
    if (came <= 0 || !is_generic(fd) || !message->msg_iovlen)
        return came;
    void *octets = message->msg_iov[0].iov_base;
    size_t room = message->msg_iov[0].iov_len;
    int left = (int)((size_t)came < room ? (size_t)came : room);
    rename_family(octets, left, "SEG6", "IPVS");
    for (struct nlmsghdr *h = octets; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
        if (h->nlmsg_type == NLMSG_ERROR)
            consent(NLMSG_DATA(h));
    return came;
}
