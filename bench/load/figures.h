// The clock, the latency samples, and the server process' own counters.

static int started; // the window has begun
static uint32_t *samples;
static size_t sample_count;
enum { MAX_SAMPLES = 8 << 20 };

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sample(uint64_t since) {
  if (started && sample_count < MAX_SAMPLES) samples[sample_count++] = (uint32_t)(now() - since);
}

static int compare_samples(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile(double p) {
  return sample_count ? samples[(size_t)(p * (sample_count - 1))] / 1000.0 : -1;
}

static double server_cpu(void) {
  char path[64], line[1024];
  unsigned long user, sys;
  snprintf(path, sizeof path, "/proc/%d/stat", server_pid);
  FILE *f = server_pid ? fopen(path, "r") : NULL;
  if (!f) return 0;
  char *ok = fgets(line, sizeof line, f);
  fclose(f);
  if (!ok || !(ok = strrchr(line, ')'))) return 0;
  if (sscanf(ok + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
    return 0;
  return (double)(user + sys) / sysconf(_SC_CLK_TCK);
}

static double server_rss(void) {
  char path[64], line[256];
  double kib = 0;
  snprintf(path, sizeof path, "/proc/%d/status", server_pid);
  FILE *f = server_pid ? fopen(path, "r") : NULL;
  if (!f) return 0;
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %lf", &kib) == 1) break;
  fclose(f);
  return kib * 1024;
}
