// The bytes that are sent and those expected back, built once.

static char *block;             // depth + 1 prebuilt masked frames
static size_t frame_len;        // of one of them
static unsigned char *expected; // the frame that should come back
static size_t expected_header, expected_len;
static char request[1024];
static size_t request_len;

static size_t header(unsigned char *out, int masked) {
  size_t n = 2;
  out[0] = text ? 0x81 : 0x82;
  out[1] = masked ? 0x80 : 0;
  if (size < 126) {
    out[1] |= size;
  } else if (size < 65536) {
    out[1] |= 126;
    out[2] = size >> 8, out[3] = size, n = 4;
  } else {
    out[1] |= 127;
    for (int i = 0; i < 8; i++) out[2 + i] = (uint64_t)size >> (56 - 8 * i);
    n = 10;
  }
  return n;
}

static void build_frames(void) {
  static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
  unsigned char *frame = malloc(size + 14), *plain = malloc(size + 14);
  size_t h = header(frame, 1);
  memcpy(frame + h, key, 4), h += 4;
  expected_header = header(plain, 0);
  for (size_t i = 0; i < size; i++) {
    int byte = i == 0 ? batch : 'a' + (int)(i % 26);
    plain[expected_header + i] = byte;
    frame[h + i] = byte ^ key[i & 3];
  }
  frame_len = h + size;
  expected = raw ? frame : plain;
  if (raw) expected_header = h;
  expected_len = expected_header + size;
  block = malloc(frame_len * (depth + 1));
  for (int i = 0; i <= depth; i++) memcpy(block + i * frame_len, frame, frame_len);
}

// About what a browser sends, so that head buffers are not flattered.
static void build_request(void) {
  request_len = snprintf(
      request, sizeof request,
      "GET /chat?room=bench HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
      "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
      "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n"
      "Upgrade: websocket\r\nOrigin: http://127.0.0.1:%d\r\nSec-WebSocket-Version: 13\r\n"
      "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"
      "Cookie: session=0123456789abcdef0123456789abcdef\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      port, port);
}
