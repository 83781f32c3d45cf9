// The functions of CUDA and NCCL that the transport uses, over memory of the host, for tests without a GPU.
//
// A stream does its work in order and only while somebody asks how it is doing; an operation of NCCL reaches its
// stream only after its communicator was asked for an error once, as with the real library's non-blocking ones.
// Communicators of several processes meet in a file whose path is the unique id. An abort is local: peers hang.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS, UNHANDLED_CUDA, SYSTEM, INTERNAL, INVALID_ARGUMENT, INVALID_USAGE, REMOTE, IN_PROGRESS };
enum { NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_READY = 600 };
enum { MAX_RANKS = 8, RING = 1 << 18, MAX_NAMES = 64 };

typedef struct { char internal[128]; } UniqueId;
typedef struct {
  size_t size; unsigned magic, version; int blocking, cga, min_ctas, max_ctas; const char *net; int split;
} Config;
typedef struct { _Atomic uint64_t head, tails[MAX_RANKS]; char bytes[RING]; } Ring;
typedef struct { _Atomic int arrived; Ring rings[MAX_RANKS]; } Shared;
typedef struct Communicator {
  int rank, num_ranks, is_ready, error; Shared *shared; struct Op *deferred; struct Communicator **handle;
} Communicator;
typedef enum { SEND, RECEIVE, BROADCAST, COPY, EVENT } Kind;
typedef struct Op {
  Kind kind; Communicator *communicator; char *target; const char *source; size_t num_bytes, done; int peer;
  _Atomic int *event; struct Stream *stream; struct Op *next;
} Op;
typedef struct Stream { Op *first; } Stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char name[48]; int calls, live, code, left; } names[MAX_NAMES];
static _Atomic int stalled, stuck;
static _Thread_local int device = -1, depth;
static _Thread_local Op *group_first, **group_last;
static _Thread_local Communicator *group_communicator;

static int slot(const char *name) {
  for (int i = 0; i < MAX_NAMES; i++) {
    if (!names[i].name[0]) { strncpy(names[i].name, name, sizeof names[i].name - 1); names[i].left = -1; }
    if (!strcmp(names[i].name, name)) return i;
  }
  abort();
}

// Counts a call; what it must fail with, if a test asked for that.
static int called(const char *name) {
  pthread_mutex_lock(&lock);
  int i = slot(name);
  names[i].calls++;
  int code = names[i].left == 0 ? names[i].code : 0;
  if (names[i].left >= 0) names[i].left--;
  pthread_mutex_unlock(&lock);
  return code;
}

static void alive(const char *what, int change) {
  pthread_mutex_lock(&lock); names[slot(what)].live += change; pthread_mutex_unlock(&lock);
}

#define CALLED(name) do { int code_ = called(name); if (code_) return code_; } while (0)
#define ON_DEVICE(name) do { CALLED(name); if (device < 0) return INVALID_DEVICE; } while (0)

// What tests say and ask.
void fake_fail(const char *name, int code, int after) {
  pthread_mutex_lock(&lock); names[slot(name)].code = code; names[slot(name)].left = after; pthread_mutex_unlock(&lock);
}
int fake_calls(const char *name) { pthread_mutex_lock(&lock); int n = names[slot(name)].calls; pthread_mutex_unlock(&lock); return n; }
int fake_live(const char *what) { pthread_mutex_lock(&lock); int n = names[slot(what)].live; pthread_mutex_unlock(&lock); return n; }
void fake_stall(int is_stalled) { stalled = is_stalled; }
void fake_stick(int is_stuck) { stuck = is_stuck; }

