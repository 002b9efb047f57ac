/* Preloaded into a process whose wall clock shall be wrong: INSULA_CLOCK_FILE holds by how many seconds, as a
   64-bit number that another process may change at any time. The monotonic clocks stay as they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const long long* shift;

__attribute__((constructor)) static void load(void) {
    const char* file = getenv("INSULA_CLOCK_FILE");
    const int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void* shared = mmap(NULL, sizeof(long long), PROT_READ, MAP_SHARED, fd, 0);
        shift = shared == MAP_FAILED ? NULL : shared;
        close(fd);
    }
}

static long long seconds_off(void) {
    return shift != NULL ? __atomic_load_n(shift, __ATOMIC_RELAXED) : 0;
}

int clock_gettime(clockid_t id, struct timespec* at) {
    const long result = syscall(SYS_clock_gettime, id, at);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += seconds_off();
    }
    return (int)result;
}

int gettimeofday(struct timeval* restrict at, void* restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL) {
        *at = now.tv_sec;
    }
    return now.tv_sec;
}
