// The load client: one thread, one epoll. Far cheaper than any server it drives, so that what it
// prints is the server's figure. Compiled on demand by lib/loader.ts; load/load.ts is the fallback
// and takes the same arguments. One line of JSON on standard output.
//
//   load MODE --port P [--connections N] [--depth D] [--size S] [--text] [--raw] [--batch K]
//        [--warmup s] [--seconds s] [--pid SERVER]
//
//   echo        opens N connections, then keeps D frames in flight on each of them
//   broadcast   connection 0 asks for K messages to all N, again when all have arrived
//   handshakes  N at a time: connect, upgrade, close frame, close frame back
//   rate        N connections, one message each per second
//   idle        opens N connections and lets them be
//
// --raw: the server is a bare TCP echo: no handshake, frames come back as they went.
// --pid: adds the server's CPU seconds in the window, and its RSS before and after.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "frames.h"
#include "figures.h"
#include "connection.h"

enum { READ_SIZE = 256 << 10, MAX_OPENING = 64 };
static uint64_t messages, bytes, outstanding, trigger_at;
static const unsigned char close_frame[8] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};

static void trigger(void) {
  outstanding = (uint64_t)batch * connections;
  trigger_at = now();
  send_frames(&conns[0], 1);
}

static void on_open(conn *c) {
  c->state = OPEN;
  opened++;
  if (c->want_write) watch(c, EPOLL_CTL_MOD, 0);
  // Not before all are open: the first ones would be all that a busy server gets to.
  if (mode == ECHO && opened == connections)
    for (int i = 0; i < connections; i++) send_frames(&conns[i], depth);
  if (mode == HANDSHAKES && write(c->fd, close_frame, 8) != 8) fail("write", c);
  if (mode == BROADCAST && opened == connections) trigger();
}

static void on_frames(conn *c, int count) {
  messages += count;
  if (mode == ECHO) {
    if (depth == 1) sample(c->sent_at);
    send_frames(c, count);
  } else if (mode == BROADCAST && (outstanding -= count) == 0) {
    sample(trigger_at);
    trigger();
  }
}

// Every header is compared byte by byte; the payload of each connection's first frame as well.
static void on_bytes(conn *c, const unsigned char *p, size_t n) {
  int complete = 0;
  if (mode == IDLE) return;
  if (mode == HANDSHAKES) {
    if (n && p[0] != 0x88) fail("no close frame in answer to ours", c);
    if (!n) return;
    messages++, opened--;
    reset_connection(c);
    open_connection(c);
    return;
  }
  bytes += n;
  while (n) {
    // A server's keepalive may ping a connection that had to wait long for its turn; its next bytes are answer enough.
    if (!c->skip && !c->pos && !raw && p[0] == 0x89) {
      errno = 0;
      if (n < 2) fail("a ping in two pieces", c);
      c->skip = 2 + p[1];
    }
    if (c->skip) {
      size_t gone = c->skip < n ? c->skip : n;
      p += gone, n -= gone, c->skip -= gone;
      continue;
    }
    size_t checked = c->frames ? expected_header : expected_len;
    size_t take = expected_len - c->pos;
    if (take > n) take = n;
    if (c->pos < checked) {
      size_t m = checked - c->pos < take ? checked - c->pos : take;
      errno = 0;
      if (memcmp(p, expected + c->pos, m)) fail("an echoed frame is not what was sent", c);
    }
    p += take, n -= take, c->pos += take;
    if (c->pos == expected_len) c->pos = 0, c->frames++, complete++;
  }
  if (complete) on_frames(c, complete);
}

static void on_answer(conn *c, const char *p, size_t n) {
  if (raw) {
    on_open(c);
    return;
  }
  size_t room = sizeof c->answer - 1 - c->head, take = n < room ? n : room;
  memcpy(c->answer + c->head, p, take);
  c->answer[c->head += take] = 0;
  char *end = strstr(c->answer, "\r\n\r\n");
  errno = 0;
  if (!end && take < n) fail("the answer's head is too long", c);
  if (!end) return;
  if (strncmp(c->answer, "HTTP/1.1 101", 12)) fail("no 101", c);
  if (!strstr(c->answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) fail("wrong accept key", c);
  size_t used = end + 4 - c->answer - (c->head - take);
  on_open(c);
  on_bytes(c, (const unsigned char *)p + used, n - used);
}

static void on_writable(conn *c) {
  if (c->state == OPEN) {
    flush_owed(c);
  } else if (c->state == CONNECTING) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if ((errno = error)) fail("connect", c);
    // Without a handshake, one echoed byte shows that the server has accepted the connection, not only the kernel.
    size_t n = raw ? 1 : request_len;
    if (write(c->fd, request, n) != (ssize_t)n) fail("write", c);
    c->state = UPGRADING;
    watch(c, EPOLL_CTL_MOD, 0);
  }
}

static void poll_once(int timeout) {
  static char buffer[READ_SIZE];
  static struct epoll_event events[1024];
  int n = epoll_wait(epfd, events, 1024, timeout);
  for (int i = 0; i < n; i++) {
    conn *c = events[i].data.ptr;
    if (events[i].events & EPOLLOUT) on_writable(c);
    if (!(events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) continue;
    ssize_t got = read(c->fd, buffer, READ_SIZE);
    if (got < 0 && errno == EAGAIN) continue;
    if (got < 0) fail("read", c);
    errno = 0;
    if (got == 0) fail("the server closed the connection", c);
    if (c->state == UPGRADING) on_answer(c, buffer, got);
    else on_bytes(c, (unsigned char *)buffer, got);
  }
}

static void open_all(void) {
  uint64_t limit = now() + 60000000000ull;
  for (int next = 0; opened < connections;) {
    while (next < connections && next - opened < MAX_OPENING) {
      conns[next].index = next;
      open_connection(&conns[next++]);
    }
    poll_once(100);
    if (mode == HANDSHAKES && next == connections) return;
    errno = ETIMEDOUT;
    if (now() > limit) fail("opening the connections", NULL);
  }
}

static void run_for(double seconds) {
  static uint64_t sent, rate_start;
  uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
  if (!rate_start) rate_start = start;
  for (uint64_t t = start; t < end; t = now()) {
    if (mode == RATE) {
      uint64_t due = (uint64_t)((t - rate_start) / 1e9 * connections);
      for (; sent < due; sent++) send_frames(&conns[sent % connections], 1);
    }
    poll_once(mode == RATE ? 1 : 20);
  }
}

int main(int argc, char **argv) {
  struct rlimit files;
  parse(argc, argv);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  conns = calloc(connections, sizeof *conns);
  samples = malloc(MAX_SAMPLES * sizeof *samples);
  epfd = epoll_create1(0);
  build_frames();
  build_request();
  double rss_before = server_rss();
  open_all();
  run_for(warmup);
  uint64_t m = messages, b = bytes, start = now();
  double cpu = server_cpu();
  clock_t own = clock();
  started = 1;
  run_for(window);
  double seconds = (now() - start) / 1e9;
  cpu = server_cpu() - cpu;
  double own_cpu = (double)(clock() - own) / CLOCKS_PER_SEC;
  qsort(samples, sample_count, sizeof *samples, compare_samples);
  printf("{\"messages\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"p50\":%.2f,\"p99\":%.2f,\"cpu\":%.2f,"
         "\"loadCpu\":%.2f,\"rssBefore\":%.0f,\"rssAfter\":%.0f}\n",
         messages - m, bytes - b, seconds, percentile(0.5), percentile(0.99), cpu, own_cpu, rss_before,
         server_rss());
  return 0;
}
