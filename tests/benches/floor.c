/* What the kernel alone charges for a node's beats: the same system calls as a running pair at rest, and nothing else.
 *
 *    floor CABLE OWN_ADDRESS PEER_ADDRESS SECONDS
 *
 * Two processes, as guard and agent. Ten times a second one writes 59 bytes to the cable, sends 56 to the peer and 67 to the
 * other, which reads and answers; what the peer sends it reads when the LAN or its own beat wakes it. Started by tests/benches/router. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_BOOTTIME, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static struct sockaddr_in address(const char *text) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(6940)};
    inet_pton(AF_INET, text, &at.sin_addr);
    return at;
}

static void as_guard(int end, long long until) {
    char room[600];
    struct pollfd wait = {end, POLLIN, 0};
    while (now_us() < until) {
        if (poll(&wait, 1, 150) > 0 && read(end, room, sizeof room) > 0) {
            send(end, room, 3, MSG_DONTWAIT);
        }
    }
}

static void as_agent(int cable, int lan, int guard, long long until) {
    char room[600] = {0};
    struct pollfd wait_for = {lan, POLLIN, 0};
    long long beat = now_us();
    while (beat < until) {
        long long wait = beat - now_us();
        struct timespec timeout = {0, wait > 0 ? wait * 1000 : 0};
        if (wait > 0 && ppoll(&wait_for, 1, &timeout, NULL) > 0) {
            read(cable, room, sizeof room);
            recv(lan, room, sizeof room, MSG_DONTWAIT);
            continue;
        }
        read(cable, room, sizeof room);
        memset(room, 1, 67);
        write(cable, room, 59);
        send(lan, room, 56, MSG_DONTWAIT | MSG_NOSIGNAL);
        recv(guard, room, 64, MSG_DONTWAIT);
        send(guard, room, 67, MSG_DONTWAIT | MSG_NOSIGNAL);
        beat += 100000;
    }
}

int main(int count, char **words) {
    if (count != 5) return 2;
    struct sockaddr_in own = address(words[2]), peer = address(words[3]);
    int cable = open(words[1], O_RDWR | O_NOCTTY | O_NONBLOCK), lan = socket(AF_INET, SOCK_DGRAM, 0), ends[2];
    if (cable < 0 || bind(lan, (void *)&own, sizeof own) || connect(lan, (void *)&peer, sizeof peer)) return 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)) return 1;
    long long until = now_us() + atoll(words[4]) * 1000000;
    if (fork() == 0) {
        as_agent(cable, lan, ends[1], until);
        return 0;
    }
    as_guard(ends[0], until);
    return 0;
}
