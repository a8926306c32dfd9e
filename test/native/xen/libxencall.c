#include "fake.h"

enum { physdev_op = 33, map_pirq = 13, unmap_pirq = 14, restore_msi_ext = 27, prepare_msix = 30, release_msix = 31 };

static size_t argument_size(uint64_t operation) {
  switch (operation) {
    case map_pirq:
      return 40;
    case unmap_pirq:
      return 8;
    case restore_msi_ext:
    case prepare_msix:
    case release_msix:
      return 4;
    default:
      return 0;
  }
}

static int buffers;

void *xencall_open(void *logger, unsigned flags) {
  (void)flags;
  return open_handle("xencall_open", logger, 1);
}

int xencall_close(void *handle) {
  note("xencall_close, %d buffers left", buffers);
  free(handle);
  return 0;
}

void *xencall_alloc_buffer(void *handle, size_t bytes) {
  (void)handle;
  if (result_of("xencall_alloc_buffer") < 0) return NULL;
  buffers++;
  return malloc(bytes);
}

void xencall_free_buffer(void *handle, void *buffer) {
  (void)handle;
  buffers--;
  free(buffer);
}

int xencall2(void *handle, unsigned op, uint64_t first, uint64_t second) {
  (void)handle;
  uint8_t *argument = (uint8_t *)(uintptr_t)second;
  char bytes[2 * 40 + 1] = "";
  const size_t size = op == physdev_op ? argument_size(first) : 0;
  for (size_t i = 0; i < size; i++) snprintf(bytes + 2 * i, 3, "%02x", argument[i]);
  note("xencall2 %u %lu %s", op, (unsigned long)first, bytes);
  if (result_of("xencall2") < 0) return -1;
  const int32_t pirq = (int32_t)scripted("pirq");
  if (first == map_pirq) memcpy(argument + 12, &pirq, sizeof pirq);
  return 0;
}