// Of what this process may put into rings: FAKE_NCCL_BYTES_PER_S, if that is set.
static size_t may_put(void) {
  static struct timespec before;
  const char *said = getenv("FAKE_NCCL_BYTES_PER_S");
  if (!said) return SIZE_MAX;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double since_s = now.tv_sec - before.tv_sec + (now.tv_nsec - before.tv_nsec) / 1e9;
  size_t n = (since_s < 0.1 ? since_s : 0.1) * atof(said);
  if (n) before = now;
  return n;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void put(Op *op, Ring *ring, int first, int last) {
  uint64_t head = ring->head, behind = head;
  for (int i = first; i <= last; i++)
    if (i != op->communicator->rank && ring->tails[i] < behind) behind = ring->tails[i];
  size_t n = least(least(op->num_bytes - op->done, RING - (head - behind)), may_put());
  for (size_t i = 0; i < n;) {
    size_t at = (head + i) % RING, m = least(n - i, RING - at);
    memcpy(ring->bytes + at, op->source + op->done + i, m); i += m;
  }
  ring->head = head + n; op->done += n;
}

static void get(Op *op, Ring *ring) {
  uint64_t tail = ring->tails[op->communicator->rank];
  size_t n = least(op->num_bytes - op->done, ring->head - tail);
  for (size_t i = 0; i < n;) {
    size_t at = (tail + i) % RING, m = least(n - i, RING - at);
    memcpy(op->target + op->done + i, ring->bytes + at, m); i += m;
  }
  ring->tails[op->communicator->rank] = tail + n; op->done += n;
}

static int is_done(Op *op) {
  if (op->communicator && op->communicator->error) return !stuck;
  if (op->communicator && stalled) return 0;
  switch (op->kind) {
    case EVENT: *op->event = 1; return 1;
    case COPY: memcpy(op->target, op->source, op->num_bytes); return 1;
    case SEND: put(op, &op->communicator->shared->rings[op->communicator->rank], op->peer, op->peer); break;
    case RECEIVE: get(op, &op->communicator->shared->rings[op->peer]); break;
    case BROADCAST:
      if (op->communicator->rank == op->peer)
        put(op, &op->communicator->shared->rings[op->peer], 0, op->communicator->num_ranks - 1);
      else get(op, &op->communicator->shared->rings[op->peer]);
  }
  return op->done == op->num_bytes;
}

static void advance(Stream *stream) {
  while (stream->first && is_done(stream->first)) {
    Op *op = stream->first; stream->first = op->next; free(op);
  }
}

static void append(Stream *stream, Op *op) {
  Op **last = &stream->first;
  while (*last) last = &(*last)->next;
  *last = op;
}

static Op *new_op(Kind kind, Stream *stream) {
  Op *op = calloc(1, sizeof *op); op->kind = kind; op->stream = stream; return op;
}

int cudaRuntimeGetVersion(int *version) {
  const char *said = getenv("FAKE_CUDA_VERSION"); *version = said ? atoi(said) : 12090; return 0;
}
int cudaGetDeviceCount(int *count) {
  CALLED("cudaGetDeviceCount");
  const char *said = getenv("FAKE_CUDA_DEVICES"); *count = said ? atoi(said) : 8; return *count ? 0 : NO_DEVICE;
}
int cudaSetDevice(int ordinal) { CALLED("cudaSetDevice"); device = ordinal; return 0; }
int cudaStreamCreateWithFlags(Stream **stream, unsigned flags) {
  ON_DEVICE("cudaStreamCreateWithFlags"); if (flags != 1) return 1;
  *stream = calloc(1, sizeof **stream); alive("stream", 1); return 0;
}
int cudaStreamDestroy(Stream *stream) { CALLED("cudaStreamDestroy"); free(stream); alive("stream", -1); return 0; }
int cudaStreamQuery(Stream *stream) { CALLED("cudaStreamQuery"); advance(stream); return stream->first ? NOT_READY : 0; }
int cudaEventCreateWithFlags(_Atomic int **event, unsigned flags) {
  ON_DEVICE("cudaEventCreateWithFlags"); if (flags != 2) return 1;
  *event = calloc(1, 64); alive("event", 1); return 0;
}
// Its first int says whether it has happened; behind it lies the stream that it waits for.
int cudaEventRecord(_Atomic int *event, Stream *stream) {
  CALLED("cudaEventRecord"); *event = 0; *(Stream **)((char *)event + 8) = stream;
  Op *op = new_op(EVENT, stream); op->event = event; append(stream, op); return 0;
}
int cudaEventQuery(_Atomic int *event) {
  CALLED("cudaEventQuery"); advance(*(Stream **)((char *)event + 8)); return *event ? 0 : NOT_READY;
}
int cudaEventDestroy(_Atomic int *event) { CALLED("cudaEventDestroy"); free((void *)event); alive("event", -1); return 0; }
int cudaMemcpyAsync(char *target, const char *source, size_t num_bytes, int kind, Stream *stream) {
  CALLED("cudaMemcpyAsync"); if (kind != 4) return 1;
  Op *op = new_op(COPY, stream); op->target = target; op->source = source; op->num_bytes = num_bytes;
  append(stream, op); return 0;
}
int cudaMalloc(void **address, size_t num_bytes) { ON_DEVICE("cudaMalloc"); *address = malloc(num_bytes); alive("memory", 1); return 0; }
int cudaFree(void *address) { CALLED("cudaFree"); free(address); alive("memory", -1); return 0; }
const char *cudaGetErrorString(int code) { return code == NO_DEVICE ? "no CUDA-capable device is detected" : "fake CUDA error"; }

int ncclGetVersion(int *version) {
  const char *said = getenv("FAKE_NCCL_VERSION"); *version = said ? atoi(said) : 23203; return 0;
}
int ncclGetUniqueId(UniqueId *id) {
  CALLED("ncclGetUniqueId");
  const char *folder = getenv("FAKE_NCCL_FOLDER");
  snprintf(id->internal, sizeof id->internal, "%s/communicator-XXXXXX", folder ? folder : "/tmp");
  int fd = mkstemp(id->internal);
  if (fd < 0 || ftruncate(fd, sizeof(Shared))) return SYSTEM;
  close(fd); return 0;
}
int ncclCommInitRankConfig(Communicator **made, int num_ranks, UniqueId id, int rank, Config *config) {
  ON_DEVICE("ncclCommInitRankConfig");
  int is_known = config->size == 48 && config->magic == 0xcafebeef && config->version == 21800;
  if (!is_known || config->blocking != 0 || config->net || num_ranks > MAX_RANKS || rank >= num_ranks) return INVALID_ARGUMENT;
  if (config->max_ctas < 1 || config->cga != INT_MIN || config->split != INT_MIN) return INVALID_ARGUMENT;
  int fd = open(id.internal, O_RDWR);
  if (fd < 0) return SYSTEM;
  Communicator *it = calloc(1, sizeof *it);
  it->shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  it->rank = rank; it->num_ranks = num_ranks; it->handle = made; *made = it; alive("communicator", 1);
  if (atomic_fetch_add(&it->shared->arrived, 1) + 1 == num_ranks) unlink(id.internal);
  return IN_PROGRESS;
}
int ncclCommGetAsyncError(Communicator *it, int *error) {
  *error = called("asynchronously");
  if (*error) return 0;
  CALLED("ncclCommGetAsyncError");
  int was_ready = it->is_ready;
  // As the real one does in a thread of its own, long after the call has returned.
  if (!was_ready && *it->handle != it) return INVALID_ARGUMENT;
  it->is_ready = it->shared->arrived == it->num_ranks;
  *error = was_ready && it->is_ready && !it->deferred ? 0 : IN_PROGRESS;
  while (it->deferred) { Op *op = it->deferred; it->deferred = op->next; op->next = NULL; append(op->stream, op); }
  return 0;
}
// The communicator itself stays: a stream that sticks looks at it still.
int ncclCommAbort(Communicator *it) { CALLED("ncclCommAbort"); it->error = 1; alive("communicator", -1); return 0; }
int ncclGroupStart(void) { CALLED("ncclGroupStart"); depth++; group_first = NULL; group_last = &group_first; return 0; }
int ncclGroupEnd(void) {
  CALLED("ncclGroupEnd"); if (--depth) return INVALID_USAGE;
  if (group_communicator) group_communicator->deferred = group_first;
  group_communicator = NULL; return IN_PROGRESS;
}
static int in_group(Kind kind, const void *source, void *target, size_t n, int type, int peer, Communicator *it, Stream *stream) {
  if (!depth || !it->is_ready || it->deferred || type != 1) return INVALID_USAGE;
  Op *op = new_op(kind, stream);
  op->communicator = it; op->source = source; op->target = target; op->num_bytes = n; op->peer = peer;
  *group_last = op; group_last = &op->next; group_communicator = it; return 0;
}
int ncclSend(const void *source, size_t n, int type, int peer, Communicator *it, Stream *stream) {
  CALLED("ncclSend"); return in_group(SEND, source, NULL, n, type, peer, it, stream);
}
int ncclRecv(void *target, size_t n, int type, int peer, Communicator *it, Stream *stream) {
  CALLED("ncclRecv"); return in_group(RECEIVE, NULL, target, n, type, peer, it, stream);
}
int ncclBroadcast(const void *source, void *target, size_t n, int type, int root, Communicator *it, Stream *stream) {
  CALLED("ncclBroadcast"); return in_group(BROADCAST, source, target, n, type, root, it, stream);
}
const char *ncclGetErrorString(int code) { return code == REMOTE ? "remote process exited or there was a network error" : "fake NCCL error"; }
const char *ncclGetLastError(Communicator *it) { (void)it; return ""; }
