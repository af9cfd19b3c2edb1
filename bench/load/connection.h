// A connection of the load: opened, written to as far as the kernel takes it, reset.

typedef struct {
  int fd, index;
  enum { CONNECTING, UPGRADING, OPEN } state;
  int want_write;
  size_t head;      // bytes of the handshake's answer seen so far
  size_t pos;       // offset in the frame being received
  size_t skip;      // bytes of a ping still to be ignored
  uint64_t frames;  // complete frames received
  size_t owed;      // bytes that may be written now
  size_t sent_off;  // offset in the frame being sent
  uint64_t sent_at; // ns
  char answer[1024];
} conn;

static conn *conns;
static int epfd, opened;

static void fail(const char *what, conn *c) {
  fprintf(stderr, "load: %s (connection %d of %d, %d open): %s\n", what, c ? c->index : -1,
          connections, opened, errno ? strerror(errno) : "-");
  exit(1);
}

static void watch(conn *c, int op, int want_write) {
  struct epoll_event e = {.events = EPOLLIN | (want_write ? EPOLLOUT : 0), .data.ptr = c};
  c->want_write = want_write;
  if (epoll_ctl(epfd, op, c->fd, &e)) fail("epoll_ctl", c);
}

static void open_connection(conn *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in from = {.sin_family = AF_INET};
  int one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // A source address has some 28,000 ports; many connections take several of them.
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->index / 10000);
  c->state = CONNECTING;
  c->head = c->pos = c->owed = c->sent_off = c->skip = c->frames = 0;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("socket", c);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) fail("bind", c);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect", c);
  watch(c, EPOLL_CTL_ADD, 1);
}

// Reset, not shut down: the WebSocket is closed already and TIME_WAIT would use up the ports.
static void reset_connection(conn *c) {
  struct linger l = {.l_onoff = 1, .l_linger = 0};
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(c->fd);
}

static void flush_owed(conn *c) {
  while (c->owed) {
    ssize_t n = write(c->fd, block + c->sent_off, c->owed);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) fail("write", c);
    c->owed -= n;
    c->sent_off = (c->sent_off + n) % frame_len;
  }
  if ((c->owed > 0) != c->want_write) watch(c, EPOLL_CTL_MOD, c->owed > 0);
}

static void send_frames(conn *c, int count) {
  c->owed += count * frame_len;
  if (depth == 1) c->sent_at = now();
  flush_owed(c);
}
