/* All nodes of many pairs, which ask one voting witness: the load of tests/benches/witness, which compiles and runs this.
 *
 *   witness PORT PAIRS keys DIRECTORY     writes a key file for each pair
 *   witness PORT PAIRS ask SECONDS        greets, one question of each node at once, then as many as are answered, then at rest
 *   witness PORT PAIRS noise SECONDS      what is no question, and questions under keys that nobody has, as fast as it can
 *
 * Written from firmware-notes/protocol.md, section 12, and not from the code. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUESTION = 77, REPLY = 72, BATCH = 64, WINDOW = 512 };

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND                                                                                                    \
    v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32), v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2, v0 += v3,   \
        v3 = ROTL(v3, 21), v3 ^= v0, v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32)

/* SipHash-2-4 with 8 or 16 bytes of result, on a little-endian machine. */
static void sip(const uint8_t key[16], const uint8_t *in, size_t length, uint8_t *out, int wide) {
    uint64_t k0, k1, m, tail = (uint64_t)length << 56;
    memcpy(&k0, key, 8), memcpy(&k1, key + 8, 8);
    uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d, v2 = k0 ^ 0x6c7967656e657261,
             v3 = k1 ^ 0x7465646279746573;
    if (wide) v1 ^= 0xee;
    size_t whole = length / 8;
    for (size_t i = 0; i < whole; i++) {
        memcpy(&m, in + 8 * i, 8);
        v3 ^= m; ROUND; ROUND; v0 ^= m;
    }
    memcpy(&tail, in + 8 * whole, length % 8);
    v3 ^= tail; ROUND; ROUND; v0 ^= tail;
    v2 ^= wide ? 0xee : 0xff;
    ROUND; ROUND; ROUND; ROUND;
    m = v0 ^ v1 ^ v2 ^ v3;
    memcpy(out, &m, 8);
    if (!wide) return;
    v1 ^= 0xdd;
    ROUND; ROUND; ROUND; ROUND;
    m = v0 ^ v1 ^ v2 ^ v3;
    memcpy(out + 8, &m, 8);
}

struct node {
    uint8_t name[16], key[16];
    uint64_t echo, confirmed;
    uint32_t number, answered;
    uint8_t side;
};

static struct node *nodes;
static size_t count;
static int fd;
static uint64_t counted;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void secret_of(size_t pair, uint8_t secret[16]) {
    uint64_t number = pair + 1;
    memcpy(secret, &number, 8);
    memset(secret + 8, 0x5a, 8);
}

static void write_keys(size_t pairs, const char *directory) {
    for (size_t pair = 0; pair < pairs; pair++) {
        char path[4096], text[64];
        uint8_t secret[16];
        secret_of(pair, secret);
        int at = sprintf(text, "0 ");
        for (int i = 0; i < 16; i++) at += sprintf(text + at, "%02x", secret[i]);
        text[at++] = '\n';
        snprintf(path, sizeof path, "%s/pair%06zu", directory, pair);
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (file < 0 || write(file, text, at) != at) perror(path), exit(1);
        close(file);
    }
}

static void make_nodes(size_t pairs) {
    count = 2 * pairs;
    nodes = calloc(count, sizeof *nodes);
    for (size_t i = 0; i < count; i++) {
        uint8_t secret[16];
        secret_of(i / 2, secret);
        nodes[i].side = i % 2;
        sip(secret, (const uint8_t *)"name", 4, nodes[i].name, 1);
        sip(secret, (const uint8_t *)(i % 2 ? "node b" : "node a"), 6, nodes[i].key, 1);
    }
}

/* The next question of a node, which claims the first group if `claims`. */
static void question(size_t index, uint8_t *out, int claims) {
    struct node *node = &nodes[index];
    uint64_t run = index + 1;
    uint16_t length_ms = 1500;
    memset(out, 0, QUESTION);
    out[0] = 0x11;
    memcpy(out + 1, node->name, 8);
    out[9] = node->side;
    memcpy(out + 10, &run, 8);
    memcpy(out + 18, &node->echo, 8);
    node->number++;
    memcpy(out + 26, &node->number, 4);
    memcpy(out + 30, &node->confirmed, 8);
    memcpy(out + 38, &length_ms, 2);
    out[40] = 3;
    out[41] = claims && !node->side;
    sip(node->key, out, QUESTION - 8, out + QUESTION - 8, 0);
}

static void hear(const uint8_t *reply, size_t length) {
    uint64_t run;
    if (length != REPLY || reply[0] != 0x12) return;
    memcpy(&run, reply + 10, 8);
    if (run == 0 || run > count) return;
    struct node *node = &nodes[run - 1];
    memcpy(&node->answered, reply + 18, 4);
    memcpy(&node->echo, reply + 30, 8);
    memcpy(&node->confirmed, reply + 38, 8);
    counted += reply[46] & 1;
}

static int hear_all(void) {
    static uint8_t room[BATCH][128];
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    int all = 0, got;
    do {
        memset(headers, 0, sizeof headers);
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){room[i], sizeof room[i]};
            headers[i].msg_hdr.msg_iov = &parts[i], headers[i].msg_hdr.msg_iovlen = 1;
        }
        got = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) hear(room[i], headers[i].msg_len);
        if (got > 0) all += got;
    } while (got == BATCH);
    return all;
}

