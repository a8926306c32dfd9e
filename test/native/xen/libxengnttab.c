#include <sys/mman.h>

#include "fake.h"

enum { page_size = 4096, flags_word = 0, err_word = 2, value_word = 8 };

void *xengnttab_open(void *logger, unsigned flags) {
  (void)flags;
  return open_handle("xengnttab_open", logger, 1);
}

int xengnttab_close(void *handle) {
  note("xengnttab_close");
  free(handle);
  return 0;
}

// A page with a request in it.
void *xengnttab_map_grant_ref(void *handle, uint32_t domid, uint32_t ref, int protection) {
  (void)handle;
  note("xengnttab_map_grant_ref %u %u %d", domid, ref, protection);
  if (result_of("xengnttab_map_grant_ref") < 0) return NULL;
  uint32_t *page = mmap(NULL, page_size, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  page[flags_word] = 1;
  return page;
}

int xengnttab_unmap(void *handle, void *start, uint32_t count) {
  (void)handle;
  const uint32_t *page = start;
  note("xengnttab_unmap %u flags %x err %x value %x", count, page[flags_word], page[err_word], page[value_word]);
  return munmap(start, count * page_size);
}
