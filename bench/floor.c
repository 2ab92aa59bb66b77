// The least a QMP client can cost: one blocking socket, no parser, no allocation.
//
//   floor SOCKET COUNT COMMAND
//
// Sends COMMAND (one line of JSON) COUNT times, each after the answer to the one before, and prints
// the microseconds of each round trip, one per line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char answer[1 << 16];

// Reads up to the line end of one answer. Events would be counted as answers: ask a VM that sends none.
static void read_line(int monitor) {
  ssize_t length = 0;
  do {
    ssize_t count = read(monitor, answer + length, sizeof answer - length);
    if (count <= 0) exit(1);
    length += count;
  } while (answer[length - 1] != '\n' && length < (ssize_t)sizeof answer);
}

static void send_line(int monitor, const char *line) {
  if (write(monitor, line, strlen(line)) < 0) exit(1);
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  int monitor = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(monitor, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  read_line(monitor);
  send_line(monitor, "{\"execute\":\"qmp_capabilities\"}\n");
  read_line(monitor);
  for (int left = atoi(argv[2]); left > 0; left--) {
    double start = now_us();
    send_line(monitor, argv[3]);
    read_line(monitor);
    printf("%.3f\n", now_us() - start);
  }
  return 0;
}
