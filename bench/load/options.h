// What the command line asks for.

enum { ECHO, BROADCAST, HANDSHAKES, RATE, IDLE };
static const char *mode_names[] = {"echo", "broadcast", "handshakes", "rate", "idle"};
static int mode = ECHO, port, connections = 1, depth = 1, text, raw, batch = 1, server_pid;
static size_t size = 64;
static double warmup = 0.5, window = 1.5;

static void usage(const char *argument) {
  fprintf(stderr, "load: unknown or incomplete argument %s\n", argument);
  exit(2);
}

static void parse(int argc, char **argv) {
  for (int i = 0; argc > 1 && i < 5; i++)
    if (!strcmp(argv[1], mode_names[i])) mode = i;
  for (int i = 2; i < argc; i++) {
    char *a = argv[i];
    if (!strcmp(a, "--text")) text = 1;
    else if (!strcmp(a, "--raw")) raw = 1;
    else if (i + 1 == argc) usage(a);
    else if (!strcmp(a, "--port")) port = atoi(argv[++i]);
    else if (!strcmp(a, "--connections")) connections = atoi(argv[++i]);
    else if (!strcmp(a, "--depth")) depth = atoi(argv[++i]);
    else if (!strcmp(a, "--size")) size = atol(argv[++i]);
    else if (!strcmp(a, "--batch")) batch = atoi(argv[++i]);
    else if (!strcmp(a, "--warmup")) warmup = atof(argv[++i]);
    else if (!strcmp(a, "--seconds")) window = atof(argv[++i]);
    else if (!strcmp(a, "--pid")) server_pid = atoi(argv[++i]);
    else usage(a);
  }
}