/* Sends questions of these nodes with one system call. */
static void ask_some(const size_t *which, int some, int claims) {
    static uint8_t room[BATCH][QUESTION];
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < some; i++) {
        question(which[i], room[i], claims);
        parts[i] = (struct iovec){room[i], QUESTION};
        headers[i].msg_hdr.msg_iov = &parts[i], headers[i].msg_hdr.msg_iovlen = 1;
    }
    for (int sent = 0; sent < some;) {
        int more = sendmmsg(fd, headers + sent, some - sent, 0);
        if (more < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED) perror("sendmmsg"), exit(1);
        if (more < 0) hear_all();
        else sent += more;
    }
}

static void wait_ms(int ms) {
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, ms);
}

/* Every node that has no session asks, until all have one. */
static void greet(void) {
    double began = now();
    for (size_t left = count; left;) {
        size_t which[BATCH];
        int some = 0;
        left = 0;
        for (size_t i = 0; i < count; i++) {
            if (nodes[i].echo) continue;
            left++;
            which[some++] = i;
            if (some == BATCH) ask_some(which, some, 0), some = 0, hear_all();
        }
        if (some) ask_some(which, some, 0);
        for (double end = now() + 0.06; now() < end; hear_all()) wait_ms(5);
    }
    printf("%zu first questions: all answered after %.2f s\n", count, now() - began);
}

static void burst(void) {
    uint64_t before = counted;
    size_t which[BATCH];
    double began = now();
    for (size_t i = 0; i < count;) {
        int some = 0;
        while (some < BATCH && i < count) which[some++] = i++;
        ask_some(which, some, 1);
        hear_all();
    }
    double sent = now(), last = sent;
    while (counted - before < count && now() - last < 1) {
        wait_ms(5);
        if (hear_all()) last = now();
    }
    printf("%llu answered of one question of each of %zu nodes, sent within %.0f ms: the last after %.0f ms\n",
           (unsigned long long)(counted - before), count, (sent - began) * 1e3, (last - began) * 1e3);
}

static void steady(double seconds) {
    uint64_t before = counted, asked = 0;
    size_t next = 0, which[BATCH];
    double began = now(), heard_at = began;
    while (now() < began + seconds) {
        if (asked - (counted - before) < WINDOW) {
            for (int i = 0; i < BATCH; i++) which[i] = next, next = (next + 1) % count;
            ask_some(which, BATCH, 1);
            asked += BATCH;
        }
        if (hear_all()) heard_at = now();
        /* What was lost is not waited for. */
        else if (now() - heard_at > 0.2) asked = counted - before, heard_at = now();
    }
    printf("%llu answered, as many as can be: %.0f a second\n", (unsigned long long)(counted - before),
           (counted - before) / (now() - began));
}

static void rest(double seconds) {
    /* What was asked before is not counted here. */
    for (double end = now() + 0.5; now() < end; hear_all()) wait_ms(10);
    uint64_t before = counted, asked = 0;
    double began = now(), a_second = count / 1.0;
    size_t next = 0;
    while (now() < began + seconds) {
        double due = (now() - began) * a_second;
        size_t which[BATCH];
        int some = 0;
        while (asked + some < due && some < BATCH) which[some++] = next, next = (next + 1) % count;
        if (some) ask_some(which, some, 0), asked += some;
        else wait_ms(1);
        hear_all();
    }
    for (double end = now() + 1; now() < end; hear_all()) wait_ms(10);
    printf("%llu answered of %llu, every node each second\n", (unsigned long long)(counted - before),
           (unsigned long long)asked);
}

static void noise(double seconds) {
    static uint8_t room[2][BATCH][QUESTION];
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    uint64_t sent = 0;
    for (int i = 0; i < BATCH; i++) memset(room[0][i], i, QUESTION), memset(room[1][i], i, QUESTION), room[1][i][0] = 0x11;
    for (double end = now() + seconds; now() < end;) {
        memset(headers, 0, sizeof headers);
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){room[sent / BATCH % 2][i], QUESTION};
            headers[i].msg_hdr.msg_iov = &parts[i], headers[i].msg_hdr.msg_iovlen = 1;
        }
        int more = sendmmsg(fd, headers, BATCH, 0);
        if (more > 0) sent += more;
    }
    printf("noise: %.0f datagrams a second\n", sent / seconds);
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    size_t pairs = strtoul(argv[2], NULL, 10);
    if (!strcmp(argv[3], "keys")) return write_keys(pairs, argv[4]), 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int room = 64 << 20;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    double seconds = atof(argv[4]);
    if (!strcmp(argv[3], "noise")) return noise(seconds), 0;
    make_nodes(pairs);
    /* The program that measures says when each part begins, and reads what the witness has used. */
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "greet", 5)) greet();
        else if (!strncmp(line, "burst", 5)) burst();
        else if (!strncmp(line, "steady", 6)) steady(seconds);
        else if (!strncmp(line, "rest", 4)) rest(seconds);
    }
    return 0;
}
